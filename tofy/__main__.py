"`python -m tofy`: the command line. Written by hand; all it starts comes from the notebooks."

from tofy.cli import main

if __name__ == "__main__":
    main()
