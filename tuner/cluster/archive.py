"""Packs the folder of a study into one file, and unpacks it."""

from __future__ import annotations

import hashlib
import tarfile
from contextlib import suppress
from pathlib import Path

from tuner.artifacts import layout
from tuner.artifacts.atomic import is_unfinished, replaced_folder

__all__ = ["digest", "pack_folder", "unpack_folder"]


def pack_folder(folder: Path, archive: Path) -> None:
    """Pack a folder that others may be writing to.

    Files that are removed meanwhile are left out. Files that grow are packed with the size they had at first.
    """
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
    """Replace a folder by the content of an archive.

    The archive is unpacked to a new folder first, so that `target` is never incomplete.

    Parameters
    ----------
    archive
        The archive.
    target
        The folder to replace. Its old content is removed.
    source
        Where the archive comes from, as text for people.
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
