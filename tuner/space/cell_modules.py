"""Makes modules of classes that a notebook or a script defines, so that other processes can import them.

Each class becomes a file `cell_HASH.py` with all that it uses: imports, constants, and from modules of the
same kind the functions and other classes of the notebook. The hash is that of the file's text. So the same
code has the same name in every process, and other code has another one.

The files are in a folder of this process, which is on its import path. A run copies those that its study
names into the study's folder; see `tuner.execution.user_modules`.
"""

from __future__ import annotations
import __future__

import ast
import atexit
import hashlib
import importlib
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tuner.errors import Problem, SpaceError
from tuner.space.cell_sources import Statement, global_names, last_binding, main_namespace

__all__ = ["CELL_PREFIX", "module_path"]

#: How the names of these modules begin.
CELL_PREFIX = "cell_"
_DIGITS = 12
#: Types of values whose assignment can be run again: they hold no object of this process.
_REPEATABLE = frozenset(
    {
        *("dict", "frozenset", "list", "set", "tuple", "partial", "TypeVar", "dtype", "Pattern", "Logger"),
        *("PosixPath", "WindowsPath", "datetime", "date", "timedelta", "Timestamp", "Timedelta"),
        *("_GenericAlias", "_UnionGenericAlias", "GenericAlias", "UnionType", "Union"),
    }
)
_FILE = "put the code into a file next to the notebook, and import it from there"


def module_path(cls: type) -> str:
    """Return the import path of a class of the notebook or script, in a module that is made for it.

    Raises
    ------
    SpaceError
        If the class cannot be made a module: it is inside a function, its source is not to be had, or it uses
        an object that only this process has.
    """
    if "<locals>" in cls.__qualname__:
        rule = "must be at the top level of a cell to be sent to workers, but is defined inside a function"
        raise SpaceError(
            cls.__qualname__, [Problem("", rule, "move it out, and pass what it needs as arguments")]
        )
    name = cls.__qualname__.partition(".")[0]
    code = _Code(name)
    module = code.module_of(name)
    try:
        importlib.import_module(module)
    except Exception as error:
        rule = f"must be importable as a module, but raises {type(error).__name__}: {error}"
        raise SpaceError(name, [Problem("", rule, _FILE)]) from error
    return f"{module}.{cls.__qualname__}"


@dataclass
class _Code:
    """The definitions that a class needs, and the modules that were made of them.

    Attributes
    ----------
    asked
        The class, for messages.
    """

    asked: str
    _uses: dict[str, dict[str, str]] = field(default_factory=dict)  # of a definition: name -> definition
    _lines: dict[str, dict[str, str]] = field(default_factory=dict)  # of a definition: name -> line for it
    _found: dict[str, Statement] = field(default_factory=dict)
    _modules: dict[str, str] = field(default_factory=dict)
    _reading: set[str] = field(default_factory=set)

    def module_of(self, name: str) -> str:
        """Return the module of a definition. It is written, with those that it needs."""
        if name not in self._modules:
            self._read(name)
            together = sorted(one for one in self._reached(name) if name in self._reached(one))
            text = self._text(sorted(together, key=lambda one: self._found[one].place))
            module = f"{CELL_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
            (_folder() / f"{module}.py").write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
            self._modules |= dict.fromkeys(together, module)
        return self._modules[name]

    def _read(self, name: str) -> None:
        """Read a definition and all that it uses."""
        if name in self._found:
            return
        statement = last_binding(name)
        if statement is None or not _is_definition(statement.node):
            raise self._refused(name, f"needs the source of {name}, which is not to be had", _FILE)
        self._found[name] = statement
        self._uses[name], self._lines[name] = {}, {}
        self._read_names(name, statement.text)
        for used in dict.fromkeys(self._uses[name].values()):
            self._read(used)

    def _read_names(self, owner: str, text: str) -> None:
        """Note how a module gets each name that some code of it uses."""
        for name in global_names(text):
            if name == owner or name in self._uses[owner] or name in self._lines[owner]:
                continue
            value, binding = main_namespace()[name], last_binding(name)
            if binding is not None and _is_definition(binding.node):
                self._uses[owner][name] = name
            elif isinstance(value, type) and value.__module__ == "__main__":  # another name for a class
                self._uses[owner][name] = value.__qualname__
            else:
                line = _line_for(name, value, binding)
                if line is None:
                    raise self._refused(name, _live(name, value), _CURE)
                if binding is not None and line == binding.text and name not in self._reading:
                    self._reading.add(name)
                    self._read_names(owner, line)  # what it needs stands before it
                self._lines[owner][name] = line

    def _reached(self, name: str) -> set[str]:
        """Return a definition and all that it uses, also by others."""
        found, waiting = set(), [name]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self._uses[one].values()
        return found

    def _text(self, together: list[str]) -> str:
        """Return the text of a module of definitions that use each other."""
        lines = {name: line for one in together for name, line in self._lines[one].items()}
        imports = sorted({line for line in lines.values() if _is_import(line)})
        constants = [line for line in lines.values() if not _is_import(line)]
        uses = sorted({pair for one in together for pair in self._uses[one].items()})
        sent = [
            f"from {self.module_of(used)} import {used}" + (f" as {name}" if name != used else "")
            for name, used in uses
            if used not in together
        ]
        aliases = [f"{name} = {used}" for name, used in uses if used in together and name != used]
        future = "from __future__ import annotations" if _postponed() else ""
        head = [f'"""From a notebook: {", ".join(together)}."""', future, "\n".join(imports)]
        body = ["\n".join(sent), "\n".join(constants), *(self._found[one].text for one in together)]
        return "\n\n".join(part for part in [*head, *body, "\n".join(aliases)] if part) + "\n"

    def _refused(self, name: str, rule: str, cure: str) -> SpaceError:
        where = "" if name == self.asked else name
        return SpaceError(self.asked, [Problem(where, rule, cure)])


_CURE = "make it a number, a text or a list of them, make it inside the class, or pass it as an argument"


def _live(name: str, value: object) -> str:
    return f"must not be used in code for workers, but {name!r} is a {type(value).__name__} of this process"


def _is_import(line: str) -> bool:
    return line.startswith(("import ", "from "))


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))


def _line_for(name: str, value: object, binding: Statement | None) -> str | None:
    """Return a line that gives a module a name with its value; None if no line can."""
    node = binding.node if binding is not None else None
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return _import_line(name, node)
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    home, known = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if isinstance(home, str) and known and getattr(sys.modules.get(home), known, None) is value:
        return f"from {home} import {known} as {name}"
    if _is_literal(value):
        return f"{name} = {value!r}"
    if binding is not None and isinstance(node, (ast.Assign, ast.AnnAssign)):
        return binding.text if type(value).__name__ in _REPEATABLE else None
    return None


def _import_line(name: str, node: ast.Import | ast.ImportFrom) -> str:
    """Return the part of an import that binds a name."""
    (one,) = [one for one in node.names if (one.asname or one.name.partition(".")[0]) == name][-1:]
    alias = f" as {one.asname}" if one.asname else ""
    if isinstance(node, ast.Import):
        return f"import {one.name}{alias}"
    return f"from {'.' * node.level}{node.module or ''} import {one.name}{alias}"


def _is_literal(value: Any) -> bool:  # noqa: ANN401  # any object of a notebook
    try:
        again = ast.literal_eval(repr(value))
        return bool(again == value) and type(again) is type(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _postponed() -> bool:
    """Whether the notebook evaluates no annotations."""
    return main_namespace().get("annotations") is __future__.annotations


@cache
def _folder() -> Path:
    """Return the folder of this process for these modules, which is on its import path."""
    folder = Path(tempfile.mkdtemp(prefix="tuner-cells-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.path.append(str(folder))
    return folder
