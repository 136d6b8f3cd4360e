"""Finds the results of a study, however a person names them, and reads them with what can be done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tuner.artifacts import layout
from tuner.config import Study
from tuner.config.data import InMemory
from tuner.errors import Problem, StoreError, StudyError
from tuner.preparation.further import read_study
from tuner.reporting.find import find_row
from tuner.reporting.leaderboard import Leaderboard, at_place, load_leaderboard
from tuner.reporting.place import Place
from tuner.reporting.row import Row
from tuner.space.imports import see_modules
from tuner.store import check_exists, folder_named

if TYPE_CHECKING:
    from tuner.holdout import Final

__all__ = ["Named", "Which", "as_run", "board_of", "find_results", "given_study", "trial_of"]

#: How a person names a study that has results: its folder or name, its file, its leaderboard, or the study.
Named: TypeAlias = "str | Path | Study | Leaderboard"
#: How a person names a trial of a study: its number, its name or ``best``, or its row of the leaderboard.
Which: TypeAlias = "int | str | Row"


def find_results(named: Named, output: Path | str = layout.DEFAULT_OUTPUT) -> Place:
    """Return where the results of a study are.

    Parameters
    ----------
    named
        A leaderboard; a study, or the path of a study file; a folder of results, or a study's name.
    output
        Folder that has the folders of results, for a study, a file or a name.

    Raises
    ------
    StudyError
        If a study file cannot be used.
    StoreError
        If nothing of this type names a study.
    """
    if isinstance(named, Leaderboard):
        if named.place is None:
            rule = "must be read from a study's folder, but was made from records"
            raise StoreError(named.study, [Problem("", rule)])
        return replace(named.place, actions=_ACTIONS)
    if isinstance(named, Study):
        return Place(layout.study_folder(named.study, output), named, _ACTIONS)
    other: object = named
    if not isinstance(other, (str, Path)):
        rule = f"must be a study, its leaderboard, file, name or folder, but got {type(other).__name__}"
        raise StoreError("study", [Problem("", rule, 'give for example its name: "shop"')])
    path = Path(other)
    if path.suffix in {".yaml", ".yml"}:
        study = Study.load(path)
        see_modules(path.resolve().parent)
        return Place(Path(output) / study.study, study, _ACTIONS)
    return Place(folder_named(path, Path(output)), None, _ACTIONS)


def given_study(given: object) -> Study:
    """Return a study to check or to run: it has no results yet, so only it or its file can be given.

    Raises
    ------
    StudyError
        If it is something else, or the study file cannot be used.
    """
    if isinstance(given, Study):
        return given
    cure = 'give Study(study=..., data=..., ...), or its file: "shop.yaml"'
    if isinstance(given, (str, Path)):
        path = Path(given)
        if path.is_file() or path.suffix in {".yaml", ".yml"}:
            return read_study(path)
        rule = f"must be a Study or the path of a study file, but got {str(given)!r}"
        raise StudyError("study", [Problem("", rule, cure)])
    if isinstance(given, Mapping):
        cure = "give Study(**sections), where sections is this dict"
    rule = f"must be a Study or the path of a study file, but got {type(given).__name__}"
    raise StudyError("study", [Problem("", rule, cure)])


def trial_of(place: Place, trial: Which) -> str:
    """Return a trial as text that `tuner.reporting.find.find_row` takes.

    Raises
    ------
    StoreError
        If there is no such trial, or it is a row of the leaderboard of another study.
    """
    if not isinstance(trial, Row):
        find_row(load_leaderboard(place.folder, curves=False), str(trial))
        return str(trial)
    if trial.place is not None and trial.place.folder.resolve() != place.folder.resolve():
        rule = f"must be a trial of {place.folder}, but got a row of {trial.place.folder}"
        raise StoreError("trial", [Problem("", rule, "give a row of the leaderboard of the same study")])
    return str(trial.number)


def as_run(place: Place, overrides: Sequence[str] = ()) -> Study:
    """Return the study as it was last run.

    Parameters
    ----------
    place
        See `find_results`. Data in memory are those of the study that was given.
    overrides
        Changes, such as ``data.interactions=FILE``.

    Raises
    ------
    StoreError
        If there is no such study.
    """
    check_exists(place.folder)
    study = Study.load(place.folder / layout.STUDY_FILE, list(overrides))
    if place.given is None or overrides or not _in_memory(place.given):
        return study
    return study.model_copy(update={"data": place.given.data})


def _in_memory(study: Study) -> bool:
    data = study.data
    return any(
        isinstance(one, InMemory) for one in (data.interactions, data.item_features, data.user_features)
    )


def board_of(place: Place, *, sort: str | None = None, curves: bool = True) -> Leaderboard:
    """Return the leaderboard of a study, whose trials can be judged and fitted."""
    return at_place(load_leaderboard(place.folder, sort=sort, curves=curves), place)


class _Actions:
    """Judges and fits, for leaderboards."""

    def judge(self, board: Leaderboard, **asked: Any) -> Final:
        """Judge the best trials; see `tuner.judge`."""
        from tuner.workflows.commands import judge  # noqa: PLC0415  # it builds on this module

        return judge(board, **asked)

    def load_model(self, place: Place, row: Row, **asked: Any) -> Any:  # noqa: ANN401  # a model of RecTools
        """Load or fit the model of a trial; see `Row.load_model`."""
        from tuner.workflows.export.trial_model import model_of_trial  # noqa: PLC0415  # torch

        return model_of_trial(place, row, **asked)


_ACTIONS = _Actions()
