"""One fit in one process: fast paths, precision, checkpoints, memory."""

__all__: list[str] = []
