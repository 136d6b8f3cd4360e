"""Replaces a file or a folder as a whole: readers find the old content or the new, never a part of each.

Rules for all writers of this project:

1. New content is written beside its target, under ``.NAME.ID.tmp`` with an ID that no other writer has, and
   renamed at the end. So two writers cannot disturb each other; the last one wins.
2. If a writer fails, its temporary file is removed. A writer that is killed leaves it; `remove_leftovers`
   removes it, and everybody who lists or packs a folder passes over what `is_unfinished`.
3. Nothing is synced to disk. A rename protects from the death of a process, not from a power failure. After
   that a file may be unreadable; each reader treats such a file as absent, and its content can be made anew.
   What cannot be made anew stands in the store, whose journal is synced.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["is_unfinished", "remove_leftovers", "replaced_file", "replaced_folder", "write_file"]

_SUFFIX = ".tmp"


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, and put the file in place of `path` when the block ends without an error.

    Parameters
    ----------
    path
        The file; its folder is made.

    Raises
    ------
    OSError
        If the folder cannot be made or the file cannot be put in place. The old file then stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _beside(path)
    try:
        yield unfinished
        os.replace(unfinished, path)  # noqa: PTH105  # atomic by its documentation
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a file in place of the one before; see `replaced_file`."""
    with replaced_file(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to write in, and put it in place of `target` when the block ends without an error.

    A file system cannot swap two folders in one step everywhere. A process that is killed between the two
    renames leaves no `target`; the old folder then stands beside it, as ``.NAME.ID.tmp``.

    Parameters
    ----------
    target
        The folder; those above it are made.

    Raises
    ------
    OSError
        If a folder cannot be made or put in place. The old folder then stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished, old = _beside(target), _beside(target)
    unfinished.mkdir()
    try:
        yield unfinished
        if target.exists():
            os.replace(target, old)  # noqa: PTH105  # atomic by its documentation
        try:
            os.replace(unfinished, target)  # noqa: PTH105  # as above
        except OSError:
            with suppress(OSError):
                os.replace(old, target)  # noqa: PTH105  # as above
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what writers of a file left when they were killed. One that still writes fails at its end."""
    for leftover in path.parent.glob(f".{path.name}.*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name is not whole."""
    return name.endswith(_SUFFIX)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{_SUFFIX}")
