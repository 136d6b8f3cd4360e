"""Where a study keeps what its trials leave beside the store: a folder that all hosts share, or a URL.

Files are known by their names from there, such as ``checkpoints/trial-0007.ckpt``, and are written whole or
not at all. Knows neither Ray nor what the files are for; goes to workers by pickle, and opens its connection
where it is used. Credentials come from each process's environment, or from the role of its machine.
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

__all__ = ["Artifacts", "Folder", "Remote", "artifacts_at", "try_out"]


class Artifacts(Protocol):
    """A place for files; all that goes wrong with it is an `OSError`."""

    @property
    def place(self) -> str:
        """Its path or URL."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file in place of the one before."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None if there is none."""

    def names(self, under: str) -> Sequence[str]:
        """Return the names of all files in a folder and below it, sorted."""

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""


@dataclass(frozen=True)
class Folder:
    """Files in a folder that each host has at the same path."""

    place: str

    def write(self, name: str, content: bytes) -> None:
        """Write a file in place of the one before."""
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
        """Remove a file if it is there."""
        Path(self.place, name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Remote:
    """Files below a URL, by pyarrow where it knows the scheme (s3, gs, hdfs), else by fsspec.

    What stands behind a ``?`` are options of pyarrow's, as
    ``s3://bucket/prefix?scheme=http&endpoint_override=host:9000``.
    """

    place: str

    def write(self, name: str, content: bytes) -> None:
        """Write a file in place of the one before; an object store shows it when it is whole."""
        files, root = self._opened
        path = f"{root}/{name}"
        if files.type_name not in {"s3", "gcs"}:  # there are folders to make
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
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415  # a second to import

        files, root = self._opened
        wanted = FileSelector(f"{root}/{under}", recursive=True, allow_not_found=True)
        found = files.get_file_info(wanted)
        return sorted(one.path[len(root) + 1 :] for one in found if one.type == FileType.File)

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        files, root = self._opened
        with suppress(FileNotFoundError):
            files.delete_file(f"{root}/{name}")

    @cached_property
    def _opened(self) -> tuple[FileSystem, str]:
        """Return the file system and the path in it; an error of any kind is an `OSError`."""
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
        """Leave the connection behind."""
        return {"place": self.place}


def artifacts_at(place: str, study: str) -> Artifacts:
    """Return the place of a study's artifacts: below the one that its file names, in a folder of its name."""
    url, mark, options = place.partition("?")
    below = f"{url.rstrip('/')}/{study}{mark}{options}"
    return Remote(below) if "://" in place else Folder(below)


def try_out(artifacts: Artifacts, seen: str | None = None) -> str | None:
    """Write a file, read it again, and remove it.

    Parameters
    ----------
    artifacts
        The place.
    seen
        Name of a file that another host has written, which must be seen here.

    Returns
    -------
    str or None
        What goes wrong, in one line.
    """
    name, content = layout.probe(), os.urandom(16)
    try:
        artifacts.write(name, content)
        if artifacts.read(name) != content:
            return "what is written there cannot be read again"
        artifacts.delete(name)
        if seen is not None and artifacts.read(seen) is None:
            return "what the driver has written there is not seen: the folder is not shared"
    except OSError as error:
        return str(error).strip().splitlines()[0]
    return None
