"""Classes of a script or a notebook become modules: by content, with what they use, or with a cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What a script defines; `path` prints a class's path, its module's text, and what its object gives there.
SCRIPT = """
from __future__ import annotations
import json, sys
from functools import partial
import collections as col
from pathlib import Path
from tuner.space import Choice

SIZE, NAMES = 3, ["a", "b"]
ORDER = partial(sorted, key=len)
BOTH = {"size": SIZE, "order": ORDER}
live = open(__file__)

def helper(value: col.Counter):
    return value + SIZE

def twice(value):
    return helper(value) * 2

class Base:
    size = SIZE
    def other(self):
        return Later
    def __repr__(self):
        return f"{type(self).__module__}"

Alias = Base

class Later(Base):
    pass

class Used(Alias):
    def value(self):
        SIZE_HERE = BOTH["size"]
        return twice(1) + SIZE_HERE + len(NAMES), BOTH["order"](["bb", "a"]), super().__repr__()

class Live:
    def read(self):
        return live.read()

class Clean:
    def read(self, live):  # a name of its own
        SIZE = 1
        return [SIZE for live in ()]

def inside():
    class Hidden:
        pass
    return Hidden

def path(cls):
    (name,) = Choice(cls).options
    module = sys.modules[name.rpartition(".")[0]]
    made = getattr(module, cls.__name__)()
    print(json.dumps([name, Path(module.__file__).read_text(), repr(type(made))]))
"""


def script(folder: Path, end: str, *, change: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    (folder / "made.py").write_text(SCRIPT.replace(*change) + textwrap.dedent(end), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "made.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def lines(folder: Path, end: str, *, change: tuple[str, str] = ("", "")) -> list[list[str]]:
    done = script(folder, end, change=change)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_class_comes_with_what_it_uses_and_works_there(tmp_path: Path) -> None:
    end = """
    path(Used)
    module = sys.modules[Choice(Used).options[0].rpartition(".")[0]]
    print(json.dumps(module.Used().value()))
    """
    (name, text, shown), (value, order, home) = lines(tmp_path, end)
    assert name.endswith(".Used")
    assert name.startswith("cell_")
    assert name.rpartition(".")[0] in shown
    assert (value, order) == (2 * (1 + 3) + 3 + 2, ["a", "bb"])
    assert home == name.rpartition(".")[0]
    for unused in ("Live", "live", "Clean", "json", "def path"):
        assert unused not in text
    assert text.index("SIZE = 3") < text.index("BOTH = "), "what a constant needs stands before it"


def test_classes_that_need_each_other_share_a_module(tmp_path: Path) -> None:
    (base, text, _), (later, again, _) = lines(tmp_path, "path(Base)\npath(Later)")
    assert base.rpartition(".")[0] == later.rpartition(".")[0]
    assert text == again
    assert text.index("class Base") < text.index("class Later")


def test_the_name_is_that_of_the_content(tmp_path: Path) -> None:
    end = "path(Used)\npath(Clean)"
    (used, *_), (clean, *_) = lines(tmp_path, end)
    (same, *_), _ = lines(tmp_path, "x = 1\n" + end)
    (other, *_), (still, *_) = lines(tmp_path, end, change=("return value + SIZE", "return value - SIZE"))
    assert same == used, "the same code in another script"
    assert other != used, "a function that the class uses has changed"
    assert still == clean, "what the class does not use may change"


@pytest.mark.parametrize(
    ("asked", "where", "cure"),
    [
        (
            "Live",
            "live: must not be used in code for workers, but 'live' is a TextIOWrapper",
            "as an argument",
        ),
        ("inside()", "must be at the top level of a cell to be sent to workers", "move it out"),
        (
            "type('Made', (), {'__module__': '__main__'})",
            "needs the source of Made",
            "put the code into a file",
        ),
    ],
)
def test_what_cannot_be_a_module_is_refused_with_the_cure(
    tmp_path: Path, asked: str, where: str, cure: str
) -> None:
    done = script(tmp_path, f"path({asked})")
    assert done.returncode == 1
    assert where in done.stderr
    assert cure in done.stderr


def test_metrics_splitters_and_baselines_may_be_classes(tmp_path: Path) -> None:
    end = """
    from rectools.metrics import NDCG
    from rectools.metrics.base import MetricAtK
    from rectools.model_selection import LastNSplitter
    from tuner import Space, Study
    from tuner.config.snapshot import snapshot

    class Depth(MetricAtK):
        pass

    class Last(LastNSplitter):
        pass

    study = Study(
        study="made",
        data={"interactions": "clicks.csv"},
        folds={"splitter": Last, "n": 1},
        metrics={
            "objective": NDCG(k=10, divide_by_achievable=True),
            "direction": "maximize",
            "report": [Depth(k=5)],
        },
        space={"set": {"cls": "SASRecModel", "transformer_layers_type": [Used, Later]}},
        baselines=[{"name": "one", "params": {"transformer_layers_type": Used}}],
    )
    print(json.dumps(snapshot(study)))
    """
    ((text),) = lines(tmp_path, end)
    assert "NDCG@10:\n      divide_by_achievable: true" in text
    assert "__main__" not in text
    for name in ("Depth@5", "Last", "Used", "Later"):
        assert f".{name}" in text
