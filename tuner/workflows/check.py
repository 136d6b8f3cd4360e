"""`tuner check`: finds configurations that cannot work, before a search spends time on them. It needs no Ray.

It first checks the study, the data, the space and the baselines. Then it builds models. It trains each for
one batch and lets it recommend on a slice of the user's data, and measures all metrics of the study. These
models cover every option of every choice, and every pair of options that can occur together. Finally it
measures the cost of a few configurations on all of the data (`tuner.workflows.estimate`).
"""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import stdev

import numpy as np
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.models import PopularModel
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Study
from tuner.data.folds import Fold
from tuner.errors import Problem, TrialError
from tuner.evaluation import Plan, boundary, build_metric, is_per_user, recommend, values_by_user
from tuner.evaluation.measure import Measure
from tuner.formatting import duration, quantity, size
from tuner.models.build import build_model, trial_params
from tuner.models.feasibility import DataFacts, infeasible
from tuner.preparation.prepare import Prepared, prepare
from tuner.space import Choice, Space, Value, short_name
from tuner.space.describe import sample
from tuner.training.fast_paths import FastPaths, accelerate
from tuner.training.precision import products_in, set_precision
from tuner.workflows.estimate import Estimate, estimates, shown
from tuner.workflows.estimate_table import draw_estimates
from tuner.workflows.opening import NOTHING_TO_RUN, nothing_to_run, refuse_tracking

__all__ = ["Checked", "check"]

#: Number of users in the slice.
SLICE_USERS = 64
#: Number of random points searched for pairs of options. A pair that none of them has is too rare to matter.
DRAWS = 3000

Flat = dict[str, Value]
Pair = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Checked:
    """Result of a check.

    Attributes
    ----------
    n_points
        Number of configurations that were built and run.
    n_options, n_pairs
        Number of options, and of pairs of options, that these configurations cover.
    regions
        Infeasible regions of the space, which a search never tries: the rule, and the share of random points
        that violate it.
    problems
        A problem for each configuration that failed. Each cause is given once.
    estimates
        Cost of the smallest, the median and the largest configuration; empty if a configuration failed.
    seconds
        Wall time of the check in seconds.
    study
        The study.
    """

    n_points: int
    n_options: int
    n_pairs: int
    regions: tuple[tuple[Problem, float], ...]
    problems: tuple[Problem, ...]
    estimates: tuple[Estimate, ...]
    seconds: float
    study: Study

    def __str__(self) -> str:
        failed = f"{quantity(len(self.problems), 'cause')} of failures" if self.problems else "none failed"
        text = (
            f"{self.study.study}: {quantity(self.n_points, 'configuration')} with "
            f"{quantity(self.n_options, 'option')} in {quantity(self.n_pairs, 'pair')} built, trained for a "
            f"batch and recommended: {failed} ({duration(self.seconds)})"
        )
        costs = [draw_estimates(self.estimates, self.study)] if self.estimates else []
        return "\n".join([text, *costs])

    __repr__ = __str__


def check(study: Study, say: Callable[[str], None]) -> Checked:
    """Check a study with its data, and try its space on a slice of the data.

    Raises
    ------
    UserError
        If the study, the data, the space or a baseline cannot be used, or there is nothing to run.
    """
    if nothing_to_run(study):
        raise study.refusal([NOTHING_TO_RUN])
    refuse_tracking(study)
    prepared = prepare(study, say)
    for fold in prepared.folds:
        difference = detectable_difference(fold, prepared.plan)
        if difference is not None:
            label = prepared.plan.objective
            users = quantity(len(fold.users), "test user")
            say(
                f"fold {fold.index + 1}: {users} can distinguish models that differ by {difference:.4f} in "
                f"{label} or more"
            )
    shared = len(pickle.dumps(prepared.folds, protocol=5))  # Ray's object store holds the same bytes
    say(f"folds in memory: {size(shared)}, one copy on each node for all its trials")
    return _try_space(prepared)


def detectable_difference(fold: Fold, plan: Plan) -> float | None:
    """Return the smallest difference in the objective that a fold's users show with a power of 80 %.

    The test is paired, at the 5 % level. With the spread sd of the popular model's per-user values, n users,
    and a correlation r = 0.5 between two models, it is ``2.8 * sd * sqrt(2 * (1 - r) / n)``, which is ``2.8 *
    sd / sqrt(n)``. None if the objective is not a mean over users.
    """
    metric = next(metric for metric in plan.metrics if metric.label == plan.objective)
    if not is_per_user(metric):
        return None
    model = PopularModel().fit(fold.train)
    recommended = recommend(model, fold, metric.k, filter_viewed=plan.filter_viewed)
    values = values_by_user(build_metric(metric, fold), recommended, fold)
    if values is None or len(values) < 2:  # noqa: PLR2004  # a spread needs two
        return None
    return 2.8 * float(stdev(values.tolist())) / float(np.sqrt(len(values)))


def covering_points(
    space: Space, data: DataFacts | None = None, *, seed: int
) -> tuple[list[Flat], set[Pair], set[tuple[str, str]]]:
    """Return few points that together have every option of every choice, and every pair that can occur.

    The choice is greedy over random points: a point that adds nothing new is skipped. Pairs are formed among
    models, losses, module types and attention flags. Of other choices each option occurs at least once.
    """
    generator = random.Random(seed)
    points: list[Flat] = []
    pairs: set[Pair] = set()
    options: set[tuple[str, str]] = set()
    drawn = [flat for flat in (sample(space, generator) for _ in range(DRAWS)) if not infeasible(flat, data)]
    drawn.sort(key=lambda flat: -len(_options(space, flat)))
    choices = [p.key for p in space.parameters if isinstance(p.domain, Choice)]
    for flat in drawn:
        mine = {(key, str(flat[key])) for key in choices if key in flat}
        new = {frozenset(pair) for pair in combinations(_options(space, flat), 2)} - pairs
        if new or not mine <= options or not points:
            points.append(flat)
            pairs |= new
            options |= mine
    return points, pairs, options


def impossible_regions(
    space: Space, data: DataFacts | None = None, *, seed: int, draws: int = 500
) -> tuple[tuple[Problem, float], ...]:
    """Return the rules that random points violate, each with an example and its share of the points."""
    generator = random.Random(seed)
    found: dict[str, list[Problem]] = {}
    for _ in range(draws):
        for problem in infeasible(sample(space, generator), data):
            found.setdefault(problem.where, []).append(problem)
    regions = [(problems[0], len(problems) / draws) for problems in found.values()]
    return tuple(sorted(regions, key=lambda region: -region[1]))


def slice_fold(fold: Fold, n_users: int = SLICE_USERS) -> Fold:
    """Return a small fold: `n_users` of the test users, and the train interactions of as many users."""
    few = fold.of_users(fold.users[:n_users])
    internal = fold.train.user_id_map.convert_to_internal(few.users, strict=False)
    frame = fold.train.interactions.df
    rest = [user for user in frame[Columns.User].unique() if user not in set(internal)]
    in_slice = frame[Columns.User].isin([*internal, *rest[: max(0, n_users - len(internal))]])
    return few.trained_on(np.flatnonzero(in_slice.to_numpy()))


def _options(space: Space, flat: Mapping[str, Value]) -> set[tuple[str, str]]:
    choices = {p.key for p in space.parameters if isinstance(p.domain, Choice) and _is_structural(p.key)}
    return {(key, str(value)) for key, value in flat.items() if key in choices}


def _is_structural(key: str) -> bool:
    return key in {"cls", "loss", "use_causal_attn", "use_key_padding_mask"} or key.endswith(
        ("_type", "_types")
    )


def _try_space(prepared: Prepared) -> Checked:
    began = time.perf_counter()
    study, seed = prepared.study, prepared.study.search.seed
    points, pairs, options = covering_points(prepared.space, prepared.known, seed=seed)
    regions = impossible_regions(prepared.space, prepared.known, seed=seed)
    problems = _failures(prepared, points)
    costs: tuple[Estimate, ...] = ()
    if not problems:
        try:
            costs = tuple(estimates(prepared))
        except TrialError as error:
            problems = (Problem("", error.message, error.hint),)
    return Checked(
        n_points=len(points) + len(prepared.baselines),
        n_options=len(options),
        n_pairs=len(pairs),
        regions=regions,
        problems=problems,
        estimates=costs,
        seconds=time.perf_counter() - began,
        study=study,
    )


def _failures(prepared: Prepared, points: list[Flat]) -> tuple[Problem, ...]:
    """Return a problem for each configuration that fails, but the same cause once for all points."""
    whole = prepared.folds[-1]
    small = slice_fold(whole)
    of_slice = replace(prepared.known, n_users=small.train.n_hot_users, n_items=small.train.n_hot_items)
    problems: dict[tuple[str, str], Problem] = {}
    for kind, name, flat in _candidates(prepared, points):
        params = trial_params(flat, 1)
        try:  # what cannot work on so few users and items is tried on all of them
            _try_point(params, whole if infeasible(params, of_slice) else small, prepared.plan)
        except TrialError as error:
            where = f"{kind} {name} ({short_name(params['cls'])})"
            hint = "\n".join(filter(None, [error.hint, f"params: {shown(flat)}"]))
            found = Problem(where, error.message, hint)
            problems.setdefault((kind, error.message), found)
    return tuple(problems.values())


def _candidates(prepared: Prepared, points: list[Flat]) -> Iterator[tuple[str, str, Flat]]:
    for baseline in prepared.baselines:
        yield "baseline", baseline.name, baseline.params
    for number, flat in enumerate(points, 1):
        yield "point", str(number), flat


def _try_point(params: Flat, fold: Fold, plan: Plan) -> None:
    """Build the model, fit it on one batch, recommend and measure, as a trial does."""
    model = build_model(params)
    precision = set_precision(model, plan.precision)
    paths = accelerate(model, unpadded=plan.unpadded) if plan.fast else FastPaths()
    if isinstance(model, TransformerModelBase):
        trainer = model._trainer  # noqa: SLF001  # there is no public way to shorten an epoch
        trainer.limit_train_batches = 1
        trainer.fit_loop.max_epochs = 1
    seed_everything(60, workers=True, verbose=False)
    with boundary("one batch"), products_in(precision):
        measure = Measure(
            model, fold, plan, lambda _: None, paths=paths, precision=precision, checkpoint=None
        )
        model.fit(fold.train)
        if isinstance(model, TransformerModelBase):
            _check_weights(model)
        measure.take_last()
        measure.all_by_user()


def _check_weights(model: TransformerModelBase) -> None:  # type: ignore[type-arg]  # any config
    if not all(bool(torch.isfinite(p).all()) for p in model.torch_model.parameters()):
        raise TrialError("weights must stay finite, but one batch made some of them nan or inf")
