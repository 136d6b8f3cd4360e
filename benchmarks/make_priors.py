"""Makes the priors of the spaces that ship, from the recorded tables.

    python -m benchmarks.make_priors

Ridge regression of the rank of a configuration within its table on the features of its point (see
`tuner.space.prior`). Features are centred within each table, so that a table's own mean does not matter. A
prior that is tested on a table is made without it (`prior_without`). Tables of made data are no source: they
say nothing about real users.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from benchmarks.recording import Table, load_table
from tuner.space import Choice, Domain, Space, Value
from tuner.space.prior import Prior, features

__all__ = ["distributions_of", "prior_without"]

Floats = NDArray[np.float64]

FILE = Path(__file__).parents[1] / "search_spaces" / "priors" / "transformers.json"
#: Strength of the ridge, in configurations: an effect that fewer have is shrunk by more than half.
RIDGE = 10.0
#: Smallest effect that is kept.
_SMALLEST = 0.003
#: Tables of made data.
_MADE = ("walks",)


def main() -> None:
    """Write the priors."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    prior = prior_without()
    FILE.parent.mkdir(exist_ok=True)
    prior.write(FILE)
    print(f"{FILE.name}: effects of {len(prior.effects)} params, from {', '.join(prior.sources)}")


def prior_without(left_out: str = "") -> Prior:
    """Return what the recorded tables of real data say of the params, without one of them."""
    from benchmarks.search_quality import recorded, search_space

    paths = [path for path in recorded() if path.stem not in (left_out, *_MADE)]
    tables = [load_table(path) for path in paths]
    return prior_of([(table, search_space(table)) for table in tables], [path.stem for path in paths])


def prior_of(tables: Sequence[tuple[Table, Space]], sources: Sequence[str]) -> Prior:
    """Return what some tables, each with its space, say of the params."""
    found = [_features(table, space) for table, space in tables]
    names = sorted({name for of in found for name in of})
    columns, ranks = [], []
    for (table, _), of in zip(tables, found, strict=True):
        empty = np.zeros(len(table))
        matrix = np.stack([of.get(name, empty) for name in names], axis=1)
        columns.append(matrix - matrix.mean(axis=0))
        ranks.append(table.scores.argsort().argsort() / (len(table) - 1) - 0.5)
    x, y = np.concatenate(columns), np.concatenate(ranks)
    effects = np.linalg.solve(x.T @ x + RIDGE * np.eye(len(names)), x.T @ y)
    by_param: dict[str, dict[str, float]] = {}
    for (param, name), effect in zip(names, effects.tolist(), strict=True):
        if abs(effect) >= _SMALLEST:
            by_param.setdefault(param, {})[name] = round(effect, 4)
    return Prior(by_param, tuple(sources))


def _features(table: Table, space: Space) -> dict[tuple[str, str], Floats]:
    """Return each feature of the rows of a table, shape (n_rows,), by param and name."""
    found: dict[tuple[str, str], Floats] = {}
    for row, point in enumerate(table.points):
        distributions = distributions_of(point, space)
        for param, name, amount in features(point, distributions):
            found.setdefault((param, name), np.zeros(len(table)))[row] += amount
    return found


def distributions_of(point: Mapping[str, Value], space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each dimension of a point."""
    found: dict[str, BaseDistribution] = {}

    def read(name: str, domain: Domain) -> Value:
        distribution = domain.distribution()
        assert distribution is not None, "a walk asks only if there is a choice"
        found[name] = distribution
        return domain.option(point[name]) if isinstance(domain, Choice) else point[name]

    space.walk(read)
    return found


if __name__ == "__main__":
    main()
