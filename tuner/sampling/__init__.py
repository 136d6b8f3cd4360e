"""Optuna's samplers, which choose points, and its terminator, which ends a search that cannot gain more."""

__all__: list[str] = []
