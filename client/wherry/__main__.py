"""`python -m wherry`: the `wherry` command."""

from wherry.cli.start import main

if __name__ == "__main__":
    main()
