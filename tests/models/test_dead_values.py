"""Values that no trial can have are found; those that work with some others are not."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.models.feasibility import Dead, dead_values, infeasible
from tuner.space import Choice, Int, Space, load_space

SASREC = {"cls": "SASRecModel", "n_blocks": 1, "session_max_len": 5}


def dead(params: dict[str, Any]) -> Dead:
    return dead_values(Space(params), infeasible, seed=1)


@pytest.mark.parametrize(
    ("params", "where", "rule", "is_all"),
    [
        ({**SASREC, "n_factors": 8, "n_heads": 3}, "n_heads", "got n_factors=8, n_heads=3", True),
        ({**SASREC, "n_factors": Choice(8, 16), "n_heads": Choice(1, 3)}, "n_heads", "n_heads=3", False),
        ({**SASREC, "loss": Choice("sofmax", "BCE")}, "loss", "got 'sofmax'", False),
        ({"cls": Choice("EASEModel", "SASRecModel"), "loss": "sofmax"}, "loss", "got 'sofmax'", False),
        (
            {**SASREC, "n_factors": 8, "n_heads": Choice(3, 5, 7)},
            "n_heads",
            "`n_factors % n_heads == 0` must hold",
            True,
        ),
    ],
)
def test_a_value_that_never_works_is_found_with_its_rule(
    params: dict[str, Any], where: str, rule: str, is_all: bool
) -> None:
    found = dead(params)
    assert found.is_all is is_all
    (problem,) = found.problems
    assert problem.where == where
    assert rule in problem.rule
    assert problem.hint


@pytest.mark.parametrize(
    "params",
    [
        {**SASREC, "n_factors": Int(8, 64), "n_heads": Choice(4, 8)},
        {**SASREC, "n_factors": Choice(8, 10, 12, 14, 16, 18, 22, 26), "n_heads": Choice(1, 2, 5, 7)},
        {**SASREC, "n_factors": Choice(8, 30), "n_heads": Choice(4, 3)},
    ],
)
def test_values_that_work_with_some_others_are_not_dead(params: dict[str, Any]) -> None:
    assert dead(params) == Dead((), is_all=False)


@pytest.mark.parametrize("name", ["classic", "esasrec", "everything", "guide", "hstu", "transformers"])
def test_our_spaces_have_no_dead_values(name: str) -> None:
    assert dead_values(load_space(f"search_spaces.{name}"), infeasible, seed=3) == Dead((), is_all=False)
