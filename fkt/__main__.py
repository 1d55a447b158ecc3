"""``python -m fkt``: the ``fkt`` command, where the package is not installed."""

from fkt.cli.main import main

if __name__ == "__main__":
    main()
