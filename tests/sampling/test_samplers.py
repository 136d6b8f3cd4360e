"""Samplers by name and by import path."""

from __future__ import annotations

import math
import random

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from tuner.config import Sampler
from tuner.config.search import SAMPLERS
from tuner.errors import StudyError
from tuner.sampling import samplers
from tuner.sampling.samplers import HISTORY, NAMED, BoundedTPESampler, check_finite, make_sampler
from tuner.sampling.trying import try_sampler
from tuner.space import Choice, Float, Int, Space
from tuner.trials.schema import PAUSE_KEY


@pytest.fixture
def space() -> Space:
    return Space({"cls": "EASEModel", "x": Float(0, 1), "n": Int(0, 50)})


def test_every_name_that_a_study_may_write_has_a_sampler() -> None:
    assert tuple(NAMED) == SAMPLERS


@pytest.mark.parametrize("name", [*SAMPLERS, "optuna.samplers.QMCSampler"])
def test_a_sampler_is_seeded_and_suggests(name: str) -> None:
    def draw(seed: int) -> list[float]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = Space({"cls": "EASEModel", "x": Float(0, 1, step=0.01), "n": Int(0, 50)})
        study = optuna.create_study(sampler=make_sampler(Sampler(use=name), seed, space))
        found = []
        for _ in range(4):
            trial = study.ask()
            value = trial.suggest_float("x", 0, 1, step=0.01) + trial.suggest_int("n", 0, 50)
            study.tell(trial, value)
            found.append(value)
        return found

    assert draw(1) == draw(1)
    if name != "optuna.samplers.QMCSampler":  # goes through one sequence; the seed only scrambles it
        assert draw(1) != draw(2)


@pytest.mark.parametrize("name", ["brute_force", "optuna.samplers.BruteForceSampler"])
def test_every_point_of_an_endless_space_cannot_be_tried(name: str) -> None:
    sampler = make_sampler(Sampler(use=name), 1)
    space = {
        "cls": "EASEModel",
        "a": Int(1, 3),
        "b": Choice(0.1, 0.2),
        "c": Float(0, 1, step=0.5),
        "d": Float(1, 1),
    }
    check_finite(sampler, Space(space))
    endless = Space({**space, "e": Float(1, 1000, log=True), "f": Float(0, 1)})
    with pytest.raises(StudyError) as raised:
        check_finite(sampler, endless)
    first, second = raised.value.problems
    assert (first.where, second.where) == ("space.set.e", "space.set.f")
    assert "but is a range of real numbers, 1 to 1000" in first.rule
    assert first.hint is not None
    check_finite(make_sampler(Sampler(use="tpe"), 1), endless)
    check_finite(sampler, Space({"cls": "SASRecModel", "n_blocks": Int(1, 3), "n_heads": Int(1, "n_blocks")}))
    with pytest.raises(StudyError, match="but is a range of more than 100,000 numbers, 1 to 1e"):
        check_finite(sampler, Space({**space, "g": Int(1, 10**9)}))


def test_options_reach_the_sampler() -> None:
    made = make_sampler(Sampler(use="tpe", options={"n_startup_trials": 3, "seed": 9}), seed=1)
    assert made._n_startup_trials == 3  # type: ignore[attr-defined]
    with pytest.raises(StudyError, match="must be an option of BoundedTPESampler"):
        make_sampler(Sampler(use="tpe", options={"n_startup": 3}), seed=1)
    with pytest.raises(StudyError, match="BoundedTPESampler cannot be made: ValueError"):
        make_sampler(Sampler(use="tpe", options={"multivariate": False, "group": True}), seed=1)


@pytest.mark.parametrize(
    ("use", "options", "rules"),
    [
        ("tpe", {"n_startup_trials": "5"}, {"n_startup_trials": "must be an integer, but got '5'"}),
        ("nsga2", {"population_size": 2.5}, {"population_size": "must be an integer, but got 2.5"}),
        ("cmaes", {"sigma0": "abc"}, {"sigma0": "must be a number, but got 'abc'"}),
        ("random", {"seed": True}, {"seed": "must be an integer, but got True"}),
        (
            "tpe",
            {"n_startup_trials": -1, "multivariate": "no", "gamma": 3},
            {
                "n_startup_trials": "must be at least 0, but got -1",
                "multivariate": "must be true or false, but got 'no'",
                "gamma": "must be a function, but got 3",
            },
        ),
        (
            "gp",
            {"independent_sampler": 1},
            {"independent_sampler": "must be an object of the class BaseSampler"},
        ),
    ],
)
def test_options_have_the_types_of_the_samplers_annotations(use, options, rules) -> None:
    with pytest.raises(StudyError) as raised:
        make_sampler(Sampler(use=use, options=options), seed=1)
    found = {one.where.removeprefix("search.sampler.options."): one.rule for one in raised.value.problems}
    assert found.keys() == rules.keys(), "all at once"
    assert all(found[name].startswith(rule) for name, rule in rules.items())


def test_right_values_of_options_are_taken(space: Space) -> None:
    for use, options in (
        ("cmaes", {"sigma0": 1, "popsize": 5, "x0": None}),
        ("tpe", {"gamma": lambda n: 1, "n_ei_candidates": np.int64(8)}),
        ("nsga2", {"population_size": 2}),
        ("optuna.samplers.QMCSampler", {"scramble": False}),
        ("model", {"random_share": 1}),
    ):
        try_sampler(Sampler(use=use, options=options), 1, space)


@pytest.mark.parametrize(
    ("use", "options"),
    [
        ("tpe", {"n_ei_candidates": 0, "n_startup_trials": 1000}),
        ("cmaes", {"popsize": 1}),
        ("nsga3", {"reference_points": 7}),
        ("optuna.samplers.GridSampler", {"search_space": {"a": [1]}}),
    ],
)
def test_options_that_fail_while_points_are_chosen_are_found_before_a_search(use, options, space) -> None:
    make_sampler(Sampler(use=use, options=options), 1, space)
    with pytest.raises(StudyError) as raised:
        try_sampler(Sampler(use=use, options=options), 1, space)
    (problem,) = raised.value.problems
    assert problem.where == "search.sampler.options"
    assert problem.rule.startswith(f"must be options with which {use} can choose points, but got the error: ")


def test_a_sampler_without_options_is_not_tried(space: Space) -> None:
    try_sampler(Sampler(use="nowhere.Sampler"), 1, space)


def test_without_multivariate_there_are_no_groups() -> None:
    made = make_sampler(Sampler(use="tpe", options={"multivariate": False}), seed=1)
    assert (made._multivariate, made._group) == (False, False)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere.Sampler", "must be importable, but 'nowhere.Sampler' is not"),
        ("optuna.samplers.Nothing", "must be importable"),
        ("optuna.pruners.HyperbandPruner", "must be a subclass of Optuna's BaseSampler"),
    ],
)
def test_what_is_no_sampler_is_refused(path: str, why: str) -> None:
    with pytest.raises(StudyError, match=f"search.sampler: {why}"):
        make_sampler(Sampler(use=path), seed=1)


# ####  --------------  TPE over a bounded history  --------------  #### #

OPTIONS = {"multivariate": True, "group": True, "constant_liar": True}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def run(study: optuna.Study, n_trials: int) -> None:
    """Tell conditional trials of all states; every seventh keeps running."""
    for _ in range(n_trials):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        if trial.suggest_categorical("kind", ["a", "b"]) == "b":
            x += trial.suggest_int("n", 1, 50) / 50
        trial.report(x, 1)
        if trial.number % 7 == 3:
            continue
        states = {0: TrialState.PRUNED, 1: TrialState.FAIL}
        state = states.get(trial.number % 5)
        study.tell(trial, None if state else math.sin(5 * x), state=state)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_history_within_the_bound_gives_exactly_the_suggestions_of_optuna(monkeypatch) -> None:
    monkeypatch.setattr(samplers, "HISTORY", 60)
    ours = optuna.create_study(sampler=make_sampler(Sampler(use="tpe"), 3))
    theirs = optuna.create_study(sampler=TPESampler(seed=3, **OPTIONS))
    assert isinstance(ours.sampler, BoundedTPESampler)

    def n_finished(study: optuna.Study) -> int:
        return len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))

    while n_finished(ours) <= 60:  # the trial that is asked next is suggested from at most 60
        for study in (ours, theirs):
            run(study, 1)
    assert len(ours.trials) > 80
    assert [trial.params for trial in ours.trials] == [trial.params for trial in theirs.trials]
    for study in (ours, theirs):
        run(study, 10)
    assert [trial.params for trial in ours.trials] != [trial.params for trial in theirs.trials]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_beyond_the_bound_the_best_the_newest_and_the_running_trials_are_seen(direction: str) -> None:
    study = optuna.create_study(direction=direction, sampler=make_sampler(Sampler(use="tpe"), 3))
    distribution = {"x": optuna.distributions.FloatDistribution(0, 1)}
    n_finished = 2 * HISTORY
    for number in range(n_finished):
        x = (number * 617 % n_finished) / n_finished
        study.add_trial(optuna.trial.create_trial(params={"x": x}, distributions=distribution, value=x))
    running = study.ask().number
    pruned = study.ask()
    pruned.report(0.5, 1)
    study.tell(pruned, state=TrialState.PRUNED)

    seen = _history(study).excerpt()._get_trials()

    finished = [trial for trial in seen if trial.state != TrialState.RUNNING]
    assert [trial.number for trial in seen] == sorted(trial.number for trial in seen)
    assert len(finished) == HISTORY
    assert [trial.number for trial in seen if trial.state == TrialState.RUNNING] == [running]
    ranked = sorted(study.trials[:n_finished], key=lambda t: t.value, reverse=direction == "maximize")
    best = {trial.number for trial in ranked[: HISTORY // 2]}
    newest = [trial.number for trial in study.trials if trial.number not in best | {running}]
    assert {trial.number for trial in finished} == best | set(newest[-HISTORY // 2 :])
    assert pruned.number in newest[-HISTORY // 2 :]
    assert 0 <= study.ask().suggest_float("x", 0, 1) <= 1


def _history(study: optuna.Study) -> samplers._History:
    history = samplers._History(study)
    history.renew()
    return history


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_history_that_is_renewed_at_each_suggestion_is_as_one_that_is_read_anew(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers, "HISTORY", 40)
    generator = random.Random(60)
    study = optuna.create_study(direction=direction, sampler=RandomSampler(seed=3))
    renewed, running = samplers._History(study), {}
    for _ in range(600):
        kind = generator.choice(["ask", "pause", "resume", "complete", "prune", "fail"]) if running else "ask"
        if kind == "ask":
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            running[trial.number] = trial
        else:
            number = generator.choice(list(running))
            if kind in ("pause", "resume"):
                pause = {"fold": 0, "epoch": 1, "rung": 1} if kind == "pause" else None
                running[number].set_user_attr(PAUSE_KEY, pause)
            else:
                trial, value = running.pop(number), generator.choice([0.1, generator.random()])
                trial.set_constraint("c", generator.choice([-1.0, 0.0, 1.0]))
                states = {"prune": TrialState.PRUNED, "fail": TrialState.FAIL}
                study.tell(trial, value if kind == "complete" else None, state=states.get(kind))
        renewed.renew()
        anew = _history(study)
        assert (renewed.reported, renewed.best) == (anew.reported, anew.best)
        assert (renewed.running, renewed.paused) == (anew.running, anew.paused)
        assert renewed.excerpt().get_trials() == anew.excerpt().get_trials()
    assert len(renewed.reported) > 100
    assert renewed.best
    assert renewed.paused


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_tpe_learns_from_a_paused_trial_as_from_one_that_was_stopped_there() -> None:
    suggested = []
    for pauses in (True, False):
        study = optuna.create_study(direction="maximize", sampler=make_sampler(Sampler(use="tpe"), 3))
        points = []
        for number in range(30):
            trial = study.ask()
            points.append(trial.suggest_float("x", 0, 1))
            trial.report(points[-1], 1)
            if number % 5 == 0:
                study.tell(trial, points[-1])
            elif pauses:
                trial.set_user_attr(PAUSE_KEY, {"fold": 0, "epoch": 1, "rung": 1})
            else:
                study.tell(trial, state=TrialState.PRUNED)
        suggested.append(points)
        assert len(study.get_trials(states=(TrialState.RUNNING,))) == (24 if pauses else 0)
    assert suggested[0] == suggested[1]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_outside_the_space_hides_none_of_its_points() -> None:
    study = optuna.create_study(sampler=make_sampler(Sampler(use="brute_force"), 3))
    study.add_trial(optuna.trial.create_trial(value=0.5))
    found = []
    for _ in range(6):
        trial = study.ask()
        found.append((trial.suggest_int("x", 1, 3), trial.suggest_categorical("y", ["a", "b"])))
        study.tell(trial, 0.1)
    assert len(set(found)) == 6
