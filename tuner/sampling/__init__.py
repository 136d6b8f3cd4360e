"""Optuna's samplers, and when a search has nothing left to find."""

__all__: list[str] = []
