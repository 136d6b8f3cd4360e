"""Finds the results of a study, however a person names them, and reads them with what can be done there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tuner.artifacts import layout
from tuner.config import Study
from tuner.config.data import InMemory
from tuner.errors import Problem, StoreError
from tuner.reporting.leaderboard import Leaderboard, at_place, load_leaderboard
from tuner.reporting.place import Place
from tuner.space.yaml_form import see_modules
from tuner.store import check_exists, store_exists

if TYPE_CHECKING:
    from tuner.holdout import Final
    from tuner.reporting.row import Row

__all__ = ["Named", "as_run", "board_of", "find_results"]

#: How a person names a study that has results: its folder or name, its file, its leaderboard, or the study.
Named: TypeAlias = "str | Path | Study | Leaderboard"


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
    """
    if isinstance(named, Leaderboard):
        if named.place is None:
            rule = "must be read from a study's folder, but was made from records"
            raise StoreError(named.study, [Problem("", rule)])
        return replace(named.place, actions=_ACTIONS)
    if isinstance(named, Study):
        return Place(layout.study_folder(named.study, output), named, _ACTIONS)
    path = Path(named)
    if path.suffix in {".yaml", ".yml"}:
        study = Study.load(path)
        see_modules(path.resolve().parent)
        return Place(Path(output) / study.study, study, _ACTIONS)
    below = Path(output) / path
    known = not store_exists(path) and str(path) == path.name and store_exists(below)
    return Place(below if known else path, None, _ACTIONS)


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
