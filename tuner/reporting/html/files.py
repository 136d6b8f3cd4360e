"""Writes figures as files: as SVG and as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tuner.errors import Problem, StoreError
from tuner.errors.caller import argument
from tuner.reporting.figures import draw_all
from tuner.reporting.figures.figure import Figure
from tuner.reporting.report_data import ReportData

__all__ = ["write_figures"]


def write_figures(report: ReportData, folder: Path, *, kinds: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Write every figure on a light background.

    Parameters
    ----------
    report
        Data of the study.
    folder
        Folder for the files. It is created if it does not exist.
    kinds
        Endings of the files' names.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = [figure for found in draw_all(report).values() for figure in found]
        return [path for figure in figures for path in _write(figure, folder, kinds)]
    except OSError as error:
        rule = f"must be a folder that can be written, but got the error: {error.strerror}"
        raise StoreError(str(folder), [Problem(argument("--figures"), rule)]) from error


def _write(figure: Figure, folder: Path, kinds: Sequence[str]) -> Iterator[Path]:
    if figure.draw is None:
        return
    chart = figure.chart()
    for path in (folder / f"{figure.name}.{kind}" for kind in kinds):
        chart.save(str(path), ppi=144)
        yield path
