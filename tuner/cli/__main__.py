"""Runs the command line as `python -m tuner.cli`."""

import sys

from tuner.cli import run_as_module

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(run_as_module())
