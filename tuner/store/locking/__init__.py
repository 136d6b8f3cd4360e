"""Locks of a study, and the drivers that hold them."""

__all__: list[str] = []
