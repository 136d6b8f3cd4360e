"""The functions of the package for models of trials: `tuner.export`, `tuner.load_model` and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.artifacts.private import private_files
from tuner.errors import Problem, StoreError
from tuner.errors.caller import path_given
from tuner.execution.logs import logs_to
from tuner.monitoring.console import stderr_console
from tuner.workflows.results import Named, Which, as_run, find_results, trial_of

if TYPE_CHECKING:
    import pandas as pd

    from tuner.config import Study
    from tuner.reporting.place import Place
    from tuner.workflows.export.make import Made
    from tuner.workflows.export.serving import Exported
    from tuner.workflows.reproduce import Reproduced

__all__ = ["export", "load_model", "recommend", "reproduce"]


@private_files()
def export(
    study: Named,
    trial: Which = "best",
    *,
    to: Path | str,
    before_holdout: bool = False,
    seed: int | None = None,
    force: bool = False,
    interactions: str | None = None,
    other_data: bool = False,
    output: Path | str = layout.DEFAULT_OUTPUT,
) -> Made:
    """Fit the model of a trial on all data, and write it with everything that it needs to recommend.

    Parameters
    ----------
    study, output
        See `tuner.load_study`.
    trial
        Number of the trial, a baseline's name, ``best``, ``best:`` and a family of models, or a row of the
        leaderboard.
    to, force
        Folder to write, and whether to replace an earlier export there.
    before_holdout, seed
        Whether to leave out the holdout, and the seed of the fit; None derives it from the study's seed.
    interactions, other_data
        Path of the data now, and whether to accept data that the search did not use.

    Raises
    ------
    UserError
        If the trial is unknown or not complete, the data differ, or the folder cannot be written.
    TrialError
        If the fit fails.

    Examples
    --------
    >>> made = export("studies/shop", to="model")  # doctest: +SKIP
    >>> recommend(made.folder, ["ann"], k=3)["item_id"].tolist()  # doctest: +SKIP
    ['tea', 'jam', 'rye']
    """
    place, target = find_results(study, output), path_given(to, "export", "to")
    options = {"whole": not before_holdout, "seed": seed, "other_data": other_data, "force": force}
    return _write_export(place, as_run(place, _at(interactions)), trial_of(place, trial), target, options)


def _write_export(place: Place, study: Study, trial: str, target: Path, options: Mapping[str, Any]) -> Made:
    with logs_to(layout.command_log(place.folder, "export")):
        from tuner.workflows.export.make import export as write  # noqa: PLC0415  # torch

        return write(study, place.folder, trial, target, say=stderr_console().print, **options)


def _at(interactions: str | None) -> list[str]:
    return [] if interactions is None else [f"data.interactions={interactions}"]


def load_model(
    folder: Path | str, interactions: Path | str | None = None, *, changed: bool = False
) -> Exported:
    """Load a model that `export` wrote.

    Parameters
    ----------
    folder
        Folder of the export.
    interactions
        File with newer interactions to recommend from; None takes those in the export.
    changed
        Whether files of the export may have changed.

    Returns
    -------
    Exported
        The fitted RecTools model with its dataset, for `recommend`.

    Raises
    ------
    StoreError
        If the folder is not an export, a file in it is damaged or has changed, or the interactions cannot be
        used.

    Examples
    --------
    >>> load_model("model").model.config_class.__name__  # doctest: +SKIP
    'SASRecModelConfig'
    """
    from tuner.workflows.export import serving  # noqa: PLC0415  # a light start

    place = path_given(folder, "load_model", "folder", "give the folder that `export` wrote")
    try:
        return serving.load(place, interactions, changed=changed)
    except serving.ExportError as error:
        raise StoreError(str(folder), [Problem("", str(error))]) from error


def recommend(
    model: Exported | Path | str, users: Iterable[object], k: int = 10, *, at: str | None = None
) -> pd.DataFrame:
    """Recommend with an exported model.

    Parameters
    ----------
    model
        Folder of an export, or what `load_model` returned.
    users
        Ids of users, as text or as in the data. Unknown users are skipped, with a warning that names some.
    k
        Number of items for each user.
    at
        Time of the recommendation, for a model that uses the time since an interaction.

    Returns
    -------
    pandas.DataFrame
        Up to `k` rows for each user, best first, with the columns user_id, item_id, score and rank.

    Raises
    ------
    StoreError
        If the export, the users, `k` or the time cannot be used.

    Examples
    --------
    >>> recommend("model", ["ann", "bob"], k=2)  # doctest: +SKIP
    """
    from tuner.workflows.export import serving  # noqa: PLC0415  # a light start

    exported = load_model(model) if isinstance(model, (str, Path)) else model
    try:
        return serving.recommend(exported, users, k, at)
    except serving.ExportError as error:
        raise StoreError("recommend", [Problem("", str(error))]) from error


@private_files()
def reproduce(
    study: Named,
    trials: Which | Iterable[Which] = "best",
    *,
    interactions: str | None = None,
    ended: Callable[[Reproduced], None] | None = None,
    output: Path | str = layout.DEFAULT_OUTPUT,
) -> list[Reproduced]:
    """Run trials of a study again in the same way, and compare their values with the recorded ones.

    Parameters
    ----------
    study, output
        See `tuner.load_study`.
    trials
        One trial or several, as `export` takes one.
    interactions
        Path of the data now; None takes the path that the search used.
    ended
        Called with each result as soon as it is there.

    Returns
    -------
    list of Reproduced
        One for each trial. `Reproduced.equal` says whether all values are equal.

    Raises
    ------
    UserError
        If there is no such trial, it has no values to compare with, or the data differ.

    Examples
    --------
    >>> all(again.equal for again in reproduce("studies/shop", [0, "best"]))  # doctest: +SKIP
    True
    """
    place = find_results(study, output)
    as_searched = as_run(place, _at(interactions))
    several = [trials] if isinstance(trials, str) or not isinstance(trials, Iterable) else trials
    which = [trial_of(place, one) for one in several]
    made: list[Reproduced] = []
    with logs_to(layout.command_log(place.folder, "reproduce")):
        from tuner.workflows.reproduce import reproduce as run_again  # noqa: PLC0415  # torch

        for again in run_again(as_searched, place.folder, which, stderr_console().print):
            made.append(again)
            if ended is not None:
                ended(again)
    return made
