"""Values that Python has and a study file has not: scalars of numpy are numbers, and sets have no order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from tuner import Study
from tuner.config.snapshot import snapshot
from tuner.errors import StudyError
from tuner.space import Choice, Fixed, Float, Int


def study(**sections: Any) -> Study:
    given: dict[str, Any] = {
        "study": "shop",
        "data": {"interactions": "clicks.csv"},
        "folds": {"split": "last_n", "size": 1},
        "metrics": {"objective": "NDCG@10", "direction": "maximize"},
        "space": {"set": {"cls": "EASEModel"}},
    }
    return Study(**{**given, **sections})


def test_numbers_of_numpy_are_numbers_of_a_study() -> None:
    assert study(search={"trials": np.int64(3)}).search.trials == 3
    made = study(
        training={"epochs": np.int32(5), "fast": np.bool_(False)}, resources={"cpus_per_trial": np.float32(2)}
    )
    assert (made.training.epochs, made.training.fast, made.resources.cpus_per_trial) == (5, False, 2.0)
    rungs = study(stopping={"halving": {"rungs": [np.int64(1), np.int64(4)]}}).stopping.halving.rungs
    assert [type(rung) for rung in rungs] == [int, int]


def test_numbers_of_numpy_are_numbers_of_a_space() -> None:
    whole = Int(np.int64(2), np.int64(8), step=np.int64(2), log=np.bool_(False))
    assert whole == Int(2, 8, step=2)
    assert {type(one) for one in (whole.low, whole.high, whole.step)} == {int}
    assert type(whole.log) is bool
    assert Float(np.float64(0.5), np.float32(1), log=np.bool_(True)) == Float(0.5, 1.0, log=True)
    assert Choice(*np.array([8, 16])) == Choice(8, 16)
    assert type(Fixed(np.float64(0.5)).value) is float
    with pytest.raises(TypeError, match=r"low must be an integer, but got 2\.0"):
        Int(np.float64(2.0), 8)


def test_numbers_of_numpy_in_a_baseline_or_a_change_are_written_to_the_study() -> None:
    made = study(
        baselines=[{"name": "one", "params": {"cls": "SASRecModel", "n_factors": np.int64(8)}}],
        space={"set": {"cls": "SASRecModel", "lr": np.float64(0.5)}},
    )
    again = Study(**yaml.safe_load(snapshot(made)))
    assert again.baselines[0].params["n_factors"] == 8
    assert again.space.set["lr"] == 0.5


def test_sets_are_refused_where_the_order_counts() -> None:
    with pytest.raises(StudyError, match="baselines: must be a list, because a set has no order"):
        study(baselines={"popular", "ease"})


@pytest.mark.parametrize("value", ["fsat", 1, None])
def test_a_union_is_told_as_one_rule(value: object) -> None:
    with pytest.raises(StudyError) as error:
        study(training={"fast": value})
    (problem,) = error.value.problems
    assert str(problem).startswith(f"training.fast: must be true, false or unpadded, but got {value!r}")
