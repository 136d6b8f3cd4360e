"""Which drivers hold a study."""

__all__: list[str] = []
