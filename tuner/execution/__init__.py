"""Runs a search on Ray: Ray's session, the adapters for Ray Tune, and the code that workers run."""

__all__: list[str] = []
