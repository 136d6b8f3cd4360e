"""The trials of a study as tables of pandas: a row for each trial, fold, evaluation or user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from tuner.artifacts.user_values import read_users
from tuner.errors import Problem, StoreError, did_you_mean
from tuner.trials.constraints import quantities
from tuner.trials.records import Evaluation

if TYPE_CHECKING:
    from tuner.reporting.leaderboard import Leaderboard
    from tuner.reporting.row import Row

__all__ = ["Level", "epochs_frame", "folds_frame", "frame_of"]

#: Kinds of rows of a table.
Level = Literal["trial", "fold", "epoch", "user"]
#: What begins the names of the columns with params.
PARAMS = "params."


def frame_of(board: Leaderboard, level: Level) -> pd.DataFrame:
    """Return the table of a leaderboard; see `Leaderboard.to_pandas`.

    Raises
    ------
    StoreError
        If there is no such level, or the leaderboard was made from records, which have no values by user.
    """
    makers: dict[str, Callable[[Leaderboard], pd.DataFrame]] = {
        "trial": _trials_frame,
        "fold": lambda board: folds_frame(board.rows),
        "epoch": lambda board: epochs_frame(board.rows),
        "user": _users_frame,
    }
    if level not in makers:
        rule = f"must be one of {', '.join(makers)}, but got {level!r}"
        raise StoreError(board.study, [Problem("level", rule, did_you_mean(str(level), list(makers)))])
    return makers[level](board)


def _trials_frame(board: Leaderboard) -> pd.DataFrame:
    frame = pd.DataFrame([_trial(board, row) for row in board.rows])
    params = [name for name in map(str, frame) if name.startswith(PARAMS)]
    given = [row.params for row in board.rows]
    whole = [
        name
        for name in params
        if all(type(one[key]) is int for one in given if (key := name.removeprefix(PARAMS)) in one)
    ]
    return _whole(frame, ["trial", "rank", "front", "epoch", "parameters", *whole])


def _whole(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Give columns of integers a type that knows missing values. Otherwise pandas makes them fractions."""
    return frame.astype({name: "Int64" for name in columns if name in frame})


def _trial(board: Leaderboard, row: Row) -> dict[str, Any]:
    """Return the columns of a trial. A trial without a result has no values of metrics."""
    record, summary = row.record, row.record.summary
    front = {"front": row.front} if board.further else {}
    taken = quantities(summary) if summary else {}
    return {
        "trial": record.number,
        "rank": row.rank,
        **front,
        "name": record.name,
        "model": record.params.get("cls"),
        "status": row.status.value,
        **{label: row.metrics.get(label) for label in board.metrics},
        f"{board.objective} std": summary.deviation if summary else None,
        "epoch": summary.epoch if summary else None,
        "parameters": summary.n_parameters if summary else None,
        "fit_seconds": summary.fit_seconds if summary else None,
        **{name: taken.get(name) for name in board.further if name not in {*board.metrics, *_LISTED}},
        "violates": " and ".join(map(str, row.breaks)) or None,
        "excluded": record.excluded.why if record.excluded else None,
        "cause": _cause(row),
        "seconds": record.seconds,
        "cpu_seconds": record.usage.cpu_seconds,
        "gpu_seconds": record.usage.gpu_seconds,
        "started": record.started,
        "ended": record.ended,
        **{f"{PARAMS}{key}": value for key, value in row.params.items()},
    }


#: Quantities that have a column of their own.
_LISTED = ("parameters", "fit_seconds")


def _cause(row: Row) -> str | None:
    """Return why a trial failed, was stopped, or where it is paused."""
    record = row.record
    if record.failure is not None:
        return record.failure.cause
    if record.stop is not None:
        return f"{record.stop.rule} after {record.stop.where}: {record.stop.why}"
    return f"after {record.pause.where}" if record.pause is not None else None


def folds_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return a row for each fold: metrics at the best epoch, or the last ones of a trial without a result."""
    return pd.DataFrame([one for row in rows for one in _folds(row)], columns=_columns(rows, epochs=False))


def _folds(row: Row) -> Iterator[dict[str, Any]]:
    record, summary = row.record, row.record.summary
    if summary is not None:
        for fold, metrics in enumerate(summary.folds, 1):
            yield {"trial": record.number, "fold": fold, "epoch": summary.epoch, **metrics}
        return
    last = {evaluation.fold: evaluation for evaluation in record.evaluations}
    for evaluation in last.values():
        yield {"trial": record.number, "fold": evaluation.fold + 1, "epoch": evaluation.epoch} | dict(
            evaluation.metrics
        )


def epochs_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return a row for each evaluation, with all of its measurements."""
    found = [_epoch(row.number, one) for row in rows for one in row.record.evaluations]
    frame = pd.DataFrame(found, columns=_columns(rows, epochs=True))
    sizes = ["n_parameters", "peak_memory", "peak_gpu_memory"]
    fractions = [name for name in _MEASURED if name not in {*sizes, "precision"}]
    return _whole(frame.astype(dict.fromkeys(fractions, float)), sizes)


def _epoch(number: int, evaluation: Evaluation) -> dict[str, Any]:
    plain = {key: getattr(evaluation, key) for key in _MEASURED}
    return {
        "trial": number,
        "fold": evaluation.fold + 1,
        "epoch": evaluation.epoch,
        **evaluation.metrics,
        **plain,
    }


#: What an evaluation measures besides metrics.
_MEASURED = (
    "train_loss",
    "learning_rate",
    "fit_seconds",
    "epoch_seconds",
    "evaluate_seconds",
    "recommend_seconds",
    "n_parameters",
    "peak_memory",
    "peak_gpu_memory",
    "precision",
)


def _columns(rows: Sequence[Row], *, epochs: bool) -> list[str]:
    """Return the columns in their order; they are there also if no row has a value."""
    labels = dict.fromkeys(
        label for row in rows for evaluation in row.record.evaluations for label in evaluation.metrics
    )
    labels |= dict.fromkeys(label for row in rows for label in row.metrics)
    return ["trial", "fold", "epoch", *labels, *(_MEASURED if epochs else ())]


def _users_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the objective of each test user, at the trial's best epoch or at its last one."""
    if board.place is None:
        rule = "must be read from a study's folder to have values by user"
        raise StoreError(board.study, [Problem("level", rule, "`tuner.load_study` reads one")])
    parts = []
    for row in board.rows:
        for users in read_users(board.place.folder, row.number):
            epoch = row.record.summary.epoch if row.record.summary else users.epochs[-1]
            values = users.at(epoch)
            parts.append(
                pd.DataFrame(
                    {
                        "trial": row.number,
                        "fold": users.fold + 1,
                        "epoch": epoch,
                        "user": range(len(values)),
                        board.objective: values,
                    }
                )
            )
    columns = ["trial", "fold", "epoch", "user", board.objective]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
