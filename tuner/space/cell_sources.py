"""Finds the code of a notebook or a script: what its top level defines, and which names that code uses.

IPython keeps the cells that were run, in their order. A script has one file.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["Statement", "global_names", "last_binding", "main_namespace"]


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a cell or a script.

    Attributes
    ----------
    node
        The statement.
    text
        Its source, with the lines of its decorators.
    place
        Number of the cell, and line in it.
    """

    node: ast.stmt
    text: str
    place: tuple[int, int]


def main_namespace() -> dict[str, Any]:
    """Return the names of the notebook or script that runs."""
    return vars(sys.modules["__main__"])


def last_binding(name: str) -> Statement | None:
    """Return the last statement that binds a name at the top level; None if its source is not to be had."""
    for number, source in reversed(list(enumerate(_sources()))):
        found = [one for one in _statements(source) if name in _bound(one)]
        if found:
            node = found[-1]
            return Statement(node, _text(source, node), (number, node.lineno))
    return None


def _sources() -> Sequence[str]:
    """Return the cells of a notebook as they were run, or the script."""
    namespace = main_namespace()
    shell = namespace.get("get_ipython")
    if callable(shell) and isinstance(namespace.get("In"), list):
        return [str(cell) for cell in namespace["In"]]
    try:
        return [Path(namespace["__file__"]).read_text(encoding="utf-8")]
    except (KeyError, OSError, ValueError):  # a console, or `python -c`
        return []


@lru_cache(maxsize=2000)
def _statements(source: str) -> tuple[ast.stmt, ...]:
    """Return the statements of a cell's top level, also those under `if`, `try` and `with`."""
    try:
        return tuple(_flat(ast.parse(source).body))
    except SyntaxError:  # a cell that did not run
        return ()


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            handlers = [one for handler in getattr(node, "handlers", ()) for one in handler.body]
            yield from _flat([*node.body, *handlers, *getattr(node, "orelse", ())])


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {one.asname or one.name.partition(".")[0] for one in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {
        one.id
        for target in targets
        if isinstance(target, ast.AST) and not isinstance(node, ast.For)
        for one in ast.walk(target)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def _text(source: str, node: ast.stmt) -> str:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return textwrap.dedent("\n".join(source.splitlines()[first - 1 : node.end_lineno]))


def global_names(text: str) -> list[str]:
    """Return the names that code takes from its module, sorted, without Python's own."""
    found: set[str] = set()
    top = symtable.symtable(text, "<cell>", "exec")
    waiting = list(top.get_children())
    made = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    found |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    while waiting:
        table = waiting.pop()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        waiting += table.get_children()
    namespace = main_namespace()
    return sorted(
        name
        for name in found - made
        if name in namespace and (name != "__name__") and _is_own(name, namespace)
    )


def _is_own(name: str, namespace: dict[str, Any]) -> bool:
    """Whether a name is not Python's own, or the notebook has given it another meaning."""
    return not hasattr(builtins, name) or namespace[name] is not getattr(builtins, name)
