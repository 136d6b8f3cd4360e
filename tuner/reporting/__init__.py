"""Shows a stored study to people: leaderboard, comparison, details of a trial, report."""

__all__: list[str] = []
