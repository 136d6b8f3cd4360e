"""Finds what an exported model needs beside RecTools: the source of its modules, and exact package versions.

The user's own modules that are not installed are copied whole, as Ray sends them to workers. Of
`search_spaces` and `tuner`, only the files that define the model's classes are copied, with the files that
they import. So an export does not need rectools-tuner, which may be missing on other machines or have another
version there. Everything else is a package with a version.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tuner.execution.user_modules import own_modules
from tuner.space import Value

__all__ = ["Code", "code_of", "requirements"]

OURS = ("search_spaces", "tuner")
#: Packages without a pin. Torch itself names the exact versions of its GPU packages. A virtual environment
#: brings setuptools, pip and wheel, and their versions may not suit other packages.
_UNPINNED = ("nvidia-", "triton", "cuda-", "setuptools", "pip", "wheel")

#: Packages that files import which each export contains.
_OF_EACH = ("pyarrow", "pandas", "numpy", "fsspec")


@dataclass(frozen=True)
class Code:
    """Source files that a model needs.

    Attributes
    ----------
    files
        Path inside the folder of the code -> where the file or package is now.
    imports
        Top-level names of the packages that these files import.
    """

    files: Mapping[str, Path]
    imports: tuple[str, ...]


def code_of(params: Mapping[str, Value]) -> Code:
    """Return the sources of the classes that params name. The classes must have been imported already."""
    own = [Path(path) for path in own_modules(params.values())]
    sources = [
        source for path in own for source in ([path] if path.is_file() else sorted(path.rglob("*.py")))
    ]
    names = {name for source in sources for name in _imports(source, deep=True)}
    ours = _closure({name for name in (*names, *_modules(params.values())) if _top(name) in OURS})
    for source in ours.values():
        names.update(_imports(source, deep=False))
    mine = {path.stem for path in own} | set(OURS) | sys.stdlib_module_names
    files = {path.name: path for path in own} | {
        "/".join(name.split(".")) + ("/__init__.py" if source.name == "__init__.py" else ".py"): source
        for name, source in ours.items()
    }
    return Code(files, tuple(sorted({_top(name) for name in names} - mine)))


def requirements(code: Code, *, trained_by_torch: bool) -> list[str]:
    """Return the packages that a model needs with their versions, as pip reads them.

    Parameters
    ----------
    code
        Sources of the model.
    trained_by_torch
        Whether the model is a transformer.
    """
    extra = "torch" if trained_by_torch else ""
    by_import = packages_distributions()
    wanted = dict.fromkeys(_OF_EACH, "")
    wanted |= {"pytorch-lightning": "", "torch": ""} if trained_by_torch else {}
    for name in code.imports:
        wanted |= dict.fromkeys((canonicalize_name(found) for found in by_import.get(name, [])[:1]), "")
    wanted = {"rectools": extra, **{name: "" for name in wanted if name != "rectools"}}
    pinned = _pinned(wanted)
    direct = [line for name, line in pinned.items() if name in wanted]
    indirect = sorted(line for name, line in pinned.items() if name not in wanted)
    return [
        f"# Python {platform.python_version()}; versions of the environment that exported the model",
        *direct,
        "# packages that the packages above need",
        *indirect,
    ]


def _modules(values: Iterable[object]) -> Iterator[str]:
    """Yield the modules of the import paths among params."""
    for value in values:
        if isinstance(value, tuple):
            yield from _modules(value)
        elif isinstance(value, str) and _top(value) in OURS:
            yield value.rpartition(".")[0]


def _closure(names: set[str]) -> dict[str, Path]:
    """Return the files of modules in `OURS`, of their packages, and of the modules that they import."""
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or _top(name) not in OURS:
            continue
        source = _source(name)
        if source is not None:
            found[name] = source
            waiting.extend(_imports(source, deep=False))
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return found


def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the name is an attribute: its parent is not a package
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imports(source: Path, *, deep: bool) -> Iterator[str]:
    """Yield the modules that a file imports; if `deep`, also the imports within functions."""
    tree = ast.parse(source.read_text(encoding="utf-8"), str(source))
    for node in ast.walk(tree) if deep else _at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            for alias in node.names if _top(node.module) in OURS else ():
                yield _home(node.module, alias.name)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported: no function bodies, nothing for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _at_import(child)


def _home(module: str, name: str) -> str:
    """Return the module that defines a name which is imported from a module in `OURS`."""
    if _source(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    value = getattr(importlib.import_module(module), name, None)
    return str(getattr(value, "__module__", module))


def _pinned(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the pins of packages and of all packages that they need in this environment, by name."""
    lines: dict[str, str] = {}
    waiting = list(wanted.items())
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop(0)
        if (name, extra) in seen or name.startswith(_UNPINNED):
            continue
        seen.add((name, extra))
        try:
            public = version(name).partition("+")[0]  # an index may not have a local build such as 2.13.0+cpu
        except PackageNotFoundError:  # an optional package that this environment does not have
            continue
        extra = extra or wanted.get(name, "")
        lines.setdefault(name, f"{name}[{extra}]=={public}" if extra else f"{name}=={public}")
        for text in requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting.extend((canonicalize_name(needed.name), one) for one in needed.extras or {""})
    return lines


def _top(name: str) -> str:
    return name.partition(".")[0]
