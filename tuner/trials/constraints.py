"""The conditions that a trial must satisfy: ``parameters <= 5e6``, ``CoveredUsers@10 >= 0.99``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from tuner.trials.records import Summary

__all__ = ["QUANTITIES", "Constraint", "broken", "quantities"]

#: Quantities that a constraint can name besides metrics, and what each of them measures.
QUANTITIES: dict[str, str] = {
    "parameters": "trainable parameters; 0 for a model that is not trained by steps, such as EASE",
    "fit_seconds": "seconds of training, sum over all folds, without evaluations",
    "recommend_seconds": "seconds to recommend to all test users of a fold, mean over folds",
    "peak_memory": "bytes of the worker process",
    "peak_gpu_memory": "bytes of tensors on the worker's GPU",
}


def quantities(summary: Summary) -> dict[str, float]:
    """Return the metrics and the `QUANTITIES` of a complete trial, by name.

    A quantity that was not measured is 0, for example the parameters of a model that has none.
    """
    taken: Mapping[str, float | None] = {
        "parameters": summary.n_parameters,
        "fit_seconds": summary.fit_seconds,
        "recommend_seconds": summary.recommend_seconds,
        "peak_memory": summary.peak_memory,
        "peak_gpu_memory": summary.peak_gpu_memory,
    }
    return {**summary.metrics, **{name: float(value or 0) for name, value in taken.items()}}


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric or a quantity.

    Attributes
    ----------
    name
        Label of a metric, or a key of `QUANTITIES`.
    operator
        ``<=`` or ``>=``.
    bound
        The number to the right of the operator.
    """

    name: str
    operator: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.bound:.12g}"

    def excess(self, summary: Summary) -> float:
        """Return by how much a complete trial exceeds the bound; 0 or less if it satisfies the constraint."""
        over = quantities(summary)[self.name] - self.bound
        return over if self.operator == "<=" else -over

    @classmethod
    def parse(cls, plain: object) -> Constraint:
        """Read a constraint of a study file.

        Raises
        ------
        ValueError
            If the text is not of the form ``NAME <= NUMBER`` or ``NAME >= NUMBER``.
        """
        if isinstance(plain, Constraint):
            return plain
        match = re.fullmatch(r"\s*([\w@]+)\s*(<=|>=)\s*(\S+)\s*", str(plain))
        try:
            bound = float(match[3]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound):
            msg = f"must be NAME <= NUMBER or NAME >= NUMBER, such as 'parameters <= 5e6', but got {plain!r}"
            raise ValueError(msg)
        return cls(match[1], cast("Literal['<=', '>=']", match[2]), bound)


def broken(constraints: Iterable[Constraint], summary: Summary) -> tuple[Constraint, ...]:
    """Return the constraints that a complete trial violates."""
    return tuple(constraint for constraint in constraints if constraint.excess(summary) > 0)
