"""What is known of a trial. Knows neither Ray nor torch."""

__all__: list[str] = []
