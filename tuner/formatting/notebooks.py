"""Whether this process is the kernel of a notebook, and hints that speak of what a person can do there."""

from __future__ import annotations

import sys

__all__ = ["hint", "in_notebook"]


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. Consoles of IPython are none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def hint(*, command: str, python: str) -> str:
    """Return a hint for the command line, or in a notebook the one for Python."""
    return python if in_notebook() else command
