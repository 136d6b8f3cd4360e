"""From flat params to RecTools models: what fits, what a model costs, and the model itself."""

__all__: list[str] = []
