"""The figures of a study as charts of Altair: `board.plot`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tuner.errors import Problem, StoreError, did_you_mean
from tuner.reporting.cells.chart import shown_everywhere
from tuner.trials.constraints import quantities

if TYPE_CHECKING:
    from tuner.reporting.figures.figure import Chart, Figure
    from tuner.reporting.report_data import ReportData

__all__ = ["Plots"]


@dataclass(frozen=True)
class Plots:
    """The figures of a stored study. Each method returns a chart of Altair.

    Jupyter shows a chart, and the tooltip of a mark tells its trial. ``chart.save("name.svg")`` writes a file
    as SVG, PNG, PDF, HTML or JSON. A method raises `StoreError` if the study has no data for its figure.

    Attributes
    ----------
    folder
        Folder of the study. It is read once, at the first figure.

    Examples
    --------
    >>> board.plot.history().save("history.png")  # doctest: +SKIP
    >>> board.plot.slices("lr")  # doctest: +SKIP
    """

    folder: Path

    def history(self, by: Literal["trial", "time"] = "trial") -> Chart:
        """Draw the objective of every trial, and the best so far.

        Parameters
        ----------
        by
            What trials are ordered by: their number, or the time of the search when they ended.

        Raises
        ------
        StoreError
            If it is neither.
        """
        if by not in {"trial", "time"}:
            raise StoreError("history", [Problem("by", f"must be 'trial' or 'time', but got {by!r}")])
        from tuner.reporting.figures.history import history_by_time, history_by_trial  # noqa: PLC0415  # Altair

        figure = history_by_time(self._report) if by == "time" else history_by_trial(self._report)
        return self._chart(figure, "history", "two trials that have ended")

    def curves(self) -> Chart:
        """Draw the objective by epoch in each fold, and where trials were stopped."""
        from tuner.reporting.figures.curves import curves  # noqa: PLC0415  # Altair

        return self._chart(curves(self._report), "curves", "a trial with several epochs")

    def folds(self) -> Chart:
        """Draw the value of each fold and the mean, for the first rows of the leaderboard."""
        from tuner.reporting.figures.folds import folds  # noqa: PLC0415  # Altair

        return self._chart(folds(self._report), "folds", "a complete trial and two folds")

    def importances(self) -> Chart:
        """Draw which params decide whether a trial is among the best."""
        from tuner.reporting.figures.importances import importances  # noqa: PLC0415  # Altair

        return self._chart(importances(self._report), "importances", "twenty trials, five of them complete")

    def parallel(self) -> Chart:
        """Draw each trial as a line through its params, the most important ones, to its objective."""
        from tuner.reporting.figures.parallel import parallel  # noqa: PLC0415  # Altair

        needs = "two complete trials and two params that vary"
        return self._chart(parallel(self._report), "parallel", needs)

    def slices(self, param: str | None = None) -> Chart:
        """Draw the objective by the options of each choice, or by one param.

        Parameters
        ----------
        param
            Name of a param that varies, with or without its prefix: ``lr``, ``transformer_layers``.
        """
        from tuner.reporting.dimensions import dimensions  # noqa: PLC0415  # as below
        from tuner.reporting.figures.slices import slice_of, slices  # noqa: PLC0415  # Altair

        needs = "two complete trials and a param that varies"
        if param is None:
            return self._chart(slices(self._report), "slices", needs)
        found = dimensions(self._report)
        one = next((one for one in found if param in {one.key, one.label}), None)
        if one is None:
            raise self._unknown("slices", "a param that varies", param, [one.label for one in found])
        return self._chart(slice_of(self._report, one), "slices", needs)

    def tradeoff(self, metric: str | None = None) -> Chart:
        """Draw the objective against metrics that do not measure accuracy, or against one metric.

        Parameters
        ----------
        metric
            A metric of the study, such as ``Serendipity@10``, or a quantity, such as ``fit_seconds``.
        """
        from tuner.reporting.figures.tradeoff import tradeoff, tradeoff_with  # noqa: PLC0415  # Altair

        if metric is None:
            return self._chart(tradeoff(self._report), "tradeoff", "a metric besides those of accuracy")
        summaries = [row.record.summary for row in self._report.done]
        names = {name for summary in summaries if summary for name in quantities(summary)}
        if metric not in names:
            raise self._unknown("tradeoff", "a metric of complete trials", metric, sorted(names))
        return self._chart(
            tradeoff_with(self._report, metric), "tradeoff", "a complete trial with the metric"
        )

    def front(self) -> Chart:
        """Draw the Pareto front of a study with several objectives."""
        from tuner.reporting.figures.tradeoff import front  # noqa: PLC0415  # Altair

        return self._chart(front(self._report), "front", "several objectives and a complete trial")

    def judged(self) -> Chart:
        """Draw the values on the holdout with their intervals, beside those of validation."""
        from tuner.reporting.figures.judged import judged  # noqa: PLC0415  # Altair

        return self._chart(judged(self._report), "judged", "a final judgement")

    def compute(self) -> Chart:
        """Draw the share of complete, stopped and failed trials in the compute."""
        from tuner.reporting.figures.cost import compute  # noqa: PLC0415  # Altair

        return self._chart(compute(self._report), "compute", "a trial that has begun")

    def timeline(self) -> Chart:
        """Draw when each trial ran, and on which host."""
        from tuner.reporting.figures.cost import timeline  # noqa: PLC0415  # Altair

        return self._chart(timeline(self._report), "timeline", "a trial that has begun")

    @cached_property
    def _report(self) -> ReportData:
        from tuner.reporting.report_data import gather  # noqa: PLC0415  # it builds on the leaderboard

        return gather(self.folder)

    def _chart(self, figure: Figure | None, name: str, needs: str) -> Chart:
        if figure is None or figure.draw is None:
            rule = f"needs {needs}, but the study has not got them"
            raise StoreError(str(self.folder), [Problem(f"plot.{name}", rule)])
        return shown_everywhere(figure.chart())

    def _unknown(self, name: str, what: str, given: str, known: Sequence[str]) -> StoreError:
        rule = f"must be {what}, but got {given!r}"
        return StoreError(str(self.folder), [Problem(f"plot.{name}", rule, did_you_mean(given, known))])
