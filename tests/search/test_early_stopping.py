"""Which trials are paused, resumed and stopped early: the rules, and what they compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config import Halving, Race, Stopping
from tuner.search.early_stopping import EarlyStopping
from tuner.search.halving import Rung, at_evaluations, goes_on, n_kept, rungs_for
from tuner.search.race import race
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Decision, Pause, Stop
from tuner.trials.records import Users

values = st.floats(0, 1, allow_nan=False)


def early_stopping(
    halving: Halving | None = None, race_rule: Race | None = None, *, n_folds: int = 3
) -> EarlyStopping:
    return EarlyStopping(halving, race_rule, epochs=12, n_folds=n_folds, direction="maximize")


def users(fold: int, *by_epoch: list[float]) -> Users:
    return Users(fold, tuple(range(1, len(by_epoch) + 1)), np.array(by_epoch, dtype=np.float32))


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (4, (1, 4)),
        (5, (1, 4, 5)),
        (16, (1, 4, 16)),
        (17, (1, 4, 16, 17)),
    ],
)
def test_rungs_quadruple_and_end_with_the_fold(epochs: int, rungs: tuple[int, ...]) -> None:
    assert rungs_for(epochs) == rungs


@pytest.mark.parametrize(
    ("rungs", "every", "moved"),
    [
        ((1, 4, 10), 1, (1, 4, 10)),
        ((1, 4, 10), 2, (2, 4, 10)),
        ((1, 2, 10), 3, (3, 10)),
        ((1, 9, 10), 4, (4, 10)),
        ((4, 12), 3, (6, 12)),
    ],
)
def test_a_rung_is_at_the_next_evaluation(rungs: tuple[int, ...], every: int, moved: tuple[int, ...]) -> None:
    assert at_evaluations(rungs, every, epochs=10) == moved


def test_the_rung_of_a_decision_is_an_epoch_that_was_evaluated() -> None:
    rules = EarlyStopping(Halving(hold=0), None, epochs=4, evaluate_every=2, n_folds=2, direction="maximize")
    assert rules.pauses_at == (2,)
    assert rules.evaluated(0, fold=0, epoch=2, value=0.9) is None
    assert rules.evaluated(1, fold=0, epoch=2, value=0.1) == Pause(0, 2, 2)


@given(st.lists(values, min_size=1, max_size=30), st.floats(0.05, 0.95), st.integers(1, 6))
def test_halving_keeps_the_share_it_says(field: list[float], keep: float, grace: int) -> None:
    places = [1 + sum(other > value for other in field) for value in field]
    stopped = [
        value
        for value, place in zip(field, places, strict=True)
        if not goes_on(place, len(field), keep, grace=grace)
    ]
    if len(field) < grace:
        assert stopped == []
    else:
        going = len(field) - len(stopped)
        assert going >= n_kept(keep, len(field)), "ties go on"
        assert max(field) not in stopped
        assert all(one <= min(set(field) - set(stopped), default=1) for one in stopped)


@given(st.lists(values, min_size=3, max_size=20))
def test_the_direction_turns_halving_around(field: list[float]) -> None:
    def verdicts(sign: float, direction: Direction) -> list[bool]:
        rules = EarlyStopping(
            Halving(rungs=(2,), resume=None), None, epochs=12, n_folds=3, direction=direction
        )
        return [
            rules.evaluated(number, fold=0, epoch=2, value=sign * value) is None
            for number, value in enumerate(field)
        ]

    assert verdicts(1, "maximize") == verdicts(-1, "minimize")


def test_a_race_is_lost_where_the_users_agree_and_open_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    incumbent = rng.random(1000).astype(np.float32)
    worse = incumbent - np.float32(0.02)
    evidence = race({0: worse}, {0: incumbent}, Race(z=3), "maximize")
    assert evidence is not None
    assert evidence["difference"] == pytest.approx(-0.02, abs=1e-6)
    assert evidence["n_users"] == 1000
    assert race({0: worse}, {0: incumbent}, Race(z=3), "minimize") is None
    noisy = (worse + rng.normal(0, 1, 1000)).astype(np.float32)
    assert race({0: noisy}, {0: incumbent}, Race(z=3), "maximize") is None, "the same mean, and no power"
    assert race({0: incumbent}, {0: incumbent}, Race(z=0), "maximize") is None, "a tie is not lost"


def test_by_default_a_trial_stops_that_is_worse_by_more_than_1_64_standard_errors() -> None:
    noise = np.random.default_rng(0).normal(size=400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # mean 0, standard error 1 / 20
    incumbent = {0: np.zeros(400, dtype=np.float32)}

    def lost(errors: float) -> bool:
        candidate = {0: (noise - errors / 20).astype(np.float32)}
        return race(candidate, incumbent, Race(), "maximize") is not None

    assert [errors for errors in (1.0, 1.2, 1.6, 1.7, 2.0) if lost(errors)] == [1.7, 2.0]


@given(st.lists(values, min_size=2, max_size=50), st.floats(0, 3), st.floats(0, 2))
def test_a_wider_interval_stops_no_more(differences: list[float], z: float, more: float) -> None:
    candidate = {0: np.zeros(len(differences), dtype=np.float32)}
    incumbent = {0: np.array(differences, dtype=np.float32)}
    wide = race(candidate, incumbent, Race(z=z + more), "maximize")
    if wide is not None:
        assert race(candidate, incumbent, Race(z=z), "maximize") is not None


def test_halving_looks_at_the_best_so_far_once_for_each_rung() -> None:
    rules = early_stopping(Halving(rungs=(2, 5), keep=0.5, resume=None))
    for epoch, value in [(1, 0.1), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.5)]:
        assert rules.evaluated(1, fold=0, epoch=epoch, value=value) is None
    assert rules.evaluated(2, fold=0, epoch=1, value=0.45) is None, "no rung"
    stop = rules.evaluated(2, fold=0, epoch=2, value=0.2)
    assert stop is not None
    assert (stop.rule, stop.fold, stop.epoch) == ("halving", 0, 2)
    assert stop.evidence == {"value": 0.45, "place": 2, "n_trials": 2, "kept": 1, "rung": 2}
    assert rules.evaluated(2, fold=0, epoch=3, value=0.2) is None, "between rungs nobody is judged"
    assert rules.evaluated(2, fold=1, epoch=2, value=0.0) is None, "nor in later folds"


def test_a_rung_between_evaluations_is_judged_at_the_next_one() -> None:
    rules = early_stopping(Halving(rungs=(2,), resume=None))
    rules.evaluated(1, fold=0, epoch=3, value=0.5)
    assert rules.evaluated(2, fold=0, epoch=3, value=0.4) is not None


def test_a_trial_whose_patience_ended_its_fold_counts_at_later_rungs() -> None:
    rules = early_stopping(Halving(rungs=(5,), resume=None))
    rules.evaluated(1, fold=0, epoch=3, value=0.5)
    rules.evaluated(1, fold=1, epoch=1, value=0.5)
    assert rules.evaluated(2, fold=0, epoch=5, value=0.4) is not None


def test_the_race_is_against_the_best_complete_trial_at_its_epoch() -> None:
    rules = early_stopping(race_rule=Race())
    better, worse = [0.5, 0.6, 0.7], [0.1, 0.2, 0.3]
    for fold in range(3):
        for epoch, row in enumerate([worse, better], 1):
            rules.evaluated(1, fold=fold, epoch=epoch, value=float(np.mean(row)))
        assert rules.fold_ended(1, users(fold, worse, better)) is None, "alone"
    rules.completed(1, value=0.6, epoch=2)
    rules.evaluated(2, fold=0, epoch=1, value=0.4)
    stop = rules.fold_ended(2, users(0, [0.3, 0.4, 0.5]))
    assert stop is not None
    assert (stop.rule, stop.fold, stop.evidence["incumbent"]) == ("race", 0, 1)
    assert stop.evidence["difference"] == pytest.approx(-0.2)
    rules.evaluated(3, fold=0, epoch=1, value=0.65)
    assert rules.fold_ended(3, users(0, [0.55, 0.65, 0.75])) is None


def test_a_race_compares_last_evaluations_if_the_others_are_of_a_sample() -> None:
    rules = early_stopping(race_rule=Race())
    for fold, last in enumerate([3, 2, 3]):
        for epoch in range(1, last):
            rules.evaluated(1, fold=fold, epoch=epoch, value=0.99)
        rules.evaluated(1, fold=fold, epoch=last, value=0.6)
        rules.fold_ended(1, Users(fold, (last,), np.array([[0.5, 0.6, 0.7]], dtype=np.float32)))
    rules.completed(1, value=0.6, epoch=3)
    rules.evaluated(2, fold=0, epoch=1, value=0.99)
    rules.evaluated(2, fold=0, epoch=2, value=0.4)
    stop = rules.fold_ended(2, Users(0, (2,), np.array([[0.3, 0.4, 0.5]], dtype=np.float32)))
    assert isinstance(stop, Stop)
    assert stop.evidence["difference"] == pytest.approx(-0.2)


def answering(complete: int = 2, **rules: Halving | Race | None) -> EarlyStopping:
    halving, race_rule = rules.get("halving"), rules.get("race_rule")
    assert not isinstance(halving, Race)
    assert not isinstance(race_rule, Halving)
    return EarlyStopping(halving, race_rule, epochs=12, n_folds=3, direction="maximize", complete=complete)


def test_the_race_begins_when_enough_trials_are_complete() -> None:
    rules = answering(race_rule=Race())
    for number, value in enumerate([0.9, 0.8, 0.1]):
        rules.evaluated(number, fold=0, epoch=1, value=value)
    rules.fold_ended(0, users(0, [0.9, 0.9, 0.8]))
    rules.completed(0, value=0.9, epoch=1)
    assert rules.fold_ended(1, users(0, [0.8, 0.7, 0.8])) is None, "one trial is complete, two are wanted"
    rules.completed(1, value=0.8, epoch=1, feasible=False)
    assert rules.fold_ended(2, users(0, [0.1, 0.1, 0.1])) is None, "an infeasible trial does not count"
    rules.completed(3, value=0.7, epoch=1)
    rules.evaluated(4, fold=0, epoch=1, value=0.1)
    assert rules.fold_ended(4, users(0, [0.1, 0.1, 0.1])) is not None


def test_without_a_pause_halving_stops_no_trial_before_enough_are_complete() -> None:
    rules = answering(1, halving=Halving(rungs=(1,), resume=None))
    assert came(rules, 0, 0.9) is None
    assert came(rules, 1, 0.1) is None
    rules.completed(0, value=0.9, epoch=12)
    assert isinstance(came(rules, 2, 0.1), Stop)


def test_in_the_end_so_many_paused_trials_are_resumed_that_enough_complete() -> None:
    rules = answering(3, halving=Halving(rungs=(1, 3), keep=0.25, resume=0.25, hold=0))
    for number, value in enumerate([0.9, 0.8, 0.7, 0.6]):
        came(rules, number, value)
    assert [rules.resume_best(), rules.resume_best(), rules.resume_best()] == [1, 2, None], "the best three"
    assert rules.resume_lacking(n_running=3) is None, "three run"
    assert rules.resume_lacking(n_running=2) == 3, "one of them has failed"
    assert rules.resume_lacking(n_running=0) is None, "no trial is paused any more"


def test_constraints_that_no_trial_satisfies_do_not_complete_every_trial() -> None:
    rules = answering(2, halving=Halving(rungs=(1,)))
    for number in range(8):
        came(rules, number, 0.9 - number / 10)
    for number in range(5):
        rules.completed(number, value=0.5, epoch=12, feasible=False)
    assert rules.resume_lacking(n_running=0) is not None
    rules.completed(5, value=0.5, epoch=12, feasible=False)
    assert rules.resume_lacking(n_running=0) is None


def test_nothing_is_stopped_after_its_last_fold() -> None:
    rules = early_stopping(race_rule=Race(), n_folds=1)
    rules.evaluated(1, fold=0, epoch=1, value=0.9)
    rules.fold_ended(1, users(0, [0.9, 0.9, 0.8]))
    rules.completed(1, value=0.9, epoch=1)
    rules.evaluated(2, fold=0, epoch=1, value=0.1)
    assert rules.fold_ended(2, users(0, [0.1, 0.1, 0.1])) is None


def test_an_attempt_that_begins_again_starts_from_nothing() -> None:
    rules = early_stopping(Halving(rungs=(2,), resume=None))
    rules.evaluated(1, fold=0, epoch=2, value=0.9)
    rules.begin(1)
    assert rules.evaluated(2, fold=0, epoch=2, value=0.1) is None, "trial 1 has not come there any more"


def test_what_an_earlier_run_recorded_is_remembered() -> None:
    rules = early_stopping(Halving(rungs=(2,), resume=None), Race())
    rules.remember(1, [(0, 1, 0.1), (0, 2, 0.5)], [users(0, [0.1, 0.1], [0.5, 0.5])])
    rules.completed(1, value=0.5, epoch=2)
    assert rules.evaluated(2, fold=0, epoch=2, value=0.4) is not None
    assert rules.fold_ended(2, users(0, [0.3, 0.3], [0.4, 0.39])) is not None


def came(rules: EarlyStopping, number: int, *curve: float) -> Stop | Pause | Decision | None:
    """Report the first epochs of a trial until a verdict."""
    for epoch, value in enumerate(curve, 1):
        verdict = rules.evaluated(number, fold=0, epoch=epoch, value=value)
        if isinstance(verdict, Pause):
            assert rules.pause(number, verdict.rung)
        if verdict is not None:
            return verdict
    return None


def test_a_trial_that_is_not_among_the_best_is_paused_until_it_is() -> None:
    rules = early_stopping(Halving(rungs=(1, 3), keep=0.5, resume=0.5, hold=0))
    assert came(rules, 0, 0.5, 0.5) is None
    assert came(rules, 1, 0.4) == Pause(0, 1, 1)
    assert rules.promote() is None
    assert came(rules, 2, 0.3) == Pause(0, 1, 1)
    assert rules.promote() == 1, "second of three, and two of three go on"
    assert rules.promote() is None
    assert came(rules, 1, 0.4, 0.4, 0.4) is None, "what it reports again is not judged again"


def test_in_the_end_the_best_paused_trials_are_resumed_as_far_as_resume_says() -> None:
    rules = early_stopping(Halving(rungs=(1, 3), keep=0.25, resume=0.5, hold=0))
    for number, value in enumerate([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]):
        came(rules, number, value)
    assert rules.promote() == 1
    assert rules.promote() is None
    assert rules.resume_best() == 2
    assert rules.resume_best() is None
    stopped = dict(rules.stop_paused())
    assert list(stopped) == [3, 4, 5]
    evidence = {"value": 0.6, "place": 4, "n_trials": 6, "kept": 3, "rung": 1}
    assert stopped[3] == Stop("halving", 0, 1, evidence)
    assert rules.stop_paused() == []


def test_at_the_end_of_the_first_fold_the_best_go_on_and_the_others_are_paused() -> None:
    rules = early_stopping(Halving(rungs=(12,)), Race())
    for number, value in enumerate([0.5, 0.4]):
        assert rules.evaluated(number, fold=0, epoch=5, value=value) is None, "patience ended it"
        verdict = rules.fold_ended(number, Users(0, (5,), np.full((1, 3), value, dtype=np.float32)))
        assert verdict == (Pause(0, 5, 12) if number else None)
    assert rules.pause(1, 12)
    assert rules.fold_ended(1, Users(0, (5,), np.full((1, 3), 0.4, dtype=np.float32))) is None, "known"
    assert rules.stop_paused()[0][1].epoch == 5


def test_with_resume_off_nothing_is_paused_and_a_paused_trial_is_judged_again() -> None:
    rules = early_stopping(Halving(rungs=(1,), resume=None))
    rules.remember(1, [(0, 1, 0.5)], [])
    assert isinstance(came(rules, 2, 0.4), Stop)
    assert not rules.pause(1, 1)
    assert not early_stopping(Halving(rungs=(2,))).pause(1, 1), "no such rung any more"
    assert early_stopping(Halving(rungs=(1, 4, 12))).pauses_at == (1, 4)
    assert rules.pauses_at == early_stopping().pauses_at == ()


@given(st.lists(st.tuples(st.integers(0, 5), values, st.booleans()), max_size=40))
def test_a_rung_knows_the_places_and_the_best_paused_trial(events: list[tuple[int, float, bool]]) -> None:
    rung, known, paused = Rung(1, "maximize"), dict[int, float](), set[int]()
    for number, value, pauses in events:
        rung.reach(number, value)
        known[number] = value
        paused.discard(number)
        if pauses:
            rung.pause(number)
            paused.add(number)
        assert len(rung) == len(known)
        for one, its in known.items():
            assert rung.value(one) == its
            assert rung.place(one) == 1 + sum(other > its for other in known.values())
        assert set(rung.paused) == paused
        best = rung.best_paused
        assert known.get(best, -1) == max((known[one] for one in paused), default=-1)


def test_a_stop_says_where_and_why_and_survives_json() -> None:
    halved = Stop("halving", 0, 2, {"value": 0.0312, "place": 7, "n_trials": 9, "kept": 5, "rung": 2})
    assert halved.where == "fold 1, epoch 2"
    assert halved.why == "0.0312 is place 7 of 9 trials at epoch 2, of which the best 5 continue"
    good = Stop("halving", 0, 2, {**halved.evidence, "place": 5})
    assert good.why == "0.0312 is place 5 of 9 trials at epoch 2, where it was paused when the search ended"
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
    only = Stopping.model_validate({"race": {"z": 2.5}, "halving": {"rungs": [1, 3], "keep": 0.25}})
    assert (only.race, only.halving) == (Race(z=2.5), Halving(rungs=(1, 3), keep=0.25))
    for wrong in ({"halving": {"rungs": [3, 1]}}, {"halving": {"rungs": []}}, {"halving": {"keep": 1.0}}):
        with pytest.raises(ValueError, match=r"must be|should be"):
            Stopping.model_validate(wrong)


def test_a_held_trial_continues_once_enough_have_come_and_it_is_among_the_best() -> None:
    rules = early_stopping(Halving(rungs=(1, 4), keep=0.25, hold=4, leaders=False))
    for number, value in enumerate([0.5, 0.4, 0.3]):
        assert came(rules, number, value) == Pause(0, 1, 1), "fewer than four have come"
    assert rules.promote() is None
    assert came(rules, 3, 0.2) == Pause(0, 1, 1)
    assert rules.promote() == 0
    assert rules.decision_on(0) == Decision("promoted", 1, 0.5, 1, 4, 1)
    assert rules.promote() is None, "one of four, rounded down"
    assert came(rules, 4, 0.6) is None, "it is the best of five"
    assert rules.decision_on(3) == Decision("paused", 1, 0.2, 4, 4, 1)


def test_the_best_of_four_at_a_late_rung_is_a_leader_and_is_judged_no_more() -> None:
    rules = early_stopping(Halving(rungs=(1, 4, 8), keep=0.5, hold=2), Race())
    for number, value in enumerate([0.1, 0.2, 0.3, 0.4]):
        verdict = came(rules, number, value)
        assert verdict is None or isinstance(verdict, Pause), "no leader after one epoch"
        rules.unpause(number)
    for number in range(3):
        came(rules, number, 0.1, 0.1, 0.1, 0.1 * number)
    verdict = came(rules, 3, 0.4, 0.4, 0.4, 0.5)
    assert verdict == Decision("leader", 4, 0.5, 1, 4, 2)
    assert rules.evaluated(3, fold=1, epoch=9, value=0.4) is None
    assert came(rules, 3, 0.4, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5, 0.1) is None
    assert rules.fold_ended(3, users(0, [0.1, 0.1, 0.1])) is None
    rules.begin(3)
    assert came(rules, 3, 0.05) == Pause(0, 1, 1), "another attempt is judged again"


@pytest.mark.parametrize("n_folds", [1, 2])
def test_a_study_with_one_fold_has_no_leaders(n_folds: int) -> None:
    rules = early_stopping(Halving(rungs=(4,), keep=0.5, hold=0), n_folds=n_folds)
    for number, value in enumerate([0.2, 0.3, 0.4]):
        rules.evaluated(number, fold=0, epoch=4, value=value)
    assert (rules.evaluated(3, fold=0, epoch=4, value=0.5) is None) == (n_folds == 1)
    assert rules.decision_on(3) == (None if n_folds == 1 else Decision("leader", 4, 0.5, 1, 4, 2))


def test_a_promoted_trial_may_be_a_leader() -> None:
    rules = early_stopping(Halving(rungs=(1, 4), keep=0.25, hold=4))
    for number, value in enumerate([0.5, 0.4, 0.3, 0.2]):
        came(rules, number, value)
        rules.unpause(number)
    for number, value in enumerate([0.5, 0.4, 0.3, 0.2]):
        assert came(rules, number, 0.0, 0.0, 0.0, value) == Pause(0, 4, 4)
    assert rules.promote() == 0
    assert rules.lead(0)
    assert not rules.lead(0), "once"
    assert rules.decision_on(0) == Decision("leader", 4, 0.5, 1, 4, 1)
    rules.stop_paused()


def test_without_pauses_no_trial_is_held() -> None:
    rules = early_stopping(Halving(rungs=(1,), resume=None))
    assert came(rules, 0, 0.5) is None
    assert isinstance(came(rules, 1, 0.4), Stop)


def test_a_race_compares_finished_folds_only_whatever_their_order() -> None:
    def lost(*, unfinished: bool) -> bool:
        rules = early_stopping(race_rule=Race(), n_folds=4)
        for fold in range(4):
            rules.evaluated(0, fold=fold, epoch=1, value=0.3)
            rules.evaluated(0, fold=fold, epoch=2, value=0.9)
            rules.fold_ended(0, users(fold, [0.3, 0.3, 0.3], [0.9, 0.9, 0.8]))
        rules.completed(0, value=0.9, epoch=2)
        for fold in (2, 1):
            rules.evaluated(1, fold=fold, epoch=1, value=0.2)
            rules.evaluated(1, fold=fold, epoch=2, value=0.9)
        if unfinished:
            rules.evaluated(1, fold=3, epoch=1, value=0.9)
        rules.fold_ended(1, users(2, [0.2, 0.2, 0.2], [0.9, 0.9, 0.8]))
        return rules.fold_ended(1, users(1, [0.2, 0.2, 0.2], [0.9, 0.9, 0.8])) is not None

    assert not lost(unfinished=False)
    assert not lost(unfinished=True), "its first epoch in another fold changes nothing"
