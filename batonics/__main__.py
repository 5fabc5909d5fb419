"""`python -m batonics` is `batonics`."""

from batonics.cli.main import main

if __name__ == "__main__":
    main()
