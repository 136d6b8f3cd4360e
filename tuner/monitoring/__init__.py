"""What people and programs see of a search that runs."""

__all__: list[str] = []
