"""The statistics of `benchmarks.search_quality`: quantiles, ratios, and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLOSE",
    "Outcome",
    "against",
    "details",
    "geometric_mean",
    "interval",
    "quantile",
    "ratios",
    "sub_rows",
]

Floats = NDArray[np.float64]

#: Distances from the table's best, as shares of it, at which a trial counts as equally good. The first one
#: is the main target.
CLOSE = (0.01, 0.03)
#: Share of the rows of a sub-table.
SUB_SHARE = 0.6
#: Number of samples of the bootstrap, and the quantiles between which its intervals lie.
N_SAMPLES, LOW, HIGH = 2000, 0.025, 0.975


@dataclass(frozen=True)
class Outcome:
    """Result of one search.

    Attributes
    ----------
    reached
        Compute until a trial was complete that is as close to the best as `CLOSE` says, for each of its
        distances. A share of the compute for the whole table; inf if no such trial was complete.
    regret
        How far the search's best was below the table's best at the end, as a share of the table's best.
    """

    reached: tuple[float, ...]
    regret: float


def sub_rows(n_rows: int, seed: int) -> list[int]:
    """Return the rows of the sub-table of a seed, ascending: `SUB_SHARE` of all rows, drawn at random."""
    rng = np.random.default_rng([seed, n_rows])
    drawn: list[int] = np.sort(rng.choice(n_rows, round(SUB_SHARE * n_rows), replace=False)).tolist()
    return drawn


def quantile(values: Floats, share: float) -> Floats:
    """Return the smallest value that at least this share of the values do not exceed, along the last axis.

    No value is interpolated, because inf stands for searches that never reached the best.
    """
    at = math.ceil(round(share * (values.shape[-1] - 1), 9))
    found: Floats = np.sort(values, axis=-1)[..., at]
    return found


def interval(statistic: Callable[..., Floats], *samples: Floats) -> tuple[float, float]:
    """Return the 95 % interval of a statistic over seeds, by the bootstrap.

    Parameters
    ----------
    statistic
        Takes one array for each sample, of shape (N_SAMPLES, n_seeds), and reduces the last axis.
    samples
        One value for each seed, shape (n_seeds,). Samples of the same length are drawn by the same seeds,
        since a seed stands for the same sub-table and the same order everywhere.
    """
    drawn = []
    for sample in samples:
        rng = np.random.default_rng(len(sample))
        drawn.append(sample[rng.integers(len(sample), size=(N_SAMPLES, len(sample)))])
    found = np.sort(statistic(*drawn))
    return float(found[math.floor(LOW * N_SAMPLES)]), float(found[math.ceil(HIGH * N_SAMPLES) - 1])


def ratios(
    ours: Sequence[Outcome], random: Sequence[Outcome], stock: Sequence[Sequence[Outcome]]
) -> dict[str, float]:
    """Return our compute divided by that of random search and of stock, with 95 % intervals against stock.

    At each quantile, stock is the better one of its ways. Where half (or a tenth) of the searches of the
    others never reached the best, they count with the whole table; ours then count as infinite.
    """
    mine, theirs = _reached(ours), [_reached(one) for one in stock]
    found: dict[str, float] = {}
    for ending, share in (("", 0.5), ("_p90", 0.9)):
        found[f"compute_vs_stock{ending}"] = float(_ratio(share, mine, *theirs))
        low, high = interval(lambda *drawn, at=share: _ratio(at, *drawn), mine, *theirs)
        found |= {f"low{ending}": low, f"high{ending}": high}
        found[f"compute_vs_random{ending}"] = float(_ratio(share, mine, _reached(random)))
    found["missed"] = _missed(mine)
    found["missed_stock"] = min(_missed(one) for one in theirs)
    return found


def _ratio(share: float, mine: Floats, *theirs: Floats) -> Floats:
    others = np.minimum.reduce([quantile(one, share) for one in theirs])
    ratio: Floats = quantile(mine, share) / np.minimum(others, 1.0)
    return ratio


def details(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the figures of one contender: medians and 90th percentiles with intervals, missed, regret.

    Names that end in `_3` are those for the second distance of `CLOSE`.
    """
    found: dict[str, float] = {}
    for target, ending in enumerate(("", "_3")):
        reached = _reached(outcomes, target)
        for name, share in (("median", 0.5), ("p90", 0.9)):
            found[f"{name}{ending}"] = float(quantile(reached, share))
            if not target:
                low, high = interval(lambda drawn, at=share: quantile(drawn, at), reached)
                found |= {f"{name}_low": low, f"{name}_high": high}
        found[f"missed{ending}"] = _missed(reached)
    found["regret"] = float(np.mean([one.regret for one in outcomes]))
    return found


def against(outcomes: Sequence[Outcome], ours: Sequence[Outcome]) -> tuple[float, float]:
    """Return the compute of a contender divided by ours with the same seeds: median and 90th percentile."""
    n_seeds = min(len(outcomes), len(ours))
    other, mine = _reached(outcomes[:n_seeds]), _reached(ours[:n_seeds])
    median, p90 = (float(quantile(other, share) / quantile(mine, share)) for share in (0.5, 0.9))
    return median, p90


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


def _reached(outcomes: Sequence[Outcome], target: int = 0) -> Floats:
    return np.array([one.reached[target] for one in outcomes])


def _missed(reached: Floats) -> float:
    return float(np.isinf(reached).mean())


def to_text(outcomes: Sequence[Outcome]) -> str:
    """Return outcomes as one short text: a `/` between the numbers of an outcome, spaces between outcomes."""
    return " ".join("/".join(f"{value:.5g}" for value in (*one.reached, one.regret)) for one in outcomes)


def from_text(text: str) -> list[Outcome]:
    """Return the outcomes of a text of `to_text`."""
    numbers = [[float(value) for value in one.split("/")] for one in text.split()]
    return [Outcome(tuple(one[:-1]), one[-1]) for one in numbers]


def finite(figures: Mapping[str, float], digits: int = 3) -> dict[str, float]:
    """Return rounded figures without infinite ones, which JSON cannot hold."""
    return {
        name: round(value, 6 if "regret" in name else digits)
        for name, value in figures.items()
        if math.isfinite(value)
    }
