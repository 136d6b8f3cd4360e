"""Samplers by name and by import path."""

from __future__ import annotations

import optuna
import pytest

from tuner.errors import StudyError
from tuner.samplers import NAMED, make_sampler
from tuner.spec import Sampler
from tuner.spec.models import SAMPLERS


def test_every_name_that_a_study_may_write_has_a_sampler() -> None:
    assert tuple(NAMED) == SAMPLERS


@pytest.mark.parametrize("name", [*SAMPLERS, "optuna.samplers.QMCSampler"])
def test_a_sampler_is_seeded_and_suggests(name: str) -> None:
    def draw(seed: int) -> list[float]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=make_sampler(Sampler(use=name), seed))
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


def test_options_reach_the_sampler() -> None:
    made = make_sampler(Sampler(use="tpe", options={"n_startup_trials": 3, "seed": 9}), seed=1)
    assert made._n_startup_trials == 3  # type: ignore[attr-defined]
    with pytest.raises(StudyError, match="must be an option of TPESampler"):
        make_sampler(Sampler(use="tpe", options={"n_startup": 3}), seed=1)
    with pytest.raises(StudyError, match=r"TPESampler cannot be made: ValueError"):
        make_sampler(Sampler(use="tpe", options={"multivariate": False, "group": True}), seed=1)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere.Sampler", "must be importable, but 'nowhere.Sampler' is not"),
        ("optuna.samplers.Nothing", "must be importable"),
        ("optuna.pruners.HyperbandPruner", "must be a sampler of Optuna's kind"),
    ],
)
def test_what_is_no_sampler_is_refused(path: str, why: str) -> None:
    with pytest.raises(StudyError, match=f"search.sampler: {why}"):
        make_sampler(Sampler(use=path), seed=1)
