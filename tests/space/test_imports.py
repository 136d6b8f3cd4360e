"""What is said of a class that cannot be imported: what is wrong, and where."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path

import pytest
from rectools.utils.misc import import_object

from tuner.space.imports import import_problem, no_module

BESIDE = "put the class at the top level of a file next to the study file, and name it as file.Class"
MODULES = {
    "raises_here": """
        VALUES = {}
        VALUES["boom"]
    """,
    "needs_more": "import not_installed_anywhere",
    "misspelt_within": "import math; math.sqroot(2)",
    "half_written": "def layers(:",
    "has_layers": """
        class AlbertLayers: pass
        class _Hidden: pass
    """,
    "has_nothing": "",
}


@pytest.mark.parametrize(
    ("path", "rule", "hint"),
    [
        (
            "raises_here.Layers",
            "must be importable, but raises_here raises KeyError: 'boom'",
            'raises_here.py, line 3: VALUES["boom"]',
        ),
        (
            "needs_more.Layers",
            "must be importable, but needs_more raises ModuleNotFoundError: "
            "No module named 'not_installed_anywhere'",
            "needs_more.py, line 1: import not_installed_anywhere",
        ),
        (
            "misspelt_within.Layers",
            "must be importable, but misspelt_within raises AttributeError: "
            "module 'math' has no attribute 'sqroot'",
            "misspelt_within.py, line 1: import math; math.sqroot(2)",
        ),
        (
            "half_written.Layers",
            "must be importable, but half_written raises SyntaxError: "
            "invalid syntax (half_written.py, line 1)",
            "correct the module",
        ),
        (
            "has_layers.AlbertLayer",
            "must be importable, but has_layers has no 'AlbertLayer'",
            "did you mean 'AlbertLayers'?",
        ),
        (
            "has_layers.Attention",
            "must be importable, but has_layers has no 'Attention'",
            "valid: AlbertLayers",
        ),
        ("has_nothing.Layers", "must be importable, but has_nothing has no 'Layers'", BESIDE),
        (
            "nowhere_at_all.Layers",
            "must be importable, but 'nowhere_at_all.Layers' is not "
            "(ModuleNotFoundError: No module named 'nowhere_at_all')",
            BESIDE,
        ),
        (
            "has_layers.inner.Layers",
            "must be importable, but 'has_layers.inner.Layers' is not (ModuleNotFoundError: "
            "No module named 'has_layers.inner'; 'has_layers' is not a package)",
            BESIDE,
        ),
    ],
)
def test_the_cause_is_told_from_a_module_that_is_missing(
    path: str, rule: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever the module raises
        import_object(path)
    problem = import_problem("cls", path, caught.value)
    assert (problem.where, problem.rule, problem.hint) == ("cls", rule, hint)


@pytest.mark.parametrize(
    ("module", "begins"),
    [
        ("search_spaces.transformer", "did you mean 'transformers'? search_spaces has: albert, all_action, "),
        ("search_spaces.zzz", "search_spaces has: albert, all_action, "),
        ("search_space", "for a file my_space.py next to the study file, write `use: my_space`"),
        ("nowhere.spaces", "for a file my_space.py next to the study file, write `use: my_space`"),
    ],
)
def test_the_modules_of_a_package_are_named(module: str, begins: str) -> None:
    problem = no_module("space.use", module)
    assert problem.rule == f"must be an importable module, but got {module!r}"
    assert str(problem.hint).startswith(begins)
