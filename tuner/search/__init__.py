"""What a search decides, without Ray: which trial runs, which one stops, and when the search ends."""

__all__: list[str] = []
