"""What one fit in one process needs: fast paths, precision, checkpoints and memory."""

__all__: list[str] = []
