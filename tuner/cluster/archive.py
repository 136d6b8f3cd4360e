"""A study's folder as one file, and back."""

from __future__ import annotations

import hashlib
import tarfile
from contextlib import suppress
from pathlib import Path

from tuner.artifacts import layout
from tuner.artifacts.atomic import is_unfinished, replaced_folder

__all__ = ["digest", "pack_folder", "unpack_folder"]


def pack_folder(folder: Path, archive: Path) -> None:
    """Pack a folder that may be written meanwhile: what vanishes is left out, what grows is cut."""
    with tarfile.open(archive, "w:gz", compresslevel=3) as tar:
        _add(tar, folder, folder)


def _add(tar: tarfile.TarFile, path: Path, root: Path) -> None:
    for entry in sorted(path.iterdir()):
        if entry.name in layout.LEFT_AT_HOME or is_unfinished(entry.name):
            continue
        with suppress(FileNotFoundError):
            if entry.is_dir():
                _add(tar, entry, root)
            else:
                tar.add(entry, arcname=str(entry.relative_to(root)), recursive=False)


def unpack_folder(archive: Path, target: Path, *, source: str) -> None:
    """Put what an archive holds in place of a folder, at once.

    Parameters
    ----------
    archive
        What `pack_folder` has made.
    target
        What it is to be; what stood there is removed.
    source
        Where it comes from, for people.
    """
    with replaced_folder(target) as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        (folder / layout.FETCHED).write_text(f"{source}\n", encoding="utf-8")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            sha256.update(piece)
    return sha256.hexdigest()
