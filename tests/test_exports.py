"""`__all__` of a module names what others use.

A name is used if another module of `tuner`, `search_spaces`, `benchmarks` or `examples` imports it, or reads
it from the imported module, or if a page, a docstring or a setting has its dotted path. A class is also used
if it stands in an annotation of its module: callers get such objects without an import. A name that only its
own module and tests use stays importable, and is not in `__all__`. The test passes over the `__init__` of
packages, which collect names for others, and over `FOR_USERS`.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("tuner", "search_spaces", "benchmarks", "examples")
DOTTED = re.compile(r"\btuner(?:\.\w+)+")
#: Are copied into each exported model; users import from them, and they find each other by their files.
FOR_USERS = {
    f"tuner.workflows.export.{name}" for name in ("asked", "checksums", "loading", "newer", "serving")
}
#: What a package calls in all of its modules.
INDIRECT = {"cli": {"add"}}
IMPORTED = re.compile(r"from (tuner[\w.]*) import ([\w, ]+)")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(path: Path) -> list[str]:
    """Return the names in a module's `__all__`."""
    for node in tree_of(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__" and isinstance(node.value, ast.List):
            return [str(one.value) for one in node.value.elts if isinstance(one, ast.Constant)]
    return []


def annotated(path: Path) -> set[str]:
    """Return the names of classes that stand in annotations of a module."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        annotations = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for annotation in annotations:
            if isinstance(annotation, ast.expr):
                found |= set(re.findall(r"\b[A-Z]\w*", ast.unparse(annotation)))
    return found


def imported(path: Path, node: ast.ImportFrom) -> str:
    """Return the dotted name of a module that is imported from, also by a relative name."""
    if not node.level:
        return node.module or ""
    package = ".".join(path.relative_to(ROOT).parts[: -node.level])
    return f"{package}.{node.module}"


def used_by(path: Path) -> set[str]:
    """Return the dotted names of `tuner` that a module imports or reads."""
    found: set[str] = set()
    modules: dict[str, str] = {}  # as they are called in the module
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (module := imported(path, node)).split(".")[0] == "tuner":
            for one in node.names:
                found.add(f"{module}.{one.name}")
                modules[one.asname or one.name] = f"{module}.{one.name}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add(f"{modules[node.value.id]}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(DOTTED.findall(node.value))
    return found


def used_by_pages() -> set[str]:
    found: set[str] = set()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = path.read_text(encoding="utf-8")
        found |= set(DOTTED.findall(text))
        for module, names in IMPORTED.findall(text):
            found |= {f"{module}.{name.strip()}" for name in names.split(",")}
    return found


def test_what_a_module_exports_is_used_by_others() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    uses = {path: used_by(path) for path in paths}
    pages = used_by_pages()
    unused = []
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        module = module_name(path)
        if path.name == "__init__.py" or module in FOR_USERS:
            continue
        others = pages.union(*(found for other, found in uses.items() if other != path))
        names = set(exported(path)) - annotated(path) - INDIRECT.get(path.parent.name, set())
        unused += [f"{module}.{name}" for name in sorted(names) if f"{module}.{name}" not in others]
    assert unused == []


def test_each_module_finds_what_it_exports() -> None:
    assert "sort_key" in exported(ROOT / "tuner" / "trials" / "objective.py")
    used = used_by(ROOT / "tuner" / "artifacts" / "user_values.py")
    assert "tuner.artifacts.layout.users" in used, "an attribute of an imported module"
