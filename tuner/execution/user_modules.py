"""Finds the user's own modules, so that they can be sent to workers on other hosts."""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from tuner.space import Choice, Space

__all__ = ["modules_of", "named_modules", "own_modules"]

#: Modules that every host has: those of this project, installed or in a checkout.
_EVERYWHERE = frozenset({"__main__", "search_spaces", "tuner"})


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
