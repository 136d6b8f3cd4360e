"""Shows a study in a cell of a notebook: as text of a few lines, and as HTML for light and dark themes."""

__all__: list[str] = []
