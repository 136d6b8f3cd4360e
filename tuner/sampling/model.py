"""The sampler `model`: it learns from every report, also of trials that were paused, stopped or still run.

It forecasts the final value of each trial that has reported (`tuner.sampling.forecast`), fits a Gaussian
process to the forecasts (`tuner.sampling.surrogate`), and suggests the candidate with the best mean plus one
standard deviation. A share of the suggestions is random, so that no region stays unknown.

TPE ranks unfinished trials by the epochs that they reached, so it learns little before the first trials are
complete. Here, a value after one epoch already counts, with the uncertainty that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.sampling.encoding import Drawn, Encoding, draw_point
from tuner.sampling.forecast import forecast, milestones
from tuner.sampling.surrogate import Surrogate, fit
from tuner.trials.schema import params_of

if TYPE_CHECKING:
    from tuner.space import Space

__all__ = ["ModelSampler"]

Floats = NDArray[np.float64]

#: Largest number of trials that the model learns from. Half of them are the best by forecast.
HISTORY = 300
#: Number of random candidates, number of neighbours of the best points, and of best points.
N_RANDOM, N_NEAR, N_BEST = 200, 100, 5
_LEARNS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass
class _Reports:
    """The reports of trials, as numbers of which more is better."""

    trials: list[FrozenTrial] = field(default_factory=list)
    passed: list[Mapping[int, float]] = field(default_factory=list)
    finals: list[float | None] = field(default_factory=list)
    violates: list[bool] = field(default_factory=list)  # a constraint of the study
    silent: list[FrozenTrial] = field(default_factory=list)  # they run, and have no report yet

    def add(self, trial: FrozenTrial, passed: Mapping[int, float], final: float | None) -> None:
        """Add a trial with its values at milestones and its final value, if it has one."""
        if final is None and not passed:
            self.silent.append(trial)
            return
        self.trials.append(trial)
        self.passed.append(passed)
        self.finals.append(final)
        self.violates.append(any(excess > 0 for excess in trial.constraints.values()))


class ModelSampler(BaseSampler):
    """Suggests points by a Gaussian process over forecast values. For studies with one objective.

    Parameters
    ----------
    space
        Space of the points.
    seed
        Seed. The suggestion for a trial depends on it, on the trial's number and on the reports so far.
    n_startup_trials
        Number of trials that must have reported before the model is used. Until then, points are random.
    random_share
        Share of the suggestions that stay random.
    optimism
        Number of standard deviations that are added to a candidate's mean.

    References
    ----------
    Expected value and uncertainty of unfinished trials: Swersky, Snoek and Adams 2014, "Freeze-thaw Bayesian
    optimization". The rule "mean plus a multiple of the standard deviation": Srinivas et al. 2010, "Gaussian
    process optimization in the bandit setting".
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        n_startup_trials: int = 6,
        random_share: float = 0.2,
        optimism: float = 1.0,
    ) -> None:
        if not 0 <= random_share <= 1:
            msg = f"random_share must be between 0 and 1, but got {random_share:g}"
            raise ValueError(msg)
        self._space = space
        self._seed = seed
        self._n_startup = n_startup_trials
        self._random_share = random_share
        self._optimism = optimism
        self._independent = RandomSampler(seed=seed)
        self._known: dict[int, tuple[FrozenTrial, dict[int, float]]] = {}
        self._chosen: dict[str, Any] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Choose a point; return its dimensions. See Optuna's `BaseSampler`."""
        if trial.system_attrs.get("fixed_params"):
            self._chosen = {}
            return {}
        drawn = self._choose(study, trial.number)
        self._chosen = drawn.point
        return drawn.distributions

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002  # Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002  # as above
        search_space: dict[str, BaseDistribution],  # noqa: ARG002  # as above
    ) -> dict[str, Any]:
        """Return the point that `infer_relative_search_space` chose."""
        return self._chosen

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # Optuna's signature
        """Draw a value at random, for a trial whose other values are given."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, study: Study, number: int) -> Drawn:
        rng = np.random.default_rng([self._seed, number])
        reports = self._reports(study, number)
        if len(reports.trials) < self._n_startup or rng.random() < self._random_share:
            return draw_point(self._space, rng)
        return self._best_candidate(reports, rng)

    def _reports(self, study: Study, number: int) -> _Reports:
        """Return the reports of all trials with a point, except for the trial of this number."""
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        reports = _Reports()
        for trial in study.get_trials(deepcopy=False, states=_LEARNS):
            if trial.params and trial.number != number:
                final = sign * trial.values[0] if trial.state == TrialState.COMPLETE else None
                reports.add(trial, self._milestones(trial, sign), final)
        return reports

    def _milestones(self, trial: FrozenTrial, sign: float) -> dict[int, float]:
        """Return the values of a trial at its milestones; see `tuner.sampling.forecast.milestones`."""
        known = self._known.get(trial.number)
        if known is not None and known[0] is trial:
            return known[1]
        n_epochs = int(str(params_of(trial.user_attrs).get("epochs", 0)))
        curve = {divmod(step, n_epochs + 1): value for step, value in trial.intermediate_values.items()}
        found = milestones(curve, sign=sign, n_epochs=n_epochs)
        self._known[trial.number] = (trial, found)
        return found

    def _best_candidate(self, reports: _Reports, rng: np.random.Generator) -> Drawn:
        """Return the candidate with the best mean plus `optimism` standard deviations that no trial has."""
        found = forecast(reports.passed, reports.finals)
        means, variances = _without_low_tail(found.means, np.array(reports.violates)), found.variances
        learned = _learned(means)
        best = learned[np.argsort(-means[learned], kind="stable")[:N_BEST]]
        near = [reports.trials[best[i % len(best)]].params for i in range(N_NEAR)]
        candidates = [draw_point(self._space, rng, point) for point in [*([None] * N_RANDOM), *near]]

        trials = [*(reports.trials[i] for i in learned), *reports.silent]
        encoding = Encoding([Drawn(trial.params, trial.distributions) for trial in trials] + candidates)
        points = encoding.encode([trial.params for trial in trials])
        model = _model(encoding.distances(points, points), means[learned], variances[learned])
        distances = encoding.distances(encoding.encode([one.point for one in candidates]), points)
        mean, deviation = model.predict(distances)
        known = (distances == 0).any(axis=1)
        return candidates[int(np.where(known, -np.inf, mean + self._optimism * deviation).argmax())]


def _without_low_tail(means: Floats, violates: NDArray[np.bool_]) -> Floats:
    """Return the values, of which all that are far below the middle are equally low.

    Otherwise a few trials that learned nothing would set the scale of the model. Trials that violate a
    constraint are as low.
    """
    middle, high = np.quantile(means, [0.5, 0.9])
    low = middle - 2 * (high - middle)
    return np.where(violates, low, np.maximum(means, low))


def _learned(means: Floats) -> NDArray[np.intp]:
    """Return the indices of the trials that the model learns from: the best, and the newest of the others."""
    if len(means) <= HISTORY:
        return np.arange(len(means))
    order = np.argsort(-means, kind="stable")
    half = HISTORY // 2
    return np.sort(np.concatenate([order[:half], np.sort(order[half:])[-half:]]))


def _model(distances: Floats, means: Floats, variances: Floats) -> Surrogate:
    """Return the model of the first trials; the silent ones behind them count as observed at their mean.

    So the model is as sure about their region as if they had reported, and suggests other regions.
    """
    n = len(means)
    model = fit(distances[:n, :n], means, variances)
    if len(distances) == n:
        return model
    guessed, _ = model.predict(distances[n:, :n])
    return model.refit(
        distances, np.concatenate([means, guessed]), np.concatenate([variances, np.zeros(len(guessed))])
    )
