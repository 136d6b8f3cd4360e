"""The benchmarks can be started, and what they found is what README shows. None is run here."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.measuring import RESULTS

FOLDER = Path(tables.__file__).parent
ROOT = FOLDER.parent
#: Scripts that no test runs as a whole: what they import within a function could be gone without a word.
SCRIPTS = sorted([*FOLDER.glob("*.py"), *(ROOT / "docs").glob("*.py"), *(ROOT / "examples").rglob("*.py")])
NO_COMMANDS = {
    "__init__",
    "contenders",
    "judging",
    "made_study",
    "measuring",
    "one_epoch",
    "over_table",
    "packing",
    "profiling",
    "quality",
    "recording",
    "replay",
    "shares",
    "small_study",
    "table_data",
}
COMMANDS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NO_COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_says_what_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Give module and name of all that a file imports, also within its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "__name__") for alias in node.names)


def is_there(module: str, name: str) -> bool:
    """Tell whether `from MODULE import NAME` works."""
    if hasattr(importlib.import_module(module), name):
        return True
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(f"{module}.{name}")
        return True
    return False


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_a_script_imports_is_there(path: Path) -> None:
    if path.name == "website.py":
        pytest.importorskip("mkdocs", reason="needs the extra docs")
    assert [pair for pair in imported_names(path) if not is_there(*pair)] == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_names_its_machine_and_its_figures(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["machine"]["cores"] >= 1
    assert result["figures"]
    assert all(type(value) in {int, float} for value in result["figures"].values())


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.parent.name)
def test_a_page_shows_the_results(page: Path) -> None:
    text = page.read_text()
    assert tables.fill(text) == text, "run `python -m benchmarks.tables`"


def test_every_result_has_its_table() -> None:
    text = tables.PAGES[0].read_text()
    for path in RESULTS.glob("*.json"):
        assert f"<!-- table {path.stem} -->" in text


def test_a_table_of_a_part_takes_its_figures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"processor": "P", "cores": 2, "load": [0.5, 0, 0], "rectools": "1", "torch": "2"}
    figures = {"e_over_a": 5, "beauty/e_over_a": 5, "beauty/loop/seconds": 7, "movielens/e_over_a": 4}
    (tmp_path / "study.json").write_text(json.dumps({"machine": machine, "figures": figures}))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    text = tables.fill("<!-- table study beauty -->\nold\n<!-- end -->\n")
    assert "| `loop` |  | 7 |" in text
    assert "| `e_over_a` | 5 |  |" in text
    assert "movielens" not in text
    assert "old" not in text


def test_a_table_puts_figures_in_columns_and_judges_targets() -> None:
    machine = {"processor": "P", "cores": 2, "load": [0.5, 0, 0], "rectools": "1", "torch": "2"}
    figures = {"overhead_1s": 1.2, "overhead_1s/asked": 1.5, "overhead_5s": 1.01, "ray_1s": 3}
    lines = tables.table("overhead", {"machine": machine, "figures": figures}).splitlines()
    assert lines[:3] == ["| figure | value | asked |", "|---|---:|---:|", "| `overhead_1s` | 1.2 | 1.5 |"]
    assert "- target at most 1.1 for `overhead_1s`: missed with 1.2" in lines
    assert "- target at most 1.05 for `overhead_5s`: met with 1.01" in lines
