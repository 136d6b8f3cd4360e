"""Makes the user's own modules importable in workers, also on other hosts.

The user's folders come last on the path of a worker. Otherwise a module of the user's with the name of an
installed one, such as ``queue.py``, would replace it, and the worker could not even start.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from tuner.space import Choice, Space
from tuner.space.cell_modules import CELL_PREFIX

__all__ = [
    "USER_FILES",
    "cell_modules",
    "modules_of",
    "named_modules",
    "own_modules",
    "path_variables",
    "see_user_folders",
    "shadow_lines",
]

#: Modules that every host has: those of this project, installed or in a checkout.
_EVERYWHERE = frozenset({"__main__", "search_spaces", "tuner"})
#: Names that many projects and some installed packages have at their top. No study imports them.
_OFTEN_TWICE = frozenset({"conftest", "setup", "tests"})
#: Environment variable that tells a worker the user's folders.
_FOLDERS = "TUNER_USER_FOLDERS"
#: Ray's folders on each machine for modules, and for working folders of jobs, that were sent.
_SENT, _OF_JOBS = "py_modules_files", "working_dir_files"
#: Folder in a job's working folder with the user's files. Ray puts the working folder first on the path of
#: each process, even before the standard library. So nothing in it may have a name that can be imported.
USER_FILES = "user-files"


def path_variables() -> dict[str, str]:
    """Return the environment variables that give workers on this machine the import paths of this process.

    ``PYTHONPATH`` is that of the user, and leads to this project if it is not installed.
    """
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    home = str(Path(__file__).parents[2])
    first = dict.fromkeys([*given, *([] if _is_installed(home) else [home])])
    named = {_FOLDERS: os.pathsep.join(_user_folders())}
    return named | ({"PYTHONPATH": os.pathsep.join(first)} if first else {})


def _user_folders() -> list[str]:
    """Return the folders from which this process imports modules that are not installed."""
    folders = [path for path in (str(Path.cwd()), *sys.path) if path and not _is_installed(path)]
    return list(dict.fromkeys(folders))


def _is_installed(path: str) -> bool:
    return path.startswith((sys.prefix, sys.base_prefix))


def see_user_folders() -> None:
    """Put the user's folders last on the path of this worker. Ray calls this when a worker starts.

    The copies of modules that were sent come after them. Ray puts them first. Workers on other nodes get this
    function by value: nodes may have another version of this module.
    """
    of_jobs = [str(Path(path) / USER_FILES) for path in sys.path if _OF_JOBS in Path(path).parts]
    folders = [*os.environ.get(_FOLDERS, "").split(os.pathsep), *of_jobs]
    sent = [path for path in sys.path if _SENT in Path(path).parts]
    first = [path for path in sys.path if path not in sent]
    sys.path[:] = [*first, *(folder for folder in folders if folder and folder not in first), *sent]


def shadow_lines(folders: Iterable[Path]) -> list[str]:
    """Return a warning for each module in the user's folders that has the name of an installed one.

    Parameters
    ----------
    folders
        Folders of the user, from which modules are imported.
    """
    lines: list[str] = []
    for folder in {folder.resolve(): None for folder in folders}:
        with suppress(OSError):
            inside = [*folder.glob("*.py"), *(package.parent for package in folder.glob("*/__init__.py"))]
            owners = {path.name: _owner_of(path.stem, folder) for path in sorted(inside)}
            lines += [
                f"warning: {name} has the name of a module of {owner}, which is used in its place; rename it"
                for name, owner in owners.items()
                if owner is not None
            ]
    return lines


def _owner_of(name: str, folder: Path) -> str | None:
    """Return who brings another module of a name; None if nobody does."""
    if name in _EVERYWHERE | _OFTEN_TWICE:
        return None
    if name in sys.stdlib_module_names:
        return "Python"
    for place in map(Path, _installed()):
        package = place / name / "__init__.py"
        if place.resolve() != folder and (package.exists() or (place / f"{name}.py").exists()):
            return "an installed package"
    return None


def modules_of(space: Space, given: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the files and folders of the user's modules that a study names.

    Parameters
    ----------
    space
        Space of the study.
    given
        Params of the study's baselines, and other values that name modules, such as its metrics.
    """
    return own_modules(_values(space, given))


def cell_modules(space: Space, given: Iterable[Mapping[str, object]]) -> list[Path]:
    """Return the files that were made of code of a notebook for a study; see `tuner.space.cell_modules`."""
    return [Path(path) for path in modules_of(space, given) if Path(path).stem.startswith(CELL_PREFIX)]


def named_modules(space: Space, given: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the names of all top-level modules in a study, installed or not; see `modules_of`."""
    return sorted(filter(str.isidentifier, set(_top_levels(_values(space, given)))))


def _values(space: Space, given: Iterable[Mapping[str, object]]) -> list[object]:
    domains = [parameter.domain for parameter in space.parameters]
    options = [domain.options if isinstance(domain, Choice) else domain.only() for domain in domains]
    return [*options, *(tuple(params.values()) for params in given)]


def own_modules(values: Iterable[object]) -> list[str]:
    """Return the files and folders of the user's modules in values of params, and of modules they import.

    Parameters
    ----------
    values
        Values of params. Import paths such as ``"gated.GatedLayers"`` name modules, which must have been
        imported. Other values are ignored.

    Returns
    -------
    list of str
        One path for each top-level module or package that is not installed, sorted.
    """
    found: dict[str, str] = {}
    waiting = list(_top_levels(values))
    while waiting:
        name = waiting.pop()
        place = None if name in found or name in _EVERYWHERE else _place(sys.modules.get(name))
        if place is not None:
            found[name] = place
            waiting.extend(_imports(name))
    return sorted(found.values())


def _top_levels(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, tuple):
            yield from _top_levels(value)
        elif isinstance(value, str) and "." in value:
            yield value.partition(".")[0]


def _place(module: ModuleType | None) -> str | None:
    """Return the file or folder of a top-level module; None if it is installed or has no file."""
    folders = list(getattr(module, "__path__", ()))
    place = folders[0] if len(folders) == 1 else getattr(module, "__file__", None)
    if place is None or any(Path(place).is_relative_to(folder) for folder in _installed()):
        return None
    return str(place) if Path(place).is_dir() or Path(place).suffix == ".py" else None


def _installed() -> set[str]:
    paths = sysconfig.get_paths()
    return {
        # Other environments that are on the path through a `.pth` file or PYTHONPATH.
        *(path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}),
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(paths[k] for k in ("stdlib", "purelib", "platlib")),
    }


def _imports(name: str) -> Iterator[str]:
    """Yield the top-level modules from which a module and its submodules have imported something."""
    for loaded, module in list(sys.modules.items()):
        if loaded == name or loaded.startswith(f"{name}."):
            for value in list(vars(module).values()):
                source = (
                    value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                )
                if isinstance(source, str):
                    yield source.partition(".")[0]
