"""The difference of two trials on the same users: one formula for the race, the report and the comparison."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.trials.paired import Paired, paired_difference, standard_error

Folds = dict[int, np.ndarray]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Folds, Folds]:
    """Two trials' values on folds of two to forty users."""
    sizes = draw(st.lists(st.integers(2, 40), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shift = draw(st.floats(-0.5, 0.5))
    one = {fold: rng.random(size).astype(np.float32) for fold, size in enumerate(sizes)}
    other = {fold: one[fold] + shift * rng.random(size) for fold, size in enumerate(sizes)}
    return one, {fold: values.astype(np.float32) for fold, values in other.items()}


def by_hand(one: Folds, other: Folds) -> tuple[float, float]:
    """Return difference and standard error, written out."""
    folds = [np.subtract(one[f], other[f], dtype=np.float64) for f in one]
    means = [sum(d) / len(d) for d in folds]
    variances = [sum((d - m) ** 2) / (len(d) - 1) / len(d) for d, m in zip(folds, means, strict=True)]
    return sum(means) / len(folds), math.sqrt(sum(variances) / len(folds) ** 2)


@given(pairs())
def test_each_fold_weighs_as_the_objective_weighs_it(two: tuple[Folds, Folds]) -> None:
    one, other = two
    found = paired_difference(one, other)
    assert found is not None
    difference, error = by_hand(one, other)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.error == pytest.approx(error, abs=1e-12)
    assert found.n_users == sum(values.size for values in one.values())
    objectives = [np.mean([values.mean(dtype=np.float64) for values in side.values()]) for side in two]
    assert found.difference == pytest.approx(objectives[0] - objectives[1], abs=1e-9), "the objective's"


@given(pairs())
def test_it_is_antisymmetric(two: tuple[Folds, Folds]) -> None:
    one, other = two
    found, turned = paired_difference(one, other), paired_difference(other, one)
    assert found is not None
    assert turned is not None
    assert (turned.difference, turned.error) == pytest.approx((-found.difference, found.error))
    verdicts = {found.better("maximize"), turned.better("maximize")}
    assert verdicts in ({None}, {True, False})


@given(pairs(), st.integers(0, 2**32 - 1))
def test_the_order_of_users_does_not_matter(two: tuple[Folds, Folds], seed: int) -> None:
    one, other = two
    rng = np.random.default_rng(seed)
    orders = {fold: rng.permutation(values.size) for fold, values in one.items()}
    mixed = [{fold: side[fold][orders[fold]] for fold in reversed(list(side))} for side in two]
    found, shuffled = paired_difference(one, other), paired_difference(*mixed)
    assert found is not None
    assert shuffled is not None
    assert (shuffled.difference, shuffled.error) == pytest.approx((found.difference, found.error))


def test_a_small_fold_weighs_as_much_as_a_large_one() -> None:
    small, large = np.repeat([0.0, 0.02], 100), np.repeat([0.02, 0.0328], 900)
    zero = {0: np.zeros(200), 1: np.zeros(1800)}
    found = paired_difference({0: small, 1: large}, zero)
    assert found is not None
    assert found.difference == pytest.approx((0.01 + 0.0264) / 2), "+0.0182; all users together give +0.0248"
    assert np.concatenate([small, large]).mean() == pytest.approx(0.02476)
    assert found.error == pytest.approx(math.hypot(standard_error(small), standard_error(large)) / 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({0: np.ones(3)}, {1: np.ones(3)}),
        ({0: np.ones(3)}, {0: np.ones(4)}),
        ({0: np.ones(3), 1: np.ones(1)}, {0: np.ones(3), 1: np.ones(1)}),
    ],
    ids=["no fold", "no common fold", "other users", "a single user"],
)
def test_what_cannot_be_compared_has_no_difference(one: Folds, other: Folds) -> None:
    assert paired_difference(one, other) is None


def test_an_interval_around_zero_tells_nothing() -> None:
    assert Paired(0.1, 0.1, 10).better("maximize") is None
    assert Paired(0.1, 0.1, 10).better("maximize", z=0.5) is True
    assert Paired(-0.1, 0.01, 10).better("minimize") is True
    assert Paired(-0.1, 0.01, 10).better("maximize") is False
    assert Paired(0.0, 0.0, 10).better("maximize") is None, "equal trials"
