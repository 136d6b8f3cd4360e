"""The shape of the packages: how many packages and layers there are, how long modules and functions are.

Which package may import which is import-linter's task; see `[tool.importlinter]` in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.trials.status import TrialStatus

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tuner", "search_spaces")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}

MOST_ENTRIES, MOST_LAYERS = 24, 12
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 50
#: The statuses by their names of version 0.1.0 and of today.
STATUSES = {*TrialStatus, "pruned", "resting", "waiting"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(TREES[path]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_the_top_of_the_package_can_be_read_at_a_glance() -> None:
    entries = [path.name for path in (ROOT / "tuner").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_every_package_has_its_place_in_a_few_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = [one for one in settings["contracts"] if one["type"] == "layers"]
    assert contract["containers"] == ["tuner"]
    assert contract["exhaustive"] is True
    assert len(contract["layers"]) <= MOST_LAYERS
    assert set(contract.get("exhaustive_ignores", [])) <= {"__main__"}, "a module without a layer"


def test_no_module_is_too_long() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{name_of(path)}: {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in MODULES
        for function in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_module_imports_a_private_name_of_another() -> None:
    found = [
        f"{name_of(path)}: from {node.module} import {alias.name}"
        for path in MODULES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES
        for alias in node.names
        if any(is_private(part) for part in f"{node.module}.{alias.name}".split("."))
    ]
    assert found == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_no_status_is_compared_as_text() -> None:
    """`TrialStatus` is an enum: a misspelt member fails at once, a misspelt text never does."""
    found = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in MODULES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Compare) and STATUSES & texts_in([node.left, *node.comparators])
    ]
    assert found == []


def texts_in(nodes: list[ast.expr]) -> set[object]:
    """Return the constants that are compared with, also those within a set, list or tuple."""
    within = [
        element
        for node in nodes
        for element in (node.elts if isinstance(node, (ast.Set, ast.List, ast.Tuple)) else [node])
    ]
    return {node.value for node in within if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('record.status == "complete"', True),
        ('status in {"running", "other"}', True),
        ("status == TrialStatus.COMPLETE", False),
        ('event == "started"', False),
    ],
)
def test_a_comparison_with_text_is_recognised(text: str, is_found: bool) -> None:
    (compared,) = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Compare)]
    assert bool(STATUSES & texts_in([compared.left, *compared.comparators])) is is_found


def test_a_search_needs_few_imports() -> None:
    """`tuner.workflows.run` is the course of a run; what a search is made of has modules of its own."""
    tree = TREES[ROOT / "tuner" / "workflows" / "run.py"]
    assert sum(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree)) <= 20


#: Modules outside of the command line whose texts may name its options and commands.
SPEAK_OF_COMMANDS = {
    "tuner/cluster/on_head.py": "it is a command",
    "tuner/cluster/submit.py": "it writes the command line of a job",
    "tuner/cluster/working_folder.py": "it calls git",
    "tuner/execution/autoscaler.py": "it reads options of Ray",
    "tuner/monitoring/json_events.py": "only the command line takes a file for events",
    "tuner/monitoring/optuna_dashboard.py": "a note beside a study",
    "tuner/reporting/html/answer.py": "the report",
    "tuner/workflows/export/card.py": "the card of a model",
    "tuner/workflows/export/checksums.py": "it is copied into exports, and names both",
    "tuner/workflows/export/asked.py": "as `serving.py`, of which it is a part",
    "tuner/workflows/export/serving.py": "it is copied into exports, and is a command there",
    "tuner/reporting/html/facts.py": "commands that make a study again",
    "tuner/workflows/init/write.py": "a comment in a study file",
    "tuner/workflows/steering.py": "only the command line reads params from a file",
}
OF_COMMANDS = re.compile(r"(^|[ `(])--[a-z]|`tuner [a-z]")


def test_a_message_that_python_may_raise_speaks_python() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}: {node.value!r}"
        for path, tree in TREES.items()
        if name_of(path) not in SPEAK_OF_COMMANDS and "tuner/cli/" not in name_of(path)
        for node in texts(tree)
        if OF_COMMANDS.search(node.value)
    ]
    assert found == [], "use `hint` or `argument` of tuner.errors.caller"


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the texts of a module, without docstrings and without those only for the command line."""
    apart: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            apart.add(id(node.value))
        if isinstance(node, ast.Call):
            named = isinstance(node.func, ast.Name) and node.func.id == "argument"
            parts = [node] if named else [one.value for one in node.keywords if one.arg == "command"]
            apart |= {id(part) for one in parts for part in ast.walk(one)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node


#: What needs no quotes in a command: names of studies and trials, whose characters are checked, and numbers.
NAMES = {"folder", "trial", "job.study", "report.folder_shown"}
ENDS_IN_COMMAND = re.compile(r"(?:tuner [a-z]+|--logdir) $")


def test_a_path_in_a_command_that_is_printed_is_quoted_for_a_shell() -> None:
    found = [
        f"{name_of(path)}:{value.lineno}: {ast.unparse(value)}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for text, value in zip(node.values, node.values[1:], strict=False)
        if isinstance(text, ast.Constant) and ENDS_IN_COMMAND.search(str(text.value))
        if isinstance(value, ast.FormattedValue)
        and not ast.unparse(value.value).startswith(("in_shell(", "written"))
        and ast.unparse(value.value) not in NAMES
    ]
    assert found == [], "use `in_shell` of tuner.formatting"
