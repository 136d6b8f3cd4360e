"""Learning curves small enough for a line of a table, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuner.reporting.row import Row

__all__ = ["Sparklines"]

#: Size in pixels, and the space around the line.
_WIDTH, _HEIGHT, _EDGE = 92, 20, 2.5


class Sparklines:
    """Draws the curves of trials on common axes, so that they can be compared.

    Parameters
    ----------
    rows
        The trials.
    objective
        Label of the metric to draw.
    """

    def __init__(self, rows: Iterable[Row], objective: str) -> None:
        self._curves = {row.number: _folds(row, objective) for row in rows}
        points = [point for folds in self._curves.values() for fold in folds.values() for point in fold]
        self._last = max((epoch for epoch, _ in points), default=0)
        values = [value for _, value in points]
        self._low, self._high = min(values, default=0.0), max(values, default=0.0)

    def draw(self, number: int) -> str:
        """Return the curve of a trial, a line for each fold; an empty text if it has no epochs."""
        lines = [self._line(points) for points in self._curves.get(number, {}).values() if len(points) > 1]
        if not lines:
            return ""
        return (
            f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="learning curve of trial {number}" style="vertical-align:middle">'
            f"{''.join(lines)}</svg>"
        )

    def _line(self, points: list[tuple[int, float]]) -> str:
        places = [f"{self._x(epoch):.1f},{self._y(value):.1f}" for epoch, value in points]
        x, y = places[-1].split(",")
        return (
            f'<polyline points="{" ".join(places)}" fill="none" stroke="#2f86d1" stroke-width="1.3" '
            f'stroke-opacity=".8"/><circle cx="{x}" cy="{y}" r="1.6" fill="#2f86d1"/>'
        )

    def _x(self, epoch: int) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * epoch / max(1, self._last)

    def _y(self, value: float) -> float:
        share = (value - self._low) / ((self._high - self._low) or 1.0)
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * share


def _folds(row: Row, objective: str) -> Mapping[int, list[tuple[int, float]]]:
    """Return epochs and values of each fold of a model that is trained by epochs."""
    found: dict[int, list[tuple[int, float]]] = {}
    for evaluation in row.record.evaluations:
        if evaluation.epoch and objective in evaluation.metrics:
            found.setdefault(evaluation.fold, []).append((evaluation.epoch, evaluation.metrics[objective]))
    return found
