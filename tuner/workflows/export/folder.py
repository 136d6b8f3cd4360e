"""Writes a folder as a whole: elsewhere first, then by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tuner.artifacts.atomic import replaced_folder
from tuner.errors import Problem, StoreError
from tuner.workflows.export.serving import FACTS

__all__ = ["check_target", "folder_size", "made_whole"]


def check_target(target: Path, *, force: bool) -> None:
    """Refuse to write over what is there; with `force`, over anything but an earlier export.

    Raises
    ------
    StoreError
        If the target cannot be written.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        rule = "must not exist yet, but does"
        raise StoreError(str(target), [Problem("--to", rule, "name another folder, or give --force")])
    if not (target / FACTS).exists():
        rule = "must be an earlier export to be replaced, but is none"
        raise StoreError(str(target), [Problem("--to", rule, "remove it yourself, or name another folder")])


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a folder to write in, and put it in the target's place at the end; on an error nothing is left.

    Raises
    ------
    StoreError
        If it cannot be written there.
    """
    with ExitStack() as stack:
        try:
            unfinished = stack.enter_context(replaced_folder(target))
        except OSError as error:
            rule = f"must be where a folder can be made, but {error.strerror}"
            raise StoreError(str(target), [Problem("--to", rule)]) from error
        try:
            yield unfinished
            stack.close()
        except OSError as error:
            rule, hint = (
                f"must be writable, but {error.strerror or error}",
                "make room there, or name another",
            )
            raise StoreError(str(target), [Problem("--to", rule, hint)]) from error


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
