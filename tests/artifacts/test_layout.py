"""Paths of a study's files: one module has them, and they stay as earlier versions wrote them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuner
from tuner.artifacts import layout

PACKAGE = Path(tuner.__file__).parent

#: Names of files and folders under a study's folder, as they would be spelled in code.
PATTERN = re.compile(
    r"\.ckpt|\.npz|\.pickle$"
    r"|^(logs|checkpoints|users|models|tensorboard)/"
    r"|(trial|fold|final|driver)-$"
    r"|^(driver|export|reproduce|journal)\.log$|\bjournal\."
    r"|^\.(lock|journal\.lock|tune|fetched|growing|check/?)$|^\.check/"
    r"|^(logs|checkpoints|tensorboard|studies|study\.yaml|report\.html)$"
)
#: Where such a name is something else.
ELSEWHERE = {
    ("artifacts/layout.py", None),
    ("cli/init.py", "study.yaml"),  # the study file that the user is to edit
    ("data/reading/foreign.py", ".npz"),  # kinds of files that the reader refuses
    ("data/reading/foreign.py", ".pickle"),
    ("execution/start_failure.py", "logs"),  # a folder of Ray
    ("workflows/export/serving.py", "model.pickle"),  # a file of an export
}


def literals(path: Path) -> Iterator[str]:
    """Yield the strings of a module that are no docstrings, f-strings in parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_other_module_spells_a_path() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for text in literals(path):
            allowed = {(module, text), (module, None)} & ELSEWHERE
            if PATTERN.search(text) and not allowed:
                found.append(f"{module}: {text!r}")
    assert found == []


def test_the_search_for_paths_finds_them() -> None:
    assert any(PATTERN.search(text) for text in literals(PACKAGE / "artifacts" / "layout.py"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (layout.trial_log(7), "logs/trial-0007.log"),
        (layout.holdout_fit_log(7, 11), "logs/final-0007-seed-11.log"),
        (layout.attempt_log(7, None), "logs/trial-0007.log"),
        (layout.attempt_log(7, (0,)), "logs/trial-0007.log"),
        (layout.attempt_log(7, (2,)), "logs/trial-0007-fold-3.log"),
        (layout.checkpoint(7), "checkpoints/trial-0007.ckpt"),
        (layout.fold_checkpoint(7, 0), "checkpoints/trial-0007-fold-1.ckpt"),
        (layout.users(7, 0), "users/trial-0007-fold-1.npz"),
        (layout.holdout_users(7, 11), "users/final-0007-seed-11.npz"),
        (layout.model_path(Path("s"), 7, 0), "s/models/trial-0007/fold-1.pickle"),
        (layout.driver_log(Path("s")), "s/logs/driver.log"),
        (layout.driver_log(Path("s"), "a1"), "s/logs/driver-a1.log"),
        (layout.tensorboard_folder(Path("s")) / layout.tensorboard_run(7, "ease"), "s/tensorboard/0007-ease"),
        (layout.free_backup(Path("s")), "s/journal.1.log"),
        (layout.journal_lock(Path("s", layout.JOURNAL)), "s/.journal.lock"),
        (layout.scratch_folder(Path("s"), "a1"), "s/.tune/a1"),
    ],
)
def test_paths_are_those_of_earlier_versions(path: Path | str, expected: str) -> None:
    assert str(path) == expected


def test_files_are_found_by_the_names_they_were_given(tmp_path: Path) -> None:
    for name in (layout.users(7, 1), layout.users(7, 0), layout.users(17, 0), layout.holdout_users(7, 0)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [fold for fold, _ in layout.users_by_fold(tmp_path, 7)] == [0, 1]
    assert layout.is_users_of(layout.users(7, 1), 7)
    assert not layout.is_users_of(layout.users(17, 1), 7)
    run = layout.tensorboard_folder(tmp_path) / layout.tensorboard_run(7, "ease")
    run.mkdir(parents=True)
    files = [run / "events.1", run.parent / "events.2"]
    for path in files:
        path.touch()
    assert list(layout.tensorboard_files(tmp_path, 7)) == files
    (tmp_path / "journal.1.log").touch()
    assert layout.free_backup(tmp_path).name == "journal.2.log"
