"`python -m tofy` and the command `tofy`. Written by hand; all it starts comes from the notebooks."

import os
import sys
import threading

def main() -> None:
    "Run a command; Ctrl-C ends it without a traceback, even while the program is still loading."
    try:
        from tofy.cli import main as run
    except BaseException as error:
        cause: BaseException | None = error
        while cause and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        sys.exit(130)
    try:
        run()
    except SystemExit as end:
        if any(thread.name == "compiler" for thread in threading.enumerate()):     # it would abort as Python ends
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        raise


if __name__ == "__main__":
    main()
