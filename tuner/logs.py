"""Where the libraries' chatter goes: a file, for the driver and for each trial. Errors are ours to show."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

__all__ = ["logs_to"]


@contextmanager
def logs_to(path: Path) -> Iterator[TextIO]:
    """Append all logging and warnings of this process to a file, and nothing to the console.

    Parameters
    ----------
    path
        The file; its folder is made.

    Yields
    ------
    TextIO
        The open file, for what else belongs there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with path.open("a", encoding="utf-8", buffering=1) as file, warnings.catch_warnings():
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.handlers, root.level = [handler], logging.INFO
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        try:
            yield file
        finally:
            logging.captureWarnings(capture=False)
            root.handlers, root.level = before
