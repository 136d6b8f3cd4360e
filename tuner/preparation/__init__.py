"""Prepares a study: makes everything that a search needs before its first trial."""

__all__: list[str] = []
