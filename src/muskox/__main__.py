"""``python -m muskox`` is the command ``muskox``: how a launcher starts nodes with the interpreter it runs in itself."""

from muskox.cli import main

if __name__ == "__main__":
    main()
