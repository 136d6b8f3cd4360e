"""Shows a running search to people and programs."""

__all__: list[str] = []
