"""Runs the command line as `python -m tuner.cli`."""

import sys

from tuner.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
