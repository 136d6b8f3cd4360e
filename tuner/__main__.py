"""`python -m tuner` is the command `tuner`, also where no script was installed for it."""

import sys

from tuner.cli import run_as_module

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(run_as_module())
