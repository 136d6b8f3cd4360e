"""`tuner export`: fits a trial's model on all data, and writes it with everything that it needs."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Study
from tuner.data import reading
from tuner.data.folds import development_dataset, search_folds
from tuner.data.plausible import holdout_text
from tuner.data.source import Source, load_source, make_dataset
from tuner.errors import Problem, StoreError
from tuner.errors.caller import argument
from tuner.errors.caller import hint as hint_for
from tuner.formatting import size
from tuner.holdout.read import final_of
from tuner.models import launchers
from tuner.models.build import one_device_params
from tuner.preparation.prepare import fold_line
from tuner.reporting.find import find_row
from tuner.reporting.leaderboard import Row, rank
from tuner.reporting.preference import preferred
from tuner.store import read_records
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import StoredStudy
from tuner.workflows.export import checksums, loading, serving
from tuner.workflows.export.card import Data, card
from tuner.workflows.export.code import Code, code_of, requirements
from tuner.workflows.export.fit import Fitted, fit_trial
from tuner.workflows.export.folder import atomic_folder, check_target, folder_size

__all__ = ["Made", "export", "fit_model"]

#: Number of users in the sample of recommendations, and of items for each user.
SAMPLE_USERS, SAMPLE_K = 20, 10

#: Models that need only a user's history to recommend. For these, newer interactions may contain new users.
_FROM_HISTORY = frozenset({"EASEModel", "ImplicitItemKNNWrapperModel", "PopularModel", "RandomModel"})


@dataclass(frozen=True)
class Made:
    """Result of an export.

    Attributes
    ----------
    folder
        Folder of the export.
    row
        Leaderboard row of the trial.
    fitted
        The fitted model.
    n_bytes
        Size of all files, in bytes.
    """

    folder: Path
    row: Row
    fitted: Fitted
    n_bytes: int

    def __str__(self) -> str:
        record, fitted = self.row.record, self.fitted
        epochs = f", {fitted.epochs} epochs" if fitted.epochs else ""
        what = f"trial {record.number} {record.label}{epochs}, seed {fitted.seed}"
        return f"{self.folder}: {what}, {size(self.n_bytes)}"

    __repr__ = __str__


def export(
    study: Study,
    folder: Path,
    which: str,
    target: Path,
    *,
    say: Callable[[str], None],
    whole: bool = True,
    seed: int | None = None,
    other_data: bool = False,
    force: bool = False,
) -> Made:
    """Fit the model of a trial on all data, and write it.

    Parameters
    ----------
    study
        The study as it was run, with the place of its data.
    folder, which
        Folder with the results, and the trial in it: a number, a baseline's name, ``best:`` and a family of
        models, or ``best``, the first row of the leaderboard; `metrics.prefer` may take another one.
    target
        Folder to write. It is written atomically.
    say
        Function that shows a line about the progress.
    whole
        Whether to fit on the holdout too.
    seed
        Seed of the fit; None takes the seed that one more fold of the trial would have.
    other_data, force
        Whether the data may differ from those of the search, and whether to replace an earlier export.

    Raises
    ------
    UserError
        If the trial is unknown or not complete, the data differ, or the target cannot be written.
    TrialError
        If the fit fails.
    """
    check_target(target, force=force)
    trial = fit_model(study, folder, which, say=say, whole=whole, seed=seed, other_data=other_data)
    row, fitted, source = trial.row, trial.fitted, trial.source
    with atomic_folder(target) as made:
        write_model(made, fitted, trial.dataset, source, study, what=_what(row))
        data = _data(study, source, same=trial.same_data, whole=whole)
        final = final_of(trial.stored)
        text = card(trial.stored, row, fitted, data, made, study=folder, final=final)
        (made / "README.md").write_text(text, encoding="utf-8")
    return Made(target, row, fitted, folder_size(target))


@dataclass(frozen=True)
class FittedTrial:
    """A trial with the model that was fitted for it.

    Attributes
    ----------
    stored, row
        Records of the study, and the trial's row of the leaderboard.
    source, same_data, dataset
        The interactions, whether they are those of the search, and the dataset of the fit.
    fitted
        The fitted model.
    """

    stored: StoredStudy
    row: Row
    source: Source
    same_data: bool
    dataset: Dataset
    fitted: Fitted


def fit_model(
    study: Study,
    folder: Path,
    which: str,
    *,
    say: Callable[[str], None],
    whole: bool,
    seed: int | None,
    other_data: bool,
) -> FittedTrial:
    """Fit the model of a trial on all data, and write nothing; see `export`."""
    stored = read_records(folder, curves=False)
    row = _complete_row(stored, which, folder, study.metrics.prefer, say)
    source, same = _load(study, stored, say, other_data=other_data)
    dataset = _dataset(study, source, whole=whole)
    return FittedTrial(stored, row, source, same, dataset, _fit(study, row, dataset, seed, say))


def _what(row: Row) -> str:
    return f"trial {row.record.number} {row.record.label}"


def _dataset(study: Study, source: Source, *, whole: bool) -> Dataset:
    """Return the data of the fit: all of them, or those before the holdout."""
    if whole:
        return make_dataset(source.coded, source.item_features, study.data, source.user_features)
    return development_dataset(source, study.data, study.folds)


def _load(
    study: Study, stored: StoredStudy, say: Callable[[str], None], *, other_data: bool
) -> tuple[Source, bool]:
    """Return the interactions, and whether they are those of the search."""
    source = load_source(study.data)
    same = _check_data(study, source, stored, other_data=other_data)
    say(f"data: {source.describe(study.data.duplicates)}")
    return source, same


def _fit(study: Study, row: Row, dataset: Dataset, seed: int | None, say: Callable[[str], None]) -> Fitted:
    record, summary = row.record, row.record.summary
    assert summary is not None, "only a complete trial is exported"
    say(f"trial {record.number} {record.label}: fitting on {len(dataset.interactions.df):,} interactions")
    seed = fold_seed(study.search.seed, record.params, len(record.seeds)) if seed is None else seed
    params = one_device_params(record.params, study.resources.n_devices)
    return fit_trial(replace(record, params=params), dataset, epoch=summary.epoch, seed=seed, say=say)


def _data(study: Study, source: Source, *, same: bool, whole: bool) -> Data:
    """Return what the card says of the data."""
    return Data(
        described=source.describe(study.data.duplicates),
        fingerprint=source.fingerprint,
        same=same,
        used=_used(study, whole=whole),
        folds=_fold_lines(study, source) if same else (),
        notes=source.notes,
    )


def _complete_row(
    stored: StoredStudy, which: str, folder: Path, prefer: Sequence[str], say: Callable[[str], None]
) -> Row:
    """Return a trial's row. ``best`` is the best one by validation: the holdout chooses nothing."""
    board = rank(stored, running=False)
    row = find_row(board, which)
    if which == "best" and row.record.name is None:  # `prefer` chooses among searched trials
        chosen = preferred(board, folder, prefer)
        if chosen is not None and chosen.note:
            say(chosen.note)
            row = chosen.row
    if row.record.summary is None:
        rule = f"must be complete to be exported, but trial {row.record.number} is {row.status}"
        hint = hint_for(
            command="`tuner leaderboard` lists complete trials first",
            python="a leaderboard lists complete trials first",
        )
        raise StoreError(stored.name, [Problem(argument("TRIAL", "trial"), rule, hint)])
    return row


def _check_data(study: Study, source: Source, stored: StoredStudy, *, other_data: bool) -> bool:
    """Return whether the data are the data of the search; refuse other data without `other_data`."""
    searched = stored.facts.get("data")
    if searched in {source.fingerprint, source.former_fingerprint}:
        return True
    if not other_data:
        rule = f"must be the data of the search, {searched}, but have the fingerprint {source.fingerprint}"
        asked = hint_for(command="--other-data", python="other_data=True")
        hint = f"with {asked} the model is fitted on these data, and its card says so"
        raise StoreError(study.data.place, [Problem("data.interactions", rule, hint)])
    return False


def _used(study: Study, *, whole: bool) -> str:
    if whole or not study.folds.holdout:
        return "all interactions" + (", the holdout included" if study.folds.holdout else "")
    return f"the interactions before the holdout ({holdout_text(study.folds)})"


def _fold_lines(study: Study, source: Source) -> tuple[str, ...]:
    folds = search_folds(source, study.data, study.folds)
    lines = [f"fold {fold.index + 1}: {fold_line(fold)}" for fold in folds]
    return (*lines, f"holdout: {holdout_text(study.folds)}" if study.folds.holdout else "no holdout")


def write_model(
    folder: Path, fitted: Fitted, dataset: Dataset, source: Source, study: Study, *, what: str = "a model"
) -> None:
    """Write all files of an export except its card; `what` says what the model is."""
    fitted.model.save(folder / serving.MODEL)
    params = fitted.model.get_params(simple_types=True)
    (folder / "params.json").write_text(json.dumps(params, indent=2) + "\n", encoding="utf-8")
    code = code_of(fitted.params)
    _copy_code(folder / serving.CODE, code)
    trained = isinstance(fitted.model, TransformerModelBase)
    lines = requirements(code, trained_by_torch=trained)
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copyfile(serving.__file__, folder / "recommend.py")
    for name in ("asked.py", "checksums.py", "loading.py", "newer.py"):
        shutil.copyfile(Path(serving.__file__).with_name(name), folder / name)
    shutil.copyfile(launchers.__file__, folder / "launchers.py")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(reading.__file__).parent, folder / serving.READING, ignore=ignored)
    facts = _write_data(folder, dataset, source, study)
    facts |= {
        "format": 2,
        "made": {"what": what, "host": socket.gethostname(), "time": _now()},
        "study": study.study,
        "filter_viewed": study.folds.filter_viewed,
        "new_users": trained or str(fitted.params.get("cls")) in _FROM_HISTORY,
    }
    (folder / serving.FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    _write_sample(folder, serving.Exported(fitted.model, dataset, facts, items=source.items))
    checksums.write_checksums(folder)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _copy_code(folder: Path, code: Code) -> None:
    for name, source in code.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place)


def _write_data(folder: Path, dataset: Dataset, source: Source, study: Study) -> dict[str, Any]:
    """Write the interactions that the model recommends from, and item features; return how to read them."""
    interactions = dataset.get_raw_interactions()
    _write_table(interactions, folder / serving.INTERACTIONS)
    data, dense = study.data, []
    categorical: dict[str, list[str]] = {}
    for entity, column, features in (
        ("item", Columns.Item, source.item_features),
        ("user", Columns.User, source.user_features),
    ):
        if features is not None:
            known = features.of(interactions[column].unique())
            _write_table(known.table, folder / loading.FEATURES[entity])
            categorical[entity] = features.categorical
            dense += [entity] if features.dense else []
    if source.items is not None:
        _write_table(pd.DataFrame({Columns.Item: source.items}), folder / loading.ITEMS)
    return {
        "columns": data.columns.model_dump(),
        "datetime": data.datetime,
        "ids": data.ids,
        "text": data.format.model_dump(),
        "duplicates": data.duplicates,
        "min_user_interactions": data.min_user_interactions,
        "extra_columns": list(data.extra_columns),
        "categorical_features": categorical.get("item", []),
        "categorical_user_features": categorical.get("user", []),
        "dense_features": dense,
        "notes": list(source.notes),
    }


def _write_table(table: pd.DataFrame, path: Path) -> None:
    try:
        table.to_parquet(path, index=False)
    except (TypeError, ValueError) as error:  # Arrow refuses a column with values of several types
        rule = f"each column must hold values of one type to be exported, but got the error: {error}"
        raise StoreError(path.name, [Problem("data", rule, "write ids as text, or as numbers")]) from error


def _write_sample(folder: Path, exported: serving.Exported) -> None:
    users = exported.dataset.user_id_map.external_ids
    step = max(1, len(users) // SAMPLE_USERS)
    found = serving.recommend(exported, users[::step][:SAMPLE_USERS], k=SAMPLE_K)
    found.to_csv(folder / serving.SAMPLE, index=False)
