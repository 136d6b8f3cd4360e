"""Builds RecTools models from flat params, refuses infeasible params, and estimates the cost of training."""

__all__: list[str] = []
