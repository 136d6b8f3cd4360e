"""The records of a trial: params, evaluations, status, outcome. Nothing here imports Ray or torch."""

__all__: list[str] = []
