"""Modules and classes that a study names by import path, and what is said if they cannot be imported."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from pathlib import Path

from tuner.errors import Problem, did_you_mean

__all__ = ["find_module", "import_problem", "line_that_raised", "no_module", "see_modules"]

_BESIDE = "put the class at the top level of a file next to the study file, and name it as file.Class"
#: Files of what imports modules for others: their lines say nothing about the module.
_IMPORTERS = (str(Path(__file__).parents[1]), importlib.__file__, str(Path("rectools", "utils", "misc.py")))


def see_modules(folder: Path) -> None:
    """Make the modules in a folder importable. Installed modules of the same name have priority."""
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)


def find_module(path: str) -> str | None:
    """Return the module part of ``package.module:attribute``, or None if there is no such module.

    This imports the parent packages, but not the module. If a parent package raises an error of its own, the
    module counts as found, and its import reports the error.
    """
    module = path.partition(":")[0]
    see_modules(Path.cwd())
    try:
        return module if importlib.util.find_spec(module) is not None else None
    except (ImportError, ValueError):
        return None
    except (Exception, SystemExit):  # noqa: BLE001  # a user's package may raise anything
        return module


def no_module(where: str, module: str) -> Problem:
    """Return the problem of a space whose module cannot be found. Its hint has the modules that there are."""
    package, _, name = module.rpartition(".")
    names = _modules_in(package)
    hint = "for a file my_space.py next to the study file, write `use: my_space`"
    if names:
        near = did_you_mean(name, names)
        hint = f"{near} " * near.startswith("did") + f"{package} has: {', '.join(names)}"
    return Problem(where, f"must be an importable module, but got {module!r}", hint)


def import_problem(where: str, path: str, error: BaseException, hint: str = _BESIDE) -> Problem:
    """Return the problem of a class that cannot be imported.

    Parameters
    ----------
    where
        Key that names the class.
    path
        Its import path.
    error
        The error of the import.
    hint
        What to do if there is no such module.
    """
    module, _, name = path.rpartition(".")
    found = sys.modules.get(module)
    if isinstance(error, AttributeError) and found is not None:
        classes = [one for one, value in vars(found).items() if isinstance(value, type) and one[0] != "_"]
        near = did_you_mean(name, classes) if classes else hint
        return Problem(where, f"must be importable, but {module} has no {name!r}", near)
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else None
    if not module or (missing is not None and f"{module}.".startswith(f"{missing}.")):
        rule = f"must be importable, but {path!r} is not ({type(error).__name__}: {error})"
        return Problem(where, rule, hint)
    rule = f"must be importable, but {module} raises {type(error).__name__}: {error}"
    return Problem(where, rule, line_that_raised(error) or "correct the module")


def line_that_raised(error: BaseException) -> str | None:
    """Return the innermost line of the user's code in a traceback, or None if there is none."""
    if isinstance(error, SyntaxError):
        return None  # the text of the error says the line
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(one in frame.filename for one in _IMPORTERS)
    ]
    return (
        f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else None
    )


def _modules_in(package: str) -> list[str]:
    """Return the public modules of a package; none if it is no package."""
    if not package or find_module(package) is None:
        return []
    spec = importlib.util.find_spec(package)
    places = (
        [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    )
    return sorted(one.name for one in pkgutil.iter_modules(list(places)) if not one.name.startswith("_"))
