"""The work behind each command of `tuner`, one module for each."""

__all__: list[str] = []
