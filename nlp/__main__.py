"""``python -m greyzone`` is the command line."""

from greyzone.cli import main

if __name__ == "__main__":
    main()
