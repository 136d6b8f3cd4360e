"""The files of a study beside its store: logs, checkpoints, values by user, and where they are kept."""

__all__: list[str] = []
