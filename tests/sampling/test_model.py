"""The sampler `model`: its parts, and what it suggests."""

from __future__ import annotations

import json
import math

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config import Sampler
from tuner.sampling.encoding import Drawn, Encoding, draw_point
from tuner.sampling.forecast import FOLD_ENDS, forecast, milestones
from tuner.sampling.model import ModelSampler, _learned
from tuner.sampling.samplers import make_sampler
from tuner.sampling.surrogate import fit
from tuner.space import Choice, Divides, Float, Int, Space
from tuner.trials.schema import PARAMS

SPACE = Space(
    {
        "cls": "SASRecModel",
        "n_factors": Choice(16, 32, 64),
        "n_heads": Choice(1, 2, 3, relations=[Divides("n_factors")]),
        "loss": Choice({"softmax": {}, "gBCE": {"gbce_t": Float(0, 1)}}),
        "lr": Float(1e-4, 1e-1, log=True),
        "n_blocks": Int(1, 4),
    }
)


#: A value of the dimension that only gBCE has.
GBCE = {"gbce_t@gBCE": 0.5}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


# ####  --------------  Forecasts  --------------  #### #


def test_milestones_are_powers_of_two_and_the_ends_of_folds() -> None:
    curve = {(0, epoch): float(value) for epoch, value in enumerate([1, 4, 3, 2, 5, 6], 1)}
    assert milestones(curve, sign=1, n_epochs=6) == {0: 1, 1: 4, 2: 4, FOLD_ENDS: 6}
    assert milestones(curve, sign=1, n_epochs=9) == {0: 1, 1: 4, 2: 4}
    later = curve | {(1, 1): 8.0, (1, 6): 2.0}
    assert milestones(later, sign=1, n_epochs=6)[FOLD_ENDS + 1] == 7
    assert milestones(curve, sign=-1, n_epochs=6) == {0: -1, 1: -1, 2: -1, FOLD_ENDS: -1}


def test_a_fold_that_ended_by_patience_has_ended_when_the_next_one_begins() -> None:
    curve = {(0, 1): 1.0, (0, 2): 2.0}
    assert FOLD_ENDS not in milestones(curve, sign=1, n_epochs=9)
    assert milestones(curve | {(1, 1): 0.5}, sign=1, n_epochs=9)[FOLD_ENDS] == 2


def test_a_model_with_one_evaluation_for_each_fold_has_the_ends_of_folds() -> None:
    assert milestones({(0, 0): 1.0, (1, 0): 3.0}, sign=1, n_epochs=0) == {FOLD_ENDS: 1, FOLD_ENDS + 1: 2}


def test_a_forecast_follows_the_other_trials() -> None:
    rng = np.random.default_rng(1)
    early = rng.random(60)
    final = 0.3 + 2 * early + 0.01 * rng.standard_normal(60)
    passed = [{0: value} for value in early]
    found = forecast(passed, [*final[:50], *([None] * 10)])
    assert found.means[:50] == pytest.approx(final[:50])
    assert not found.variances[:50].any()
    assert found.means[50:] == pytest.approx(final[50:], abs=0.15)
    assert (found.variances[50:] > 0).all()


def test_an_earlier_value_is_less_certain() -> None:
    passed = [{0: 0.1, 2: 0.2, FOLD_ENDS: 0.3}, {0: 0.2, 2: 0.2, FOLD_ENDS: 0.4}, {0: 0.1, 2: 0.2}, {0: 0.3}]
    found = forecast(passed, [0.3, 0.5, None, None])
    assert found.variances[3] > found.variances[2] > 0


def test_without_complete_trials_the_slope_is_one() -> None:
    assert forecast([{0: 0.1}, {0: 0.4}], [None, None]).means.tolist() == [0.1, 0.4]


# ####  --------------  Points as numbers  --------------  #### #


@given(st.integers(0, 2**32), st.booleans())
def test_drawn_points_belong_to_the_space(seed: int, near: bool) -> None:
    rng = np.random.default_rng(seed)
    first = draw_point(SPACE, rng)
    drawn = draw_point(SPACE, rng, first.point if near else None)
    SPACE.decode(drawn.point)
    assert drawn.distributions == SPACE.distributions(drawn.point)


@given(st.integers(0, 2**32))
def test_distances_are_those_of_a_metric_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [draw_point(SPACE, rng) for _ in range(6)]
    encoding = Encoding(points)
    rows = encoding.encode([one.point for one in points])
    distances = encoding.distances(rows, rows)
    assert (np.diag(distances) == 0).all()
    assert distances == pytest.approx(distances.T)
    assert (distances[:, :, None] <= distances[:, None, :] + distances.T[None, :, :] + 1e-9).all()


def test_a_number_counts_by_its_share_of_the_range_and_an_option_by_its_name() -> None:
    def drawn(**point: object) -> Drawn:
        known = {"n_factors": 16, "n_heads[1,2]": 1, "loss": "softmax", "lr": 1e-4, "n_blocks": 1}
        merged = known | point
        return Drawn(merged, SPACE.distributions(merged))

    points = [drawn(), drawn(lr=1e-1), drawn(lr=10**-2.5), drawn(n_factors=32), drawn(loss="gBCE", **GBCE)]
    encoding = Encoding(points)
    rows = encoding.encode([one.point for one in points])
    assert encoding.distances(rows[:1], rows)[0] == pytest.approx([0, 1, 0.5, 0.5, 2])


@pytest.mark.parametrize(
    "domain", [Int(1, 5), Int(1, 1000, log=True), Int(0, 10, step=5), Float(0, 1, step=0.25), Float(0.5, 0.5)]
)
def test_each_value_of_a_range_is_drawn(domain: object) -> None:
    rng, space = np.random.default_rng(3), Space({"cls": "EASEModel", "x": domain, "y": Int(0, 1)})
    values = {draw_point(space, rng).point.get("x") for _ in range(400)} - {None}
    for value in values:
        space.decode({"x": value, "y": 0})
    distribution = space.domains["x"].distribution()
    if distribution is not None and not getattr(distribution, "log", False) and distribution.step:
        assert len(values) == round((distribution.high - distribution.low) / distribution.step) + 1


# ####  --------------  The Gaussian process  --------------  #### #


def test_a_process_returns_exact_observations_and_is_unsure_elsewhere() -> None:
    places = np.linspace(0, 1, 12)
    distances = 8 * np.abs(places[:, None] - places[None, :])
    values = np.sin(6 * places)
    process = fit(distances, values, np.zeros(12))
    mean, deviation = process.predict(distances)
    assert mean == pytest.approx(values, abs=0.15)
    _, far = process.predict(np.full((1, 12), 100.0))
    assert far[0] > 3 * deviation.max()


def test_an_uncertain_observation_counts_for_less() -> None:
    distances = np.array([[0.0, 4.0], [4.0, 0.0]])
    process = fit(distances, np.array([0.0, 1.0]), np.array([0.0, 9.0]))
    mean, _ = process.predict(distances)
    assert mean[1] < 0.5


def test_equal_values_are_no_error() -> None:
    mean, _ = fit(np.ones((3, 3)) - np.eye(3), np.full(3, 0.5), np.zeros(3)).predict(np.ones((1, 3)))
    assert mean == pytest.approx([0.5])


# ####  --------------  The sampler  --------------  #### #


def search(n_trials: int, *, direction: str = "maximize", seed: int = 1, n_epochs: int = 4) -> optuna.Study:
    """Search: lr should be near 1e-2, and gBCE is bad. Two of three trials end after one epoch."""
    sign = 1.0 if direction == "maximize" else -1.0
    study = optuna.create_study(direction=direction, sampler=make_sampler(Sampler(use="model"), seed, SPACE))
    for number in range(n_trials):
        trial = study.ask()
        flat = SPACE.suggest(trial)
        trial.set_user_attr(PARAMS, {**json.loads(json.dumps(flat)), "epochs": n_epochs})
        best = 1 - abs(math.log10(float(str(flat["lr"]))) + 2) - (flat["loss"] == "gBCE")
        trial.report(sign * (best - 0.5), 1)
        if number % 3:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        trial.report(sign * best, n_epochs)
        study.tell(trial, sign * best)
    return study


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_it_learns_also_from_trials_that_did_not_end(direction: str) -> None:
    study = search(40, direction=direction)
    last = study.trials[20:]
    good = [t for t in last if t.params["loss"] == "softmax" and 3e-3 < t.params["lr"] < 3e-2]
    assert len(good) > 9  # a random search has one in six: 3


def test_suggestions_depend_on_seed_and_reports_alone() -> None:
    def points(seed: int) -> list[object]:
        return [trial.params for trial in search(10, seed=seed).trials]

    assert points(1) == points(1)
    assert points(1) != points(2)


def test_running_trials_are_avoided() -> None:
    study = search(12)
    asked = [study.ask() for _ in range(8)]
    for trial in asked:
        SPACE.suggest(trial)
    assert len({json.dumps(trial.params) for trial in asked}) == 8


def test_a_point_that_was_queued_is_taken_as_it_is() -> None:
    study = search(8)
    study.enqueue_trial({"lr": 0.05, "n_blocks": 3})
    trial = study.ask()
    SPACE.suggest(trial)
    assert (trial.params["lr"], trial.params["n_blocks"]) == (0.05, 3)


def test_it_learns_from_a_bounded_history() -> None:
    means = np.random.default_rng(1).permutation(1000).astype(float)
    learned = _learned(means)
    assert len(learned) == 300
    assert (np.diff(learned) > 0).all()
    assert set(np.argsort(-means)[:150]) <= set(learned.tolist())
    assert {*range(990, 1000)} <= set(learned.tolist())


def test_trials_that_violate_a_constraint_count_as_bad() -> None:
    def share_of_gbce(*, violates: bool) -> float:
        study = optuna.create_study(direction="maximize", sampler=ModelSampler(SPACE, seed=5, random_share=0))
        for _ in range(24):
            trial = study.ask()
            flat = SPACE.suggest(trial)
            trial.set_user_attr(PARAMS, {"epochs": 1})
            bad = flat["loss"] == "gBCE"
            trial.set_constraint("parameters", 1.0 if bad and violates else -1.0)
            value = 1.0 if bad else 0.5
            trial.report(value, 1)
            study.tell(trial, value)
        return float(np.mean([trial.params["loss"] == "gBCE" for trial in study.trials[12:]]))

    assert share_of_gbce(violates=False) > 0.5 > share_of_gbce(violates=True)
