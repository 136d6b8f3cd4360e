"""Places for the artifacts of a study: a folder that all hosts share, or a URL.

A file is known by its path below the place, such as ``checkpoints/trial-0007.ckpt``. Files are written
atomically. A place can be sent to workers by pickle; it opens its connection in the process that uses it.
Credentials come from the environment of each process, or from the role of its machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuner.artifacts import layout
from tuner.artifacts.atomic import is_unfinished, write_file

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["Artifacts", "artifacts_at", "try_out"]


class Artifacts(Protocol):
    """A place for files. Every error of a place is an `OSError`."""

    @property
    def place(self) -> str:
        """Path or URL of the place."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file. An existing file is replaced."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None if there is none."""

    def names(self, under: str) -> Sequence[str]:
        """Return the names of all files in a folder and below it, sorted."""

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""


@dataclass(frozen=True)
class Folder:
    """Files in a folder that each host has at the same path."""

    place: str

    def write(self, name: str, content: bytes) -> None:
        """Write a file. An existing file is replaced."""
        write_file(Path(self.place, name), content)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None if there is none."""
        try:
            return Path(self.place, name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, under: str) -> Sequence[str]:
        """Return the names of all files in a folder and below it, sorted."""
        found = (path for path in Path(self.place, under).rglob("*") if path.is_file())
        return sorted(
            path.relative_to(self.place).as_posix() for path in found if not is_unfinished(path.name)
        )

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        Path(self.place, name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Remote:
    """Files below a URL, opened by pyarrow if it knows the scheme (s3, gs, hdfs), otherwise by fsspec.

    The part after a ``?`` has options for pyarrow, as in
    ``s3://bucket/prefix?scheme=http&endpoint_override=host:9000``.
    """

    place: str

    def write(self, name: str, content: bytes) -> None:
        """Write a file. An existing file is replaced. An object store shows the file when it is complete."""
        files, root = self._opened
        path = f"{root}/{name}"
        if files.type_name not in {"s3", "gcs"}:  # other file systems need the folder to exist
            files.create_dir(path.rpartition("/")[0], recursive=True)
        with files.open_output_stream(path) as stream:
            stream.write(content)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None if there is none."""
        files, root = self._opened
        try:
            with files.open_input_stream(f"{root}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def names(self, under: str) -> Sequence[str]:
        """Return the names of all files in a folder and below it, sorted."""
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415  # takes a second to import

        files, root = self._opened
        wanted = FileSelector(f"{root}/{under}", recursive=True, allow_not_found=True)
        found = files.get_file_info(wanted)
        return sorted(one.path[len(root) + 1 :] for one in found if one.type == FileType.File)

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        files, root = self._opened
        with suppress(FileNotFoundError):
            files.delete_file(f"{root}/{name}")

    @cached_property
    def _opened(self) -> tuple[FileSystem, str]:
        """The file system and the path in it. Errors of any kind are raised as `OSError`."""
        from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem  # noqa: PLC0415  # as in `names`

        try:
            try:
                files, root = FileSystem.from_uri(self.place)
            except ValueError:  # a scheme that pyarrow does not know
                import fsspec  # noqa: PLC0415  # as in `names`

                opened, root = fsspec.core.url_to_fs(self.place)
                files = PyFileSystem(FSSpecHandler(opened))
        except (ValueError, ImportError, TypeError) as error:
            raise OSError(str(error).splitlines()[0]) from error
        return files, root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the connection, which cannot be pickled."""
        return {"place": self.place}


def artifacts_at(place: str, study: str) -> Artifacts:
    """Return the place of a study's artifacts: a folder with the study's name below the place in its file."""
    url, mark, options = place.partition("?")
    below = f"{url.rstrip('/')}/{study}{mark}{options}"
    return Remote(below) if "://" in place else Folder(below)


def try_out(artifacts: Artifacts, seen: str | None = None) -> str | None:
    """Write a file, read it again, and remove it.

    Parameters
    ----------
    artifacts
        The place to test.
    seen
        Name of a file that another host has written and that must be readable here.

    Returns
    -------
    str or None
        The error in one line, None if there is none.
    """
    name, content = layout.probe(), os.urandom(16)
    try:
        artifacts.write(name, content)
        if artifacts.read(name) != content:
            return "a file that was written there cannot be read again"
        artifacts.delete(name)
        if seen is not None and artifacts.read(seen) is None:
            return "a file that the driver wrote there is not visible here: the folder is not shared"
    except OSError as error:
        return str(error).strip().splitlines()[0]
    return None
