"""From the interactions file to folds and a holdout."""

__all__: list[str] = []
