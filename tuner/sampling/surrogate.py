"""A Gaussian process over distances between points, in which each observation has a noise of its own.

Optuna's GP sampler has one noise for all observations and no distance between points that have different
dimensions, so it cannot learn from unfinished trials of conditional spaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

__all__ = ["Surrogate", "fit"]

Floats = NDArray[np.float64]

#: Lengths of the kernel that are compared, in units of distance, and signal variances, as shares of the
#: variance of the values.
_LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_SIGNALS = (0.3, 1.0, 3.0)
#: Least variance of an observation's noise, as a share of the variance of the values.
_LEAST_NOISE = 0.01


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process with the kernel ``signal * exp(-distance / length)`` and a constant mean.

    Attributes
    ----------
    length, signal, spread
        Length and variance of the kernel, and the variance of the values.
    mean
        The constant mean.
    lower, weights
        Lower triangle of the Cholesky decomposition of the kernel with the noise, shape (n, n), and the
        weight of each observation, shape (n,).
    likelihood
        Log marginal likelihood, up to a constant.
    """

    length: float
    signal: float
    spread: float
    mean: float
    lower: Floats
    weights: Floats
    likelihood: float

    def predict(self, distances: Floats) -> tuple[Floats, Floats]:
        """Return means and standard deviations, both of shape (n_points,).

        Parameters
        ----------
        distances
            Distances of the points from the observations, shape (n_points, n).
        """
        kernel = self.signal * np.exp(-distances / self.length)
        half = solve_triangular(self.lower, kernel.T, lower=True)
        variance = self.signal - (half**2).sum(axis=0)
        return self.mean + kernel @ self.weights, np.sqrt(np.maximum(variance, 0.0))

    def refit(self, distances: Floats, values: Floats, variances: Floats) -> Surrogate:
        """Return the process of other observations, with the same kernel."""
        return _process(distances, values, variances, (self.length, self.signal, self.spread))


def fit(distances: Floats, values: Floats, variances: Floats) -> Surrogate:
    """Fit a Gaussian process. Length and signal are those of the largest marginal likelihood.

    Parameters
    ----------
    distances
        Distances between the observations, shape (n, n).
    values, variances
        Values of the observations and the variances of their noise, shape (n,).
    """
    spread = float(np.var(values)) or 1.0
    kernels = ((length, share * spread, spread) for length in _LENGTHS for share in _SIGNALS)
    processes = (_process(distances, values, variances, kernel) for kernel in kernels)
    return max(processes, key=lambda process: process.likelihood)


def _process(
    distances: Floats, values: Floats, variances: Floats, kernel: tuple[float, float, float]
) -> Surrogate:
    """Return the process with a kernel of this length, signal and spread (Rasmussen, Williams 2006, 2.2)."""
    length, signal, spread = kernel
    noise = np.diag(variances + _LEAST_NOISE * spread)
    lower = np.linalg.cholesky(signal * np.exp(-distances / length) + noise)
    ones, half = solve_triangular(lower, np.stack([np.ones(len(values)), values], axis=1), lower=True).T
    mean = float(ones @ half / (ones @ ones))
    rest = half - mean * ones
    likelihood = -0.5 * float(rest @ rest) - float(np.log(np.diag(lower)).sum())
    weights = solve_triangular(lower.T, rest, lower=False)
    return Surrogate(length, signal, spread, mean, lower, weights, likelihood)
