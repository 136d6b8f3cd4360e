"""From a study to all that a search needs before its first trial."""

__all__: list[str] = []
