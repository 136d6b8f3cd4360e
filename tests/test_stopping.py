"""Which trials are stopped early: the rules, and the referee that feeds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.results import Stop, Users
from tuner.spec import Halving, Race, Stopping
from tuner.stopping import Referee, halve, race, rungs_for

values = st.floats(0, 1, allow_nan=False)


def referee(halving: Halving | None = None, race_rule: Race | None = None, *, n_folds: int = 3) -> Referee:
    return Referee(halving, race_rule, epochs=12, n_folds=n_folds, direction="maximize")


def users(fold: int, *by_epoch: list[float]) -> Users:
    return Users(fold, tuple(range(1, len(by_epoch) + 1)), np.array(by_epoch, dtype=np.float32))


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, ()),
        (2, ()),
        (3, (2,)),
        (4, (2,)),
        (5, (2, 4)),
        (12, (2, 4, 8)),
        (16, (2, 4, 8)),
        (17, (2, 4, 8, 16)),
    ],
)
def test_rungs_double_and_stay_below_the_last_epoch(epochs: int, rungs: tuple[int, ...]) -> None:
    assert rungs_for(epochs) == rungs


@given(values, st.lists(values, max_size=30), st.floats(0.05, 0.95), st.integers(2, 6))
def test_halving_keeps_the_share_it_says(value: float, others: list[float], keep: float, grace: int) -> None:
    rule = Halving(keep=keep, grace=grace)
    field = [value, *others]
    stopped = [one for i, one in enumerate(field) if halve(one, field[:i] + field[i + 1 :], rule, "maximize")]
    if len(field) < grace:
        assert stopped == []
    else:
        going = len(field) - len(stopped)
        assert going >= max(1, keep * len(field) - 1e-9), "ties go on"
        assert max(field) not in stopped
        assert all(one <= min(set(field) - set(stopped), default=1) for one in stopped)


@given(values, st.lists(values, min_size=3, max_size=20))
def test_the_direction_turns_halving_around(value: float, others: list[float]) -> None:
    up = halve(value, others, Halving(), "maximize")
    down = halve(-value, [-other for other in others], Halving(), "minimize")
    assert (up is None) == (down is None)


def test_a_race_is_lost_where_the_users_agree_and_open_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    incumbent = rng.random(1000).astype(np.float32)
    worse = incumbent - np.float32(0.02)
    evidence = race(worse, incumbent, Race(z=3), "maximize")
    assert evidence is not None
    assert evidence["difference"] == pytest.approx(-0.02, abs=1e-6)
    assert evidence["n_users"] == 1000
    assert race(worse, incumbent, Race(z=3), "minimize") is None
    noisy = (worse + rng.normal(0, 1, 1000)).astype(np.float32)
    assert race(noisy, incumbent, Race(z=3), "maximize") is None, "the same mean, and no power"
    assert race(incumbent, incumbent, Race(z=0), "maximize") is None, "a tie is not lost"


@given(st.lists(values, min_size=2, max_size=50), st.floats(0, 3), st.floats(0, 2))
def test_a_wider_interval_stops_no_more(differences: list[float], z: float, more: float) -> None:
    candidate = np.zeros(len(differences), dtype=np.float32)
    incumbent = np.array(differences, dtype=np.float32)
    wide = race(candidate, incumbent, Race(z=z + more), "maximize")
    if wide is not None:
        assert race(candidate, incumbent, Race(z=z), "maximize") is not None


def test_halving_looks_at_the_best_so_far_once_for_each_rung() -> None:
    judge = referee(Halving(rungs=(2, 5), grace=2, keep=0.5))
    for epoch, value in [(1, 0.1), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.5)]:
        assert judge.evaluated(1, fold=0, epoch=epoch, value=value) is None
    assert judge.evaluated(2, fold=0, epoch=1, value=0.45) is None, "no rung"
    stop = judge.evaluated(2, fold=0, epoch=2, value=0.2)
    assert stop is not None
    assert (stop.rule, stop.fold, stop.epoch) == ("halving", 0, 2)
    assert stop.evidence == {"value": 0.45, "place": 2, "n_trials": 2, "kept": 1, "rung": 2}
    assert judge.evaluated(2, fold=0, epoch=3, value=0.2) is None, "between rungs nobody is judged"
    assert judge.evaluated(2, fold=1, epoch=2, value=0.0) is None, "nor in later folds"


def test_a_rung_between_evaluations_is_judged_at_the_next_one() -> None:
    judge = referee(Halving(rungs=(2,), grace=2))
    judge.evaluated(1, fold=0, epoch=3, value=0.5)
    assert judge.evaluated(2, fold=0, epoch=3, value=0.4) is not None


def test_a_trial_whose_patience_ended_its_fold_counts_at_later_rungs() -> None:
    judge = referee(Halving(rungs=(5,), grace=2))
    judge.evaluated(1, fold=0, epoch=3, value=0.5)
    judge.evaluated(1, fold=1, epoch=1, value=0.5)
    assert judge.evaluated(2, fold=0, epoch=5, value=0.4) is not None


def test_the_race_is_against_the_best_complete_trial_at_its_epoch() -> None:
    judge = referee(race_rule=Race())
    better, worse = [0.5, 0.6, 0.7], [0.1, 0.2, 0.3]
    for fold in range(3):
        for epoch, row in enumerate([worse, better], 1):
            judge.evaluated(1, fold=fold, epoch=epoch, value=float(np.mean(row)))
        assert judge.fold_ended(1, users(fold, worse, better)) is None, "alone"
    judge.completed(1, value=0.6, epoch=2)
    judge.evaluated(2, fold=0, epoch=1, value=0.4)
    stop = judge.fold_ended(2, users(0, [0.3, 0.4, 0.5]))
    assert stop is not None
    assert (stop.rule, stop.fold, stop.evidence["incumbent"]) == ("race", 0, 1)
    assert stop.evidence["difference"] == pytest.approx(-0.2)
    judge.evaluated(3, fold=0, epoch=1, value=0.65)
    assert judge.fold_ended(3, users(0, [0.55, 0.65, 0.75])) is None


def test_nothing_is_stopped_after_its_last_fold() -> None:
    judge = referee(race_rule=Race(), n_folds=1)
    judge.evaluated(1, fold=0, epoch=1, value=0.9)
    judge.fold_ended(1, users(0, [0.9, 0.9, 0.8]))
    judge.completed(1, value=0.9, epoch=1)
    judge.evaluated(2, fold=0, epoch=1, value=0.1)
    assert judge.fold_ended(2, users(0, [0.1, 0.1, 0.1])) is None


def test_an_attempt_that_begins_again_starts_from_nothing() -> None:
    judge = referee(Halving(rungs=(2,), grace=2))
    judge.evaluated(1, fold=0, epoch=2, value=0.9)
    judge.begins(1)
    assert judge.evaluated(2, fold=0, epoch=2, value=0.1) is None, "trial 1 has not come there any more"


def test_what_an_earlier_run_recorded_is_remembered() -> None:
    judge = referee(Halving(rungs=(2,), grace=2), Race())
    judge.remember(1, [(0, 1, 0.1), (0, 2, 0.5)], [users(0, [0.1, 0.1], [0.5, 0.5])])
    judge.completed(1, value=0.5, epoch=2)
    assert judge.evaluated(2, fold=0, epoch=2, value=0.4) is not None
    assert judge.fold_ended(2, users(0, [0.3, 0.3], [0.4, 0.39])) is not None


def test_a_stop_says_where_and_why_and_survives_json() -> None:
    halved = Stop("halving", 0, 2, {"value": 0.0312, "place": 7, "n_trials": 9, "kept": 5, "rung": 2})
    assert halved.where == "fold 1, epoch 2"
    assert halved.why == "0.0312 is place 7 of 9 trials at epoch 2, of which the best 5 go on"
    lost = Stop(
        "race", 1, 0, {"difference": -0.01, "low": -0.015, "high": -0.005, "n_users": 1714, "incumbent": 3}
    )
    assert lost.where == "fold 2"
    assert "-0.0100 against trial 3 on the same 1,714 users" in lost.why
    for stop in (halved, lost):
        assert Stop.from_plain(stop.to_plain()) == stop


def test_the_study_switches_each_rule() -> None:
    assert Stopping.model_validate(True) == Stopping()
    assert Stopping.model_validate(False) == Stopping(halving=None, race=None)
    assert Stopping.model_validate({"halving": False}) == Stopping(halving=None)
    only = Stopping.model_validate({"race": {"z": 1.64}, "halving": {"rungs": [1, 3], "keep": 0.25}})
    assert (only.race, only.halving) == (Race(z=1.64), Halving(rungs=(1, 3), keep=0.25))
    for wrong in ({"halving": {"rungs": [3, 1]}}, {"halving": {"rungs": []}}, {"halving": {"keep": 1.0}}):
        with pytest.raises(ValueError, match=r"must be|should be"):
            Stopping.model_validate(wrong)
