"""The functions of the package, one for each command: `tuner.check`, `tuner.judge` and others.

The command line parses its arguments and calls them. They import the libraries that train when they are
called, with the messages of these libraries in a log of the study. `run` has a module of its own. The
functions for models are in `tuner.workflows.model_commands`, those for clusters in `tuner.cluster.commands`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tuner.artifacts import layout
from tuner.artifacts.private import private_files
from tuner.config import FinalJudgement, Study
from tuner.errors import Problem, SpaceError, StoreError, StudyError
from tuner.errors.caller import path_given
from tuner.execution.logs import logs_to
from tuner.monitoring.console import stderr_console
from tuner.reporting.leaderboard import Leaderboard
from tuner.workflows.results import Named, as_run, board_of, find_results, given_study

if TYPE_CHECKING:
    from tuner.holdout import Final
    from tuner.reporting.comparison import Comparison
    from tuner.workflows.check import Checked
    from tuner.workflows.init.draft import Draft
    from tuner.workflows.written import Written

__all__ = [
    "check",
    "compare",
    "init",
    "judge",
    "load_study",
    "report",
]


@private_files()
def init(data: Path | str, to: Path | str = layout.STUDY_FILE, *, force: bool = False) -> Draft:
    """Write a study for a file of interactions, with comments.

    Parameters
    ----------
    data
        Path or URL of the interactions: text, JSON lines, Parquet or Feather, also compressed.
    to
        The study file to write.
    force
        Whether to replace an existing study file.

    Returns
    -------
    Draft
        What was written, what was found, and what to check. `Draft.study` is the study.

    Raises
    ------
    UserError
        If the file cannot be read, its columns cannot be interactions, or `to` exists or cannot be written.

    Examples
    --------
    >>> draft = init("clicks.csv", to="shop.yaml")  # doctest: +SKIP
    >>> draft.study.folds.split  # doctest: +SKIP
    'time_range'
    """
    from tuner.workflows.init.draft import draft  # noqa: PLC0415  # torch

    cure = "save the table as a file; a study that is made in Python takes the table itself"
    return draft(str(path_given(data, "init", "data", cure)), path_given(to, "init", "to"), force=force)


@private_files()
def check(study: Study | Path | str) -> Checked:
    """Check a study and its data, and train every alternative of its space for one batch. Ray is not used.

    Parameters
    ----------
    study
        The study, or its file.

    Returns
    -------
    Checked
        What was covered, and the cost of a small, a median and a large configuration.

    Raises
    ------
    UserError
        If the study, the data, the space or a baseline cannot be used, or a configuration fails.

    Examples
    --------
    >>> print(check(Study.load("shop.yaml")))  # doctest: +SKIP
    """
    study = given_study(study)
    console = stderr_console()
    with tempfile.TemporaryDirectory() as folder, logs_to(Path(folder) / "check.log"):
        from tuner.workflows.check import check as checked_study  # noqa: PLC0415  # torch

        checked = checked_study(study, console.print)
    for region, share in checked.regions:
        console.print(f"infeasible, never tried ({share:.0%} of random points): {region}")
    if checked.problems:
        raise SpaceError(study.study, checked.problems)
    return checked


@private_files()
def load_study(
    study: Named, *, output: Path | str = layout.DEFAULT_OUTPUT, sort: str | None = None
) -> Leaderboard:
    """Read the results of a study, also while it runs.

    Parameters
    ----------
    study
        Folder of the results or name of the study, a study file, or a `Study`.
    output
        Folder that has the folders of results.
    sort
        Another metric to rank by, in the direction of the objective.

    Returns
    -------
    Leaderboard
        All trials, best first. In a notebook it shows as a table.

    Raises
    ------
    StoreError
        If there is no such study or metric.

    Examples
    --------
    >>> board = load_study("studies/shop")  # doctest: +SKIP
    >>> board.best.params["cls"]  # doctest: +SKIP
    'SASRecModel'
    """
    return board_of(find_results(study, output), sort=sort)


@private_files()
def judge(
    study: Named,
    *,
    top: int | None = None,
    seeds: int | None = None,
    best: Sequence[str] | str | None = None,
    output: Path | str = layout.DEFAULT_OUTPUT,
) -> Final:
    """Fit the best trials and the baselines again, and measure them on the holdout.

    A second call continues an interrupted one, or returns the same result.

    Parameters
    ----------
    study, output
        See `load_study`.
    top
        Number of best trials. None takes the study's own, by default 5.
    seeds
        Number of fits for each trial. None takes the study's own, by default 3.
    best
        Families of models of which the best trial is judged too, such as ``["transformer"]``; a text is one.

    Returns
    -------
    Final
        The judgement. As text and in a notebook it is a table and the answer in sentences.

    Raises
    ------
    UserError
        If the study has no holdout or no complete trial, or differs from the study that was run, or `top`,
        `seeds` or `best` breaks a rule of the section `final`.
    SearchError
        If all fits fail.

    Examples
    --------
    >>> final = judge("studies/shop", seeds=3)  # doctest: +SKIP
    >>> final.primary.p_value  # doctest: +SKIP
    0.012
    """
    place = find_results(study, output)
    as_judged = place.given or as_run(place)
    asked = _asked(as_judged, top=top, seeds=seeds, best=[best] if isinstance(best, str) else best)
    from tuner.workflows.final import run_final  # noqa: PLC0415  # after the study was read

    return run_final(as_judged, place.folder.resolve(), asked)


def _asked(study: Study, **given: object) -> FinalJudgement:
    """Return the settings of a judgement: the study's own with what was given, under the rules of `final`."""
    own = dict(study.final or FinalJudgement())
    changes = {key: value for key, value in given.items() if value is not None}
    try:
        return FinalJudgement(**{**own, **changes})
    except StudyError as error:
        raise StudyError("judge", error.problems) from None


@private_files()
def report(
    study: Named,
    to: Path | str | TextIO | None = None,
    *,
    markdown: bool | None = None,
    figures: Path | str | None = None,
    output: Path | str = layout.DEFAULT_OUTPUT,
) -> Written:
    """Write the report of a study, also while it runs.

    Parameters
    ----------
    study, output
        See `load_study`.
    to
        File to write, by its path or open. By default ``report.html`` or ``report.md`` in the study's folder.
    markdown
        Whether to write a summary in Markdown. Otherwise it is one HTML file that needs no network. By
        default the ending of the file's name decides, and HTML is written if it has none.
    figures
        Folder for each figure as a file of its own.

    Returns
    -------
    Written
        Paths of the report and of the figures.

    Raises
    ------
    StoreError
        If there is no such study, or a file cannot be written.

    Examples
    --------
    >>> report("studies/shop").path  # doctest: +SKIP
    PosixPath('studies/shop/report.html')
    """
    from tuner.workflows.written import write_report  # noqa: PLC0415  # jinja2

    if isinstance(to, str) or not (to is None or hasattr(to, "write")):
        to = path_given(to, "report", "to")
    drawn = None if figures is None else path_given(figures, "report", "figures")
    return write_report(find_results(study, output).folder, to, markdown=markdown, figures=drawn)


@private_files()
def compare(first: Named, *others: Named, output: Path | str = layout.DEFAULT_OUTPUT) -> Comparison:
    """Compare studies with the same data, folds and metrics.

    Parameters
    ----------
    first, others
        Studies, each as `load_study` takes it.
    output
        Folder that has the folders of results.

    Returns
    -------
    Comparison
        The studies with their leaderboards. As text it has their best trials on the same users, their
        baselines, their trials with the same params, and their resource usage.

    Raises
    ------
    StoreError
        If a study cannot be read, or measured in another way than the first.

    Examples
    --------
    >>> print(compare("studies/shop", "studies/shop-2"))  # doctest: +SKIP
    """
    from tuner.reporting.comparison import Comparison  # noqa: PLC0415  # after the arguments
    from tuner.reporting.comparison import compare as read_all  # noqa: PLC0415  # as above

    if not others:
        rule = "must be at least two studies, but got one"
        raise StoreError("compare", [Problem("others", rule, "load_study(...) shows a single study")])
    return Comparison(tuple(read_all([find_results(one, output).folder for one in (first, *others)])))
