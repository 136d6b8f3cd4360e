"""Measures how often the final judgement is right: simulates studies whose truth is known.

    python -m benchmarks.verdicts [--studies N] [--quick]

Each study has 15 rows, as alike as real ones, from the 220 models that are recorded in `recorded/retail.npz`:
five of the best and ten others, or the 15 best of a search over 60 of them. Its 1,000 users are drawn from
the 895 users of the recording, each with the NDCG that all 15 models had for this user. The mean of each
model over all recorded users is subtracted, so that no row is better than another; differences are then
added. It takes about three minutes on two idle cores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from benchmarks.measuring import command_line, machine, write_results
from tuner.holdout import LEVEL
from tuner.holdout.comparisons import pairwise_differences
from tuner.holdout.intervals import half_width, p_value, resamples, seeds_of
from tuner.holdout.max_t import N_RESAMPLES, null_statistics, relative_limits, step_down

__all__ = ["Judged", "figures_of", "holm_limit", "power_of_alike_rows", "simulate"]

Array = NDArray[np.float64]

N_ROWS, N_SEARCHED = 15, 5
#: Number of principal components that count as what models have in common.
N_COMMON = 5
#: The searched rows are drawn from so many models with the best mean.
N_BEST = 20
#: Number of models of a search whose best rows are judged.
N_MODELS = 60
RECORDED = Path(__file__).parent / "recorded" / "retail.npz"
#: The primary comparison: the first searched trial with the first baseline.
PRIMARY = (0, N_SEARCHED)
#: Each kind of studies is simulated in so many parts, which run at once where there are processors.
N_PARTS = 4
#: True differences of the rows in the study with many of them, in standard errors of a difference.
SPREAD = np.repeat(np.arange(5.0), 3)
PAIRS = np.array(list(combinations(range(N_ROWS), 2)))
IS_PRIMARY = (PAIRS == PRIMARY).all(axis=1)
#: The winner is the first row. Another searched row is the second.
WINNER, OTHER = 0, 1
WITH_WINNER = (PAIRS == WINNER).any(axis=1)[~IS_PRIMARY]

#: Arguments of `simulate` by the name of the kind of study: rows as they were recorded, with one fit; the
#: best rows of one search; rows with three fits, and seeds that matter; rows without nine tenths of the
#: variance of a fit.
KINDS: dict[str, dict[str, Any]] = {
    "one_seed": {"n_seeds": 1},
    "one_search": {"n_seeds": 1, "one_search": True},
    "three_seeds": {"n_seeds": 3, "seed_effect": 1.0},
    "little_noise": {"n_seeds": 1, "own": 0.1**0.5},
}


@dataclass(frozen=True)
class Judged:
    """What the judgement says of one study.

    Attributes
    ----------
    primary
        p-value of the primary comparison.
    wrong
        Whether a test of the family is wrong if no row differs.
    holds, holds_spread
        Whether all intervals of the family hold the true differences: if no row differs, and if many do.
    differences, errors
        Difference of each pair of rows and its standard error, shape (n_pairs,).
    critical, plain
        What the statistic of each pair of the family must exceed in the first step, shape (n_pairs - 1,); and
        what all would have to exceed if the pairs with the winner had no share of their own.
    df
        Degrees of freedom of the standard error by seeds.
    """

    primary: float
    wrong: bool
    holds: bool
    holds_spread: bool
    differences: Array
    errors: tuple[Array, Array]
    critical: Array
    plain: float
    df: int


def simulate(
    n_studies: int,
    *,
    n_users: int,
    n_seeds: int,
    seed_effect: float = 0.0,
    own: float = 1.0,
    one_search: bool = False,
    seed: int = 0,
) -> list[Judged]:
    """Judge simulated studies.

    Parameters
    ----------
    n_studies, n_users
        Number of studies, and of users in the holdout of each.
    n_seeds
        Number of fits of each row.
    seed_effect
        Effect of a seed on all users of a fit, in standard errors of a difference of two rows.
    own
        See `_recorded`.
    one_search
        Whether the rows are the best ones of a search.
    seed
        Seed of the simulation.
    """
    rng = np.random.default_rng([seed, n_users, n_seeds])
    recorded, drawn = _recorded(own), (_of_one_search if one_search else _of_several)
    return [
        _judge(_values(rng, recorded[drawn(rng, len(recorded))], n_users, n_seeds, seed_effect))
        for _ in range(n_studies)
    ]


@lru_cache(maxsize=2)
def _recorded(own: float) -> Array:
    """Return the last NDCG of each recorded model for each user, best models first, shape (220, 895).

    Parameters
    ----------
    own
        Factor of what a model does not have in common with others: the part beyond `N_COMMON` principal
        components, which is mostly the noise of its one fit. It is 1 for the values as recorded.
    """
    with np.load(RECORDED) as archive:
        values: Array = archive["users"][:, -1].astype(np.float64)
    values = values[np.argsort(-values.mean(axis=1))]
    if own == 1:
        return values
    middle = values.mean(axis=0)
    rows, sizes, users = np.linalg.svd(values - middle, full_matrices=False)
    sizes[N_COMMON:] *= own
    scaled: Array = middle + (rows * sizes) @ users
    return scaled


def _of_several(rng: np.random.Generator, n_models: int) -> NDArray[np.int64]:
    """Draw rows of several families: some of the best models, and others."""
    return np.concatenate(
        [
            rng.choice(N_BEST, N_SEARCHED, replace=False),
            rng.choice(np.arange(N_BEST, n_models), N_ROWS - N_SEARCHED, replace=False),
        ]
    )


def _of_one_search(rng: np.random.Generator, n_models: int) -> NDArray[np.int64]:
    """Draw the models of a search, and return the best of them, in any order."""
    best = np.sort(rng.choice(n_models, N_MODELS, replace=False))[:N_ROWS]
    return rng.permutation(best)


def _values(rng: np.random.Generator, rows: Array, n_users: int, n_seeds: int, seed_effect: float) -> Array:
    """Draw the values of a study, shape (n_rows, n_seeds, n_users). All rows have the same true mean."""
    real = rows - rows.mean(axis=1, keepdims=True)
    values = real[:, None, rng.integers(real.shape[1], size=n_users)]
    spread = np.sqrt(2 * (1 - np.corrcoef(real)[np.triu_indices(N_ROWS, 1)].mean())) * real.std()
    noise = rng.normal(0, seed_effect * spread / 2, (N_ROWS, n_seeds, n_users))
    effects = rng.normal(0, seed_effect * spread / np.sqrt(n_users), (N_ROWS, n_seeds, 1))
    found: Array = values + noise + effects
    return found


@lru_cache(maxsize=2)
def _counts(n_users: int) -> Array:
    return np.concatenate(list(resamples(n_users, N_RESAMPLES, 0)))


def _judge(values: Array) -> Judged:
    """Judge one study with the tests of `tuner.holdout.comparisons`. All studies have the same resamples."""
    _, n_seeds, n_users = values.shape
    seeds = seeds_of(list(values.astype(np.float32)))
    by_user = values.mean(axis=1)
    resampled = _counts(n_users) @ by_user.T / n_users - by_user.mean(axis=1)
    by_seeds = np.full(N_ROWS, seeds.error(n_seeds))
    differences, *errors = pairwise_differences(by_user, by_seeds)
    total = np.hypot(*errors)
    units = relative_limits(WITH_WINNER, LEVEL)
    null = null_statistics(resampled, np.full(N_ROWS, n_seeds), total, seeds)[:, ~IS_PRIMARY]
    statistics = (differences / total)[~IS_PRIMARY] / units
    _, critical = step_down(np.abs(statistics), null / units, LEVEL)
    beyond = np.abs(statistics) > critical
    apart = (
        (SPREAD[PAIRS[:, 0]] - SPREAD[PAIRS[:, 1]])[~IS_PRIMARY] * total.mean() / total[~IS_PRIMARY] / units
    )
    _, spread_critical = step_down(np.abs(statistics + apart), null / units, LEVEL)
    _, plain = step_down(np.zeros(1), null.max(axis=1, keepdims=True), LEVEL)
    primary = p_value(*(one[IS_PRIMARY] for one in (differences, *errors)), n_users=n_users, df=seeds.df)
    return Judged(
        primary=float(primary[0]),
        wrong=bool(beyond.any()),
        holds=not beyond.any(),
        holds_spread=bool((np.abs(statistics) <= spread_critical).all()),
        differences=differences,
        errors=(errors[0], errors[1]),
        critical=critical.max() * units,
        plain=float(plain.max()),
        df=seeds.df,
    )


def figures_of(judged: list[Judged], n_users: int) -> dict[str, float]:
    """Return the shares of studies in which the judgement is wrong or right, and the power of the tests."""
    needed, of_other = _needed(judged, n_users, WINNER), _needed(judged, n_users, OTHER)
    return {
        "family_error": float(np.mean([one.wrong for one in judged])),
        "coverage": float(np.mean([one.holds for one in judged])),
        "coverage_differences": float(np.mean([one.holds_spread for one in judged])),
        "primary_error": float(np.mean([one.primary < 1 - LEVEL for one in judged])),
        "holm_power": needed.power(needed.by_holm),
        "max_t_power": needed.power(needed.by_max_t),
        "max_t_power_other": of_other.power(of_other.by_max_t),
        "max_t_power_plain": needed.power(needed.by_plain),
        "limit_plain": float(np.median([one.plain for one in judged])),
    }


@dataclass(frozen=True)
class _Needed:
    """How much better a row has to be until a method parts it from another row, shape (n_studies,) each.

    The first step of all three decides whether anything is found.
    """

    by_holm: Array
    by_max_t: Array
    by_plain: Array

    def power(self, needed: Array) -> float:
        """Return how often a method finds the difference that Holm's method finds in half of the studies."""
        return float(np.mean(needed <= np.median(self.by_holm)))


def _needed(judged: list[Judged], n_users: int, row: int) -> _Needed:
    mine = (row == PAIRS).any(axis=1) & ~IS_PRIMARY
    sign = np.where(PAIRS[mine, 0] == row, 1.0, -1.0)
    found: list[list[float]] = []
    for one in judged:
        users, seeds = (error[mine] for error in one.errors)
        ahead, total = sign * one.differences[mine], np.hypot(users, seeds)
        limit = holm_limit(users, seeds, n_tests=len(WITH_WINNER), n_users=n_users, df=one.df)
        limits = (limit, one.critical[mine[~IS_PRIMARY]] * total, one.plain * total)
        found.append([float((value - ahead).min()) for value in limits])
    return _Needed(*np.array(found).T)


def power_of_alike_rows(n_studies: int = 100_000) -> float:
    """Return `max_t_power_plain` where every row is as like every other one, and errors are normal.

    What all rows have in common is in no difference, so how alike they are does not matter: the largest
    difference is Tukey's studentised range. Its limit is little below that of Bonferroni, which is that of
    Holm's first step.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n_studies, N_ROWS))
    family = PAIRS[~IS_PRIMARY]
    differences = (rows[:, family[:, 0]] - rows[:, family[:, 1]]) / np.sqrt(2)
    limit = np.quantile(np.abs(differences).max(axis=1), LEVEL)
    bonferroni = ndtri(1 - (1 - LEVEL) / (2 * len(family)))
    best = differences[:, WITH_WINNER].max(axis=1)
    return float(np.mean(limit - best <= np.median(bonferroni - best)))


def holm_limit(by_users: Array, by_seeds: Array, *, n_tests: int, n_users: int, df: int) -> Array:
    """Return the difference from which on Holm's first step finds a pair."""
    return half_width(by_users, by_seeds, n_users=n_users, df=df, level=1 - (1 - LEVEL) / n_tests)


def main() -> None:
    """Simulate, print the figures and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--studies", type=int, default=2000, help="number of studies of each kind")
    arguments = parser.parse_args()
    facts = machine()
    n_studies, n_users = (100 if arguments.quick else arguments.studies), 1000
    figures: dict[str, float] = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for name, kind in KINDS.items():
            parts = [
                pool.submit(simulate, n_studies // N_PARTS, n_users=n_users, seed=part, **kind)
                for part in range(N_PARTS)
            ]
            found: Mapping[str, float] = figures_of([one for part in parts for one in part.result()], n_users)
            for key, value in found.items():
                figures[f"{key}/{name}"] = round(value, 4)
                print(f"{key + '/' + name:<44} {value:.4f}", flush=True)
    figures["max_t_power_plain/alike"] = round(power_of_alike_rows(), 4)
    settings = {"studies of each kind": n_studies, "rows": N_ROWS, "users": n_users}
    path = write_results(
        "verdicts", {"machine": facts, "quick": arguments.quick, "figures": figures, "settings": settings}
    )
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
