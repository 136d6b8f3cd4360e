"""What people see of a study that is stored: leaderboard, comparison, details of a trial, report."""

__all__: list[str] = []
