"""Writes a folder atomically: first under a temporary name, then under its own name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tuner.artifacts.atomic import replaced_folder
from tuner.errors import Problem, StoreError
from tuner.errors.caller import argument
from tuner.errors.caller import hint as hint_for
from tuner.workflows.export.serving import FACTS

__all__ = ["atomic_folder", "check_target", "folder_size"]


def check_target(target: Path, *, force: bool) -> None:
    """Refuse a target that cannot be created, or is not empty. With `force`, an earlier export is accepted.

    Raises
    ------
    StoreError
        If the target cannot be written.
    """
    above = next(path for path in target.absolute().parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "cannot be written to" if above.is_dir() else "is no folder"
        rule = f"must be a place where a folder can be created, but {above} {what}"
        raise StoreError(str(target), [Problem(argument("--to"), rule, "name another folder")])
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        rule = "must not exist yet, but it exists"
        asked = hint_for(command="--force", python="force=True")
        raise StoreError(
            str(target), [Problem(argument("--to"), rule, f"name another folder, or give {asked}")]
        )
    if not (target / FACTS).exists():
        rule = "must be an earlier export to be replaced, but it is not one"
        raise StoreError(
            str(target), [Problem(argument("--to"), rule, "remove it yourself, or name another folder")]
        )


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to write in, and rename it to the target at the end.

    If an error occurs, the temporary folder is deleted and the target is unchanged.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            unfinished = stack.enter_context(replaced_folder(target))
        except OSError as error:
            rule = f"must be a place where a folder can be created, but got the error: {error.strerror}"
            raise StoreError(str(target), [Problem(argument("--to"), rule)]) from error
        try:
            yield unfinished
            stack.close()
        except OSError as error:
            rule = f"must be writable, but got the error: {error.strerror or error}"
            hint = "free disk space there, or name another folder"
            raise StoreError(str(target), [Problem(argument("--to"), rule, hint)]) from error


def folder_size(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
