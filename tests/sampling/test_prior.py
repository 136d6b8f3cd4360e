"""The start by a prior: a share of the first points, and the other sampler's points otherwise."""

from __future__ import annotations

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from tuner.config import Sampler
from tuner.sampling.prior import FIRST, SHARE, PriorStart
from tuner.sampling.samplers import make_sampler
from tuner.space import Choice, Float, Space
from tuner.space.prior import Prior

SPACE = Space(
    {
        "cls": "rectools.models.SASRecModel",
        "kind": Choice({"plain": {}, "deep": {"depth": Float(0, 1)}}),
        "lr": Float(1e-4, 1e-2, log=True),
    },
    prior=Prior({"lr": {"linear": 1.0}, "kind": {"deep": 0.2}}),
)


class Marked(RandomSampler):
    """A sampler whose points are recognised: its learning rate is the lowest."""

    def sample_independent(self, study, trial, param_name, param_distribution):
        if param_name == "lr":
            return 1e-4
        return super().sample_independent(study, trial, param_name, param_distribution)


def rates(seed: int, n_trials: int, **options) -> list[float]:
    """Return the learning rates of a study's trials, with which `Marked` chooses 1e-4."""
    sampler = PriorStart(Marked(seed=seed), SPACE, SPACE.prior, seed)
    study = optuna.create_study(sampler=sampler, **(options or {"direction": "maximize"}))
    found = []
    for _ in range(n_trials):
        trial = study.ask()
        SPACE.suggest(trial)
        found.append(trial.params["lr"])
        study.tell(trial, [1.0] * len(study.directions))
    return found


def test_a_share_of_the_first_points_is_good_by_the_prior() -> None:
    found = [rates(seed, FIRST + 5) for seed in range(10)]
    first = [rate for of in found for rate in of[:FIRST]]
    chosen = [rate for rate in first if rate > 1e-4]
    assert SHARE - 0.12 < len(chosen) / len(first) < SHARE + 0.12
    assert sum(rate > 3e-3 for rate in chosen) > 0.9 * len(chosen)
    assert all(rate == 1e-4 for of in found for rate in of[FIRST:])


def test_a_point_depends_on_the_seed_and_the_number_of_its_trial() -> None:
    assert rates(3, 12) == rates(3, 12)
    assert rates(3, 12) != rates(4, 12)


@pytest.mark.parametrize("options", [{"direction": "minimize"}, {"directions": ["maximize", "maximize"]}])
def test_it_is_for_one_objective_that_is_maximized(options) -> None:
    assert set(rates(1, 15, **options)) == {1e-4}


def test_given_points_stay_and_do_not_count() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=PriorStart(Marked(seed=1), SPACE, SPACE.prior, 1)
    )
    for _ in range(FIRST):
        study.enqueue_trial({"lr": 2e-3, "kind": "plain"})
    found = []
    for _ in range(2 * FIRST):
        trial = study.ask()
        SPACE.suggest(trial)
        found.append(trial.params["lr"])
        study.tell(trial, 1.0)
    assert set(found[:FIRST]) == {2e-3}
    assert sum(rate > 1e-4 for rate in found[FIRST:]) >= 5


def test_a_search_that_is_continued_after_its_first_points_does_not_begin_again() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=PriorStart(Marked(seed=1), SPACE, SPACE.prior, 1)
    )
    distributions = {"kind": optuna.distributions.CategoricalDistribution(["plain", "deep"])}
    for _ in range(FIRST):
        study.add_trial(create_trial(value=1.0, params={"kind": "plain"}, distributions=distributions))
    trial = study.ask()
    SPACE.suggest(trial)
    assert trial.params["lr"] == 1e-4


def test_the_study_switches_it() -> None:
    assert isinstance(make_sampler(Sampler(), 1, SPACE), PriorStart)
    assert not isinstance(make_sampler(Sampler(prior=False), 1, SPACE), PriorStart)
    assert not isinstance(make_sampler(Sampler(), 1, SPACE.with_prior(None)), PriorStart)
    assert not isinstance(make_sampler(Sampler(use="random"), 1, SPACE), PriorStart)
    assert not isinstance(make_sampler(Sampler(), 1), PriorStart)
