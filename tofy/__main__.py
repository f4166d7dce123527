"`python -m tofy` and the command `tofy`. Written by hand; all it starts comes from the notebooks."

import sys

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
    run()


if __name__ == "__main__":
    main()
