"""Replaces a file or a folder as a whole: readers find the old content or the new, never a part of each.

Rules for all writers of this project:

1. New content is written beside its target, under ``.NAME.ID.tmp`` with an ID that no other writer has, and
   renamed at the end. So two writers cannot disturb each other; the last one wins.
2. If a writer fails, its temporary file is removed. A writer that is killed leaves it; `remove_leftovers`
   removes it, and everybody who lists or packs a folder passes over what `is_unfinished`.
3. Nothing is synced to disk. A rename protects against the death of a process, but not against a power
failure.
   After that a file may be unreadable. Each reader treats such a file as absent, and its content can be made
   again. Results that cannot be made again are in the store, whose journal is synced.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tuner.artifacts.private import narrow_rights

__all__ = ["is_unfinished", "remove_leftovers", "replaced_file", "replaced_folder", "write_file"]

_SUFFIX = ".tmp"


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. If the block ends without an error, the file replaces `path`.

    Parameters
    ----------
    path
        The file to replace. Its folder is created.

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
    """Write a file atomically. An existing file is replaced; see `replaced_file`."""
    with replaced_file(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write in. If the block ends without an error, it replaces `target`.

    Some file systems cannot swap two folders in one step. If the process is killed between the two renames,
    there is no `target`, and the old folder is beside it as ``.NAME.ID.tmp``.

    Parameters
    ----------
    target
        The folder to replace. Folders above it are created.

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
        narrow_rights(unfinished)  # files that were copied or unpacked bring their rights with them
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
    """Remove temporary files that killed writers of a file have left.

    A writer that is still active will fail.
    """
    for leftover in path.parent.glob(f".{path.name}.*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Return whether the name is that of a temporary, incomplete file or folder."""
    return name.endswith(_SUFFIX)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{_SUFFIX}")
