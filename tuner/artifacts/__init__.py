"""The files of a study beside its store: logs, checkpoints and per-user values, and the places for them."""

__all__: list[str] = []
