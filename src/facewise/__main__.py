"""`python -m facewise`: the command line, for torchrun and where the command is not on the path."""

from facewise.cli import main

if __name__ == "__main__":
    main()
