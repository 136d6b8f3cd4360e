"""What better means is decided in one module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tuner
from tuner.trials.objective import Direction, best_value, is_better, more_is_better, sort_key

PACKAGE = Path(tuner.__file__).parent
values = st.floats(allow_nan=False, allow_infinity=False)
directions = st.sampled_from(["maximize", "minimize"])

#: A comparison with the name of a direction, or with a flag made of it.
COMPARED = re.compile(
    r"""[!=]=\s*["'](max|min)imize["']|["'](max|min)imize["']\s*[!=]=|\bif maximize\b|\.maximize\b"""
)
#: Where Optuna's own direction is meant.
ALLOWED = {"trials/objective.py"}


@given(st.lists(values, min_size=1), directions)
def test_the_best_value_is_first_in_order_and_beaten_by_none(
    found: list[float], direction: Direction
) -> None:
    best = best_value(found, direction)
    assert best == (max(found) if direction == "maximize" else min(found))
    assert sorted(found, key=lambda value: sort_key(value, direction))[0] == best
    assert not any(is_better(value, best, direction) for value in found)


@given(values, values)
def test_the_directions_are_opposite(one: float, other: float) -> None:
    assert is_better(one, other, "maximize") == is_better(other, one, "minimize") == (one > other)
    assert not (is_better(one, other, "maximize") and is_better(one, other, "minimize"))


def test_no_value_is_not_the_best() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_value([], "maximize")


def test_more_is_better_to_maximize() -> None:
    assert more_is_better("maximize")
    assert not more_is_better("minimize")


def test_no_other_module_compares_with_a_direction() -> None:
    found = [
        f"{module}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if (module := path.relative_to(PACKAGE).as_posix()) not in ALLOWED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if COMPARED.search(line)
    ]
    assert found == []
