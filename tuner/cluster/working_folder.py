"""Chooses the files that are sent to the cluster with a study: the user's code, and small data files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.artifacts import layout
from tuner.config import Study
from tuner.errors import Problem, StudyError
from tuner.formatting import size

__all__ = ["Parcel", "pack"]

#: Largest data file that is sent, in bytes. Larger files must be at a place that all machines can read.
DATA_LIMIT = 100 * 2**20
#: Largest size of all files together, in bytes, before compression. Ray accepts 512 MiB after compression.
PARCEL_LIMIT = 250 * 2**20

#: Folder in the parcel for data files from outside the working folder.
_DATA_FOLDER = "_data"
_LEFT_OUT = {"__pycache__", str(layout.DEFAULT_OUTPUT), "node_modules"}


@dataclass(frozen=True)
class Parcel:
    """The files that are sent to the cluster.

    Attributes
    ----------
    study
        Path of the study file in the parcel.
    overrides
        Changes to the study: the paths of its data in the parcel.
    files
        Files on this machine, by their path in the parcel.
    n_bytes
        Size of all files in bytes.
    modules
        Top-level modules that the study names, in the parcel or not.
    """

    study: str
    overrides: tuple[str, ...]
    files: Mapping[str, Path]
    n_bytes: int
    modules: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Copy all files into a folder."""
        for name, source in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def __str__(self) -> str:
        amount = size(self.n_bytes) if self.n_bytes >= 2**20 else f"{max(1, self.n_bytes // 1024)} kB"
        return f"{len(self.files):,} file{'s' if len(self.files) != 1 else ''}, {amount}"


def pack(path: Path, study: Study, modules: Iterable[str] = ()) -> Parcel:
    """Choose the files to send: the working folder without files that git ignores, and small data files.

    Parameters
    ----------
    path
        Path of the study file. If it is outside the working folder, its own folder is sent instead.
    study
        The study in that file.
    modules
        Files and folders of the user's modules, in any place; see `tuner.execution.user_modules`.

    Raises
    ------
    StudyError
        If a data file does not exist or is too large, or all files together are too large.
    """
    path = path.resolve()
    root = Path.cwd() if path.is_relative_to(Path.cwd()) else path.parent
    files = {str(file.relative_to(root)): file for file in _shipped(root)}
    files[str(path.relative_to(root))] = path
    files.update(_outside(root, map(Path, modules)))
    overrides: list[str] = []
    problems: list[Problem] = []
    side_files = {key: (place,) for key, place in study.data.side_files.items()}
    for key, given in {"interactions": study.data.paths, **side_files}.items():
        places = [place for one in given for place in _matches(one)]
        sent = [_send(f"data.{key}", place, root, files, problems) for place in places]
        if any(sent):
            found = [name or place for name, place in zip(sent, places, strict=True)]
            value = found[0] if len(found) == 1 else json.dumps(found)
            overrides.append(f"data.{key}={value}")
    n_bytes = sum(file.stat().st_size for file in files.values())
    if not problems and n_bytes > PARCEL_LIMIT:
        problems.append(_too_much(root, files, n_bytes))
    if problems:
        raise StudyError(study.study, problems)
    return Parcel(str(path.relative_to(root)), tuple(overrides), files, n_bytes)


def _matches(place: str) -> list[str]:
    """Return the files that a glob stands for here; any other place as it is."""
    if "://" in place or "*" not in place:
        return [place]
    root = Path(Path(place).anchor)
    return sorted(str(path) for path in root.glob(str(Path(place).relative_to(root)))) or [place]


def _send(key: str, place: str, root: Path, files: dict[str, Path], problems: list[Problem]) -> str | None:
    """Add a data file, or all files of a folder, to those that are sent; return its path on the cluster."""
    found = _data_file(key, place, problems)
    if found is None:
        return None
    inside = found.is_relative_to(root)
    name = str(found.relative_to(root)) if inside else f"{_DATA_FOLDER}/{found.name}"
    if not inside and name in files and files[name] != found:  # two files of one name
        name = f"{_DATA_FOLDER}/{len(files)}-{found.name}"
    parts = [path for path in found.rglob("*") if path.is_file()] if found.is_dir() else []
    files.update({f"{name}/{part.relative_to(found)}": part for part in parts} or {name: found})
    return name


def _data_file(key: str, given: str, problems: list[Problem]) -> Path | None:
    """Return the data file or folder to send, or None if the cluster reads it from another place."""
    if "://" in given:
        return None
    file = Path(given)
    if not file.exists():
        if not file.is_absolute():
            rule = f"must be a file here, a URL, or an absolute path on the cluster, but got {given!r}"
            problems.append(Problem(key, rule))
        return None
    n_bytes = sum(part.stat().st_size for part in file.rglob("*")) if file.is_dir() else file.stat().st_size
    if n_bytes > DATA_LIMIT:
        rule = f"must have at most {size(DATA_LIMIT)} to be sent along, but has {size(n_bytes)}"
        hint = "put it where the cluster can read it, and name a URL such as s3://..., or a path on the head"
        problems.append(Problem(key, rule, hint))
        return None
    return file.resolve()


def _too_much(root: Path, files: Mapping[str, Path], n_bytes: int) -> Problem:
    largest = sorted(files, key=lambda name: -files[name].stat().st_size)[:3]
    rule = f"must have at most {size(PARCEL_LIMIT)} to be sent along, but has {size(n_bytes)}"
    hint = (
        f"the largest are {', '.join(f'{name} ({size(files[name].stat().st_size)})' for name in largest)}; "
        "files that .gitignore names are not sent"
    )
    return Problem(str(root), rule, hint)


def _shipped(root: Path) -> Iterator[Path]:
    """Yield the files of a folder that are sent."""
    listed = _known_to_git(root)
    for file in _walk(root) if listed is None else listed:
        parts = file.relative_to(root).parts
        if not _LEFT_OUT.intersection(parts) and file.is_file() and not file.is_symlink():
            yield file


def _known_to_git(root: Path) -> list[Path] | None:
    """Return the files that git tracks or would add; None if the folder is not in a git repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        ran = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # a fixed command
    except (OSError, subprocess.CalledProcessError):
        return None
    return [root / os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]


def _walk(root: Path) -> Iterator[Path]:
    """Yield all files except hidden ones and those in hidden folders and virtual environments."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _outside(root: Path, modules: Iterable[Path]) -> dict[str, Path]:
    """Return the files of modules outside `root`, by their path at the top of the parcel."""
    found: dict[str, Path] = {}
    for module in modules:
        if module.is_relative_to(root):
            continue
        for file in [module] if module.is_file() else module.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                found[str(file.relative_to(module.parent))] = file
    return found
