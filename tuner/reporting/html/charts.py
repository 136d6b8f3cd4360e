"""The charts of the page: the figures' charts in the colours of the page, with the rows that they use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.reporting.figures.figure import HALF, NARROW, WIDE, Fact, Figure, config
from tuner.reporting.figures.palette import themed

__all__ = ["charts"]


def charts(figures: Sequence[Figure]) -> dict[str, Any]:
    """Return the style of charts, and for each figure its rows, and its chart for a page and for a phone."""
    style = config() | {"legend": {"disable": True}, "background": "transparent", "aria": False}
    drawn = {figure.name: _chart(figure) for figure in figures if figure.draw is not None}
    return {"config": themed(style), "figures": drawn}


def _chart(figure: Figure) -> dict[str, Any]:
    wide, narrow = _spec(figure, HALF if figure.half else WIDE), _spec(figure, NARROW)
    text = json.dumps([wide, narrow])
    return {"wide": wide, "narrow": narrow, "data": _used(figure.data, text)}


def _spec(figure: Figure, width: int) -> Any:  # noqa: ANN401  # JSON
    """Return the chart of a figure at a width, without its rows, in the colours of the page."""
    assert figure.draw is not None, "a figure with only a caption has no chart"
    spec = figure.draw(width).to_dict(validate=False)
    return themed(_plain({key: value for key, value in spec.items() if key not in {"config", "$schema"}}))


def _plain(spec: Any) -> Any:  # noqa: ANN401  # JSON
    """Return a chart without legends and without tooltips of trials: the page has its own."""
    if isinstance(spec, dict):
        return {key: _plain_at(key, value) for key, value in spec.items()}
    return [_plain(value) for value in spec] if isinstance(spec, list) else spec


def _plain_at(key: str, value: Any) -> Any:  # noqa: ANN401  # JSON
    if key == "legend":
        return None
    if key == "tooltip" and value[0].get("title") == "trial":
        return {"field": "trial", "type": "nominal"}
    return _plain(value)


def _used(data: Mapping[str, Sequence[Fact]], spec: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a figure without the columns that no chart names, and without empty values."""
    columns = {column for rows in data.values() for row in rows for column in row}
    kept = {column for column in columns if f'"{column}"' in spec or f"datum.{column}" in spec}
    return {
        name: [{key: row[key] for key in row if key in kept and not _empty(row[key])} for row in rows]
        for name, rows in data.items()
    }


def _empty(value: object) -> bool:
    """Whether a chart treats a value as if it were not there."""
    return value is None or value is False or value == ""
