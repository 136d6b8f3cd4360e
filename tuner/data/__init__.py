"""Reads the interactions, and splits them into folds and a holdout."""

__all__: list[str] = []
