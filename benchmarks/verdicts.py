"""Measures how often the final judgement is right: simulates studies whose truth is known.

    python -m benchmarks.verdicts [--studies N] [--quick]

Each study has 15 rows, as alike as real ones: five of the best models and ten others of the 220 models that
are recorded in `recorded/retail.npz`. Its 1,000 users are drawn from the 895 users of the recording, each
with the NDCG that all 15 models had for this user. The mean of each model over all recorded users is
subtracted, so that no row is better than another; differences are then added. It takes about three minutes on
two idle cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import command_line, machine, write_results
from tuner.holdout import LEVEL
from tuner.holdout.comparisons import pairwise_differences
from tuner.holdout.intervals import half_width, p_value, resamples, seeds_of
from tuner.holdout.max_t import N_RESAMPLES, null_statistics, step_down

__all__ = ["Judged", "figures_of", "holm_limit", "simulate"]

Array = NDArray[np.float64]

N_ROWS, N_SEARCHED = 15, 5
#: Number of principal components that count as what models have in common.
N_COMMON = 5
#: The searched rows are drawn from so many models with the best mean.
N_BEST = 20
RECORDED = Path(__file__).parent / "recorded" / "retail.npz"
#: The primary comparison: the first searched trial with the first baseline.
PRIMARY = (0, N_SEARCHED)
#: True differences of the rows in the study with many of them, in standard errors of a difference.
SPREAD = np.repeat(np.arange(5.0), 3)
PAIRS = np.array(list(combinations(range(N_ROWS), 2)))
IS_PRIMARY = (PAIRS == PRIMARY).all(axis=1)


#: Arguments of `simulate` by the name of the kind of study: rows as they were recorded, with one fit; the
#: same with three fits, and seeds that matter; rows without nine tenths of the variance of a fit.
KINDS: dict[str, dict[str, Any]] = {
    "one_seed": {"n_seeds": 1},
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
    critical
        What the statistic of a pair must exceed in the first step.
    df
        Degrees of freedom of the standard error by seeds.
    """

    primary: float
    wrong: bool
    holds: bool
    holds_spread: bool
    differences: Array
    errors: tuple[Array, Array]
    critical: float
    df: int


def simulate(
    n_studies: int, *, n_users: int, n_seeds: int, seed_effect: float = 0.0, own: float = 1.0, seed: int = 0
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
    seed
        Seed of the simulation.
    """
    rng = np.random.default_rng([seed, n_users, n_seeds])
    recorded = _recorded(own)
    return [_judge(_values(rng, recorded, n_users, n_seeds, seed_effect)) for _ in range(n_studies)]


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


def _values(
    rng: np.random.Generator, recorded: Array, n_users: int, n_seeds: int, seed_effect: float
) -> Array:
    """Draw the values of a study, shape (n_rows, n_seeds, n_users). All rows have the same true mean."""
    rows = np.concatenate(
        [
            rng.choice(N_BEST, N_SEARCHED, replace=False),
            rng.choice(np.arange(N_BEST, len(recorded)), N_ROWS - N_SEARCHED, replace=False),
        ]
    )
    real = recorded[rows] - recorded[rows].mean(axis=1, keepdims=True)
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
    null = null_statistics(resampled, np.full(N_ROWS, n_seeds), total, seeds)[:, ~IS_PRIMARY]
    statistics = (differences / total)[~IS_PRIMARY]
    _, critical = step_down(np.abs(statistics), null, LEVEL)
    beyond = np.abs(statistics) > critical
    apart = (SPREAD[PAIRS[:, 0]] - SPREAD[PAIRS[:, 1]])[~IS_PRIMARY] * total.mean() / total[~IS_PRIMARY]
    _, spread_critical = step_down(np.abs(statistics + apart), null, LEVEL)
    primary = p_value(*(one[IS_PRIMARY] for one in (differences, *errors)), n_users=n_users, df=seeds.df)
    return Judged(
        primary=float(primary[0]),
        wrong=bool(beyond.any()),
        holds=not beyond.any(),
        holds_spread=bool((np.abs(statistics) <= spread_critical).all()),
        differences=differences,
        errors=(errors[0], errors[1]),
        critical=float(critical.max()),
        df=seeds.df,
    )


def figures_of(judged: list[Judged], n_users: int) -> dict[str, float]:
    """Return the shares of studies in which the judgement is wrong or right, and the power of the tests."""
    by_holm, by_max_t = _needed(judged, n_users)
    half = float(np.median(by_holm))
    return {
        "family_error": float(np.mean([one.wrong for one in judged])),
        "coverage": float(np.mean([one.holds for one in judged])),
        "coverage_differences": float(np.mean([one.holds_spread for one in judged])),
        "primary_error": float(np.mean([one.primary < 1 - LEVEL for one in judged])),
        "holm_power": float(np.mean(by_holm <= half)),
        "max_t_power": float(np.mean(by_max_t <= half)),
    }


def _needed(judged: list[Judged], n_users: int) -> tuple[Array, Array]:
    """Return how much better the first row has to be until Holm, and max-T, part it from another row.

    Both arrays have shape (n_studies,). The first step of both decides whether anything is found.
    """
    mine = (PAIRS[:, 0] == 0) & ~IS_PRIMARY
    by_holm, by_max_t = [], []
    for one in judged:
        users, seeds = (error[mine] for error in one.errors)
        limit = holm_limit(users, seeds, n_tests=int((~IS_PRIMARY).sum()), n_users=n_users, df=one.df)
        by_holm.append((limit - one.differences[mine]).min())
        by_max_t.append((one.critical * np.hypot(users, seeds) - one.differences[mine]).min())
    return np.array(by_holm), np.array(by_max_t)


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
    for name, kind in KINDS.items():
        judged = simulate(n_studies, n_users=n_users, **kind)
        found: Mapping[str, float] = figures_of(judged, n_users)
        for key, value in found.items():
            figures[f"{key}/{name}"] = round(value, 4)
            print(f"{key + '/' + name:<44} {value:.4f}", flush=True)
    settings = {"studies of each kind": n_studies, "rows": N_ROWS, "users": n_users}
    path = write_results(
        "verdicts", {"machine": facts, "quick": arguments.quick, "figures": figures, "settings": settings}
    )
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
