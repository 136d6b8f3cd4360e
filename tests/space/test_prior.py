"""The prior of a space: the score of points, its file, and that it changes no point of the space."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.space import Choice, Float, Space
from tuner.space.prior import Prior, features

PRIOR = Prior(
    {
        "lr": {"linear": 0.4, "curved": -0.6},
        "loss": {"softmax": 0.1, "BCE": -0.2},
        "cls": {"SASRecModel": 0.3},
    },
    ("here",),
)


@pytest.mark.parametrize(("lr", "expected"), [(1e-4, -0.3), (1e-3, 0.05), (1e-2, 0.1)])
def test_a_number_counts_by_its_place_in_the_range(lr: float, expected: float) -> None:
    score = PRIOR.score({"lr@SASRecModel": lr}, {"lr@SASRecModel": FloatDistribution(1e-4, 1e-2, log=True)})
    assert score == pytest.approx(expected)


def test_an_option_counts_by_its_short_name_and_an_unknown_value_not_at_all() -> None:
    distributions = {
        "cls": CategoricalDistribution(["rectools.models.SASRecModel", "x.Other"]),
        "loss": CategoricalDistribution(["softmax", "BCE", "gBCE"]),
        "new": IntDistribution(1, 3),
    }
    known = {"cls": "rectools.models.SASRecModel", "loss": "BCE", "new": 2}
    assert PRIOR.score(known, distributions) == pytest.approx(0.1)
    assert PRIOR.score({**known, "cls": "x.Other", "loss": "gBCE"}, distributions) == 0


def test_numbers_among_options_have_places_and_truth_values_have_names() -> None:
    widths, switch = CategoricalDistribution([16, 64, 32]), CategoricalDistribution([True, False])
    found = list(features({"n[16,32,64]": 64, "causal": False}, {"n[16,32,64]": widths, "causal": switch}))
    assert found == [("n", "linear", 0.5), ("n", "curved", pytest.approx(1 / 6)), ("causal", "False", 1.0)]


def test_a_prior_survives_its_file(tmp_path: Path) -> None:
    PRIOR.write(tmp_path / "prior.json")
    assert Prior.read(tmp_path / "prior.json") == PRIOR


def test_a_space_keeps_its_prior_when_it_is_narrowed_and_is_the_same_space() -> None:
    plain = Space(
        {
            "cls": "rectools.models.SASRecModel",
            "loss": Choice("softmax", "BCE"),
            "lr": Float(1e-4, 1e-2, log=True),
        }
    )
    space = plain.with_prior(PRIOR)
    assert space == plain
    assert space.narrow({"loss": "BCE"}).prior is PRIOR
    assert space.with_prior(None).prior is None
