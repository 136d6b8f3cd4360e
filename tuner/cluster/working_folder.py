"""Chooses the files that are sent to the cluster with a study: the user's code, and small data files.

Hidden files, and files that have the name of a secret, are not sent, whether git tracks them or not.
Everybody who may use the cluster can read what is sent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tuner.artifacts import layout
from tuner.config import Study
from tuner.errors import Problem
from tuner.formatting import size

__all__ = ["Parcel", "pack"]

#: Largest data file that is sent, in bytes. Larger files must be at a place that all machines can read.
DATA_LIMIT = 100 * 2**20
#: Largest size of all files together, in bytes, before compression. Ray accepts 512 MiB after compression.
PARCEL_LIMIT = 250 * 2**20

#: Folder in the parcel for data files from outside the working folder.
_DATA_FOLDER = "_data"
_LEFT_OUT = {"__pycache__", str(layout.DEFAULT_OUTPUT), "node_modules"}
#: Names of files and folders that hold secrets, in lower case.
_SECRETS = (
    *("*.asc", "*.gpg", "*.jks", "*.kdbx", "*.key", "*.keystore", "*.p12", "*.pem", "*.pfx", "*.ppk"),
    *("*.secret", "*.token", "auth_token", "htpasswd", "id_dsa*", "id_ecdsa*", "id_ed25519*", "id_rsa*"),
    *(
        "*credentials*",
        "*service*account*.json",
        "*.tfstate*",
        "*.tfvars",
        "kubeconfig*",
        "_netrc",
        "pgpass*",
    ),
    *("secret", "secrets", "secret.*", "secrets.*", "password*.txt", "passwords.*", "*.env", "*.env.*"),
)


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
    left_out
        Files of the working folder that would be sent if they were not hidden or named like a secret.
    """

    study: str
    overrides: tuple[str, ...]
    files: Mapping[str, Path]
    n_bytes: int
    modules: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Copy all files into a folder."""
        for name, source in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def listing(self) -> str:
        """Return all files with their sizes, and those that are left out, as text."""
        lines = [f"{_amount(path.stat().st_size):>8}  {name}" for name, path in sorted(self.files.items())]
        lines += [f"left out  {name}" for name in self.left_out]
        return "\n".join([*lines, str(self)])

    def __str__(self) -> str:
        more = f"; {len(self.left_out):,} left out, hidden or named like a secret" if self.left_out else ""
        return f"{len(self.files):,} file{'s' if len(self.files) != 1 else ''}, {_amount(self.n_bytes)}{more}"


def _amount(n_bytes: int) -> str:
    return size(n_bytes) if n_bytes >= 2**20 else f"{max(1, n_bytes // 1024)} kB"


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
    shipped = {str(file.relative_to(root)): file for file in _shipped(root)}
    files = {name: file for name, file in shipped.items() if not _is_secret(name)}
    left_out = sorted(name for name in shipped if _is_secret(name))
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
        raise study.refusal(problems)
    left = tuple(name for name in left_out if name not in files)
    return Parcel(str(path.relative_to(root)), tuple(overrides), files, n_bytes, left_out=left)


def _is_secret(name: str) -> bool:
    """Whether a file or a folder above it is hidden, or has the name of one that holds secrets."""
    parts = Path(name.lower()).parts
    return any(part.startswith(".") or any(fnmatchcase(part, one) for one in _SECRETS) for part in parts)


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
    below = found.rglob("*") if found.is_dir() else ()
    parts = [path for path in below if path.is_file() and not _is_secret(str(path.relative_to(found)))]
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
    """Yield all files except those in hidden folders and virtual environments."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(folder) / name for name in names)


def _outside(root: Path, modules: Iterable[Path]) -> dict[str, Path]:
    """Return the files of modules outside `root`, by their path at the top of the parcel."""
    found: dict[str, Path] = {}
    for module in modules:
        if module.is_relative_to(root):
            continue
        for file in [module] if module.is_file() else module.rglob("*"):
            name = str(file.relative_to(module.parent))
            if file.is_file() and "__pycache__" not in file.parts and not _is_secret(name):
                found[name] = file
    return found
