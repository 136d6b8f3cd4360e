"""The leaderboard: a pure function from the store's records to ranked rows, and its formats.

Needs neither Ray nor torch, and may read a study while another process runs it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuner.constraints import QUANTITIES, Constraint, broken, quantities
from tuner.drivers import Driver
from tuner.errors import Problem, StoreError, did_you_mean
from tuner.final import final_of
from tuner.final.words import bounds, final_lines, signed
from tuner.judgement import Final, JudgedRow
from tuner.pareto import fronts
from tuner.quantities import aligned, count, cut, duration, number, short
from tuner.records import NO_TRIALS, StoredStudy, TrialRecord, further_objectives
from tuner.results import RESTED, Direction
from tuner.space.names import short_name
from tuner.store import read_records, study_drivers

__all__ = ["FORMATS", "Leaderboard", "Row", "load_leaderboard", "rank", "render"]


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard.

    Attributes
    ----------
    rank
        From 1; equal values share a rank. None where there is nothing to rank.
    record
        The trial.
    differs
        The params that vary between trials, as this one has them.
    state
        As in the record; ``cut off`` for one that nobody runs any more.
    breaks
        The constraints that it does not keep to; then it stands below all that do.
    front
        With several objectives the Pareto front, from 1, of a trial that keeps to all constraints.
    judged
        How it was judged on the holdout, if it was.
    """

    rank: int | None
    record: TrialRecord
    differs: Mapping[str, Any]
    state: str
    breaks: tuple[Constraint, ...] = ()
    front: int | None = None
    judged: JudgedRow | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Mean of each metric over folds, empty until the trial is complete."""
        return self.record.summary.metrics if self.record.summary else {}


@dataclass(frozen=True)
class Leaderboard:
    """All trials of a study, best first; those without a result at the end.

    Attributes
    ----------
    study
        Its name.
    objective, direction
        What ranks; with further objectives, within a Pareto front.
    rows
        Best first.
    further
        Objectives beside the first, with their directions.
    drivers
        Who runs the study at the moment.
    final
        The final judgement on the holdout, if there is one.
    """

    study: str
    objective: str
    direction: Direction
    rows: tuple[Row, ...]
    further: Mapping[str, Direction] = field(default_factory=dict)
    drivers: tuple[Driver, ...] = ()
    final: Final | None = None

    @property
    def best(self) -> Row | None:
        """The first row with a result that keeps to all constraints."""
        first = self.rows[0] if self.rows else None
        return first if first is not None and first.rank == 1 and not first.breaks else None

    @property
    def run_by(self) -> str | None:
        """Who runs the study at the moment, and of several what each runs; None if nobody does."""
        return "\n".join(self._runs(driver) for driver in self.drivers) or None

    def _runs(self, driver: Driver) -> str:
        running = [row.record for row in self.rows if row.state == "running"]
        ids = {driver.id} | ({None} if len(self.drivers) == 1 else set())  # who does not share marks nothing
        own = [str(record.number) for record in running if record.driver in ids]
        return f"run by {driver.words}" + (f": trial{'s' * (len(own) > 1)} {', '.join(own)}" if own else "")

    @property
    def front(self) -> tuple[Row, ...]:
        """With several objectives the rows that no other beats in all of them; else the best."""
        if self.further:
            return tuple(row for row in self.rows if row.front == 1)
        return () if self.best is None else (self.best,)

    @property
    def metrics(self) -> list[str]:
        """Labels of all metrics, the objective first."""
        labels = [label for row in self.rows for label in row.metrics]
        return list(dict.fromkeys([self.objective, *labels]))


def load_leaderboard(folder: Path, *, sort: str | None = None, curves: bool = True) -> Leaderboard:
    """Read a study's folder and rank its trials.

    Parameters
    ----------
    folder
        Of the study.
    sort
        Another metric to rank by, best first as the objective's direction says.
    curves
        Whether the records are to have their evaluations, which no format shows.

    Raises
    ------
    StoreError
        If there is no study, or no such metric.
    """
    drivers = study_drivers(folder)
    return rank(read_records(folder, curves=curves), running=bool(drivers), drivers=drivers, sort=sort)


def rank(
    stored: StoredStudy, *, running: bool, drivers: Sequence[Driver] = (), sort: str | None = None
) -> Leaderboard:
    """Rank the trials of a study.

    Parameters
    ----------
    stored
        What the store holds.
    running
        Whether a process runs the study; if not, its unfinished trials were cut off.
    drivers
        Who runs it. Of those that share a study each has trials of its own; those of a dead one were cut off.
    sort
        See `load_leaderboard`.
    """
    objective = str(stored.facts["objective"])
    direction = stored.direction
    metric = sort or objective
    labels = sorted({label for r in stored.records if r.summary for label in r.summary.metrics})
    if sort is not None and labels and sort not in labels:
        rule = f"must be a metric of the study, but got {sort!r}"
        raise StoreError(stored.name, [Problem("--sort", rule, did_you_mean(sort, labels))])
    varying = varying_params([record for record in stored.records if record.state not in NO_TRIALS])

    def value(record: TrialRecord) -> float:
        assert record.summary is not None, "only complete trials are ranked"
        return record.summary.metrics[metric]

    # A metric that the study got later is missing from its earlier trials.
    done = [
        record
        for record in stored.records
        if record.state == "complete" and record.summary and metric in record.summary.metrics
    ]
    constraints = [Constraint.parse(text) for text in stored.facts.get("constraints", ())]
    breaks = {record.number: broken(constraints, record.summary) for record in done if record.summary}

    further = further_objectives(stored.facts)
    front = _fronts([record for record in done if not breaks[record.number]], objective, direction, further)

    def place_of(record: TrialRecord) -> tuple[bool, int, float]:
        at = 0 if sort else front.get(record.number, 0)
        return bool(breaks[record.number]), at, -value(record) if direction == "maximize" else value(record)

    done.sort(key=lambda record: (place_of(record), record.number))
    living = {driver.id for driver in drivers} | ({None} if running else set())
    rows: list[Row] = []
    for place, record in enumerate(done, 1):
        tied = rows[-1].rank if rows and place_of(rows[-1].record) == place_of(record) else place
        row = _row(record, tied, varying, living=living)
        rows.append(replace(row, breaks=breaks[record.number], front=front.get(record.number)))
    ranked = {record.number for record in done}
    rest = sorted(
        (r for r in stored.records if r.number not in ranked and r.state not in NO_TRIALS),
        key=lambda record: (_ORDER.get(record.state, 9), record.number),
    )
    rows.extend(_row(record, None, varying, living=living) for record in rest)
    final = final_of(stored)
    if final is not None:
        rows = [replace(row, judged=final.row(row.record.number)) for row in rows]
    return Leaderboard(stored.name, objective, direction, tuple(rows), further, tuple(drivers), final)


_ORDER = {"complete": -1, "running": 0, "resting": 1, "waiting": 2, "pruned": 3, "failed": 4}


def varying_params(records: Sequence[TrialRecord]) -> list[str]:
    """Return the params that do not have one value in all trials of the searched models, in order."""
    searched = [record for record in records if record.params and record.name is None]
    relevant = searched or [record for record in records if record.params]
    keys = dict.fromkeys(key for record in relevant for key in record.params)
    return [key for key in keys if key != "cls" and len({repr(r.params.get(key)) for r in relevant}) > 1]


def short_key(key: str) -> str:
    """Return a param's key as a person would say it."""
    return key.rsplit("_kwargs.", maxsplit=1)[-1].removesuffix("_type")


def _fronts(
    records: Sequence[TrialRecord], objective: str, direction: Direction, further: Mapping[str, Direction]
) -> dict[int, int]:
    """Return the Pareto front of each complete trial by its number; none where there is one objective."""
    if not further:
        return {}
    taken = [quantities(record.summary) for record in records if record.summary]
    points = [[one[name] for name in (objective, *further)] for one in taken]
    found = fronts(points, [direction, *further.values()])
    return dict(zip((record.number for record in records), found, strict=True))


def _row(
    record: TrialRecord, place: int | None, varying: Sequence[str], *, living: Collection[str | None]
) -> Row:
    differs = {key: record.params[key] for key in varying if key in record.params}
    state = "cut off" if record.state == "running" and record.driver not in living else record.state
    return Row(place, record, differs, state)


# --- formats -----------------------------------------------------------------------------------


def _plain(board: Leaderboard) -> list[dict[str, Any]]:
    """Return every row with everything, flat enough for a spreadsheet."""
    rows = []
    for row in board.rows:
        record, summary = row.record, row.record.summary
        flat: dict[str, Any] = {
            "rank": row.rank,
            **({"front": row.front} if board.further else {}),
            "trial": record.number,
            "name": record.name,
            "model": short_name(record.params.get("cls", "")),
            "state": row.state,
            "objective_mean": summary.mean if summary else None,
            "objective_std": summary.std if summary else None,
        }
        for label in board.metrics:
            flat[label] = row.metrics.get(label)
        n_folds = max((len(r.record.summary.folds) for r in board.rows if r.record.summary), default=0)
        for fold in range(n_folds):
            flat[f"{board.objective}/fold {fold + 1}"] = (
                summary.folds[fold][board.objective] if summary else None
            )
        if board.final is not None:
            flat |= _plain_judged(board.objective, row.judged)
        flat |= {
            "epoch": summary.epoch if summary else None,
            "epochs_run": summary.epochs_run if summary else None,
            "parameters": summary.n_parameters if summary else None,
            "fit_seconds": round(summary.fit_seconds, 3) if summary else None,
            **{name: quantities(summary)[name] if summary else None for name in _unlisted(board)},
            "precision": summary.precision if summary else None,
            "breaks": "; ".join(map(str, row.breaks)) or None,
            "failure": record.failure.cause if record.failure else None,
            "stopped_by": record.stop.rule if record.stop else None,
            "stopped_after": record.stop.where if record.stop else None,
            "log": record.log,
            "host": record.attempts[-1].host if record.attempts else None,
            "attempts": len(record.attempts) or None,
            "lost_by_machines": sum(attempt.by_machine for attempt in record.attempts),
        }
        rows.append(flat | {"params": dict(record.params), "differs": dict(row.differs)})
    return rows


def _plain_judged(objective: str, judged: JudgedRow | None) -> dict[str, Any]:
    """Return what the holdout says of a row."""
    if judged is None:
        return dict.fromkeys(("holdout_mean", "holdout_low", "holdout_high", "optimism", "group"))
    interval = judged.intervals.get(objective)
    return {
        "holdout_mean": judged.metrics[objective],
        "holdout_low": interval.low if interval else None,
        "holdout_high": interval.high if interval else None,
        "optimism": judged.optimism,
        "group": judged.group,
    }


def _json(board: Leaderboard) -> str:
    head = {"study": board.study, "objective": board.objective, "direction": board.direction}
    further = {"further_objectives": dict(board.further)} if board.further else {}
    final = {"final": board.final.to_plain()} if board.final else {}
    return json.dumps(head | further | final | {"rows": _plain(board)}, indent=2)


def _csv(board: Leaderboard) -> str:
    rows = _plain(board)
    keys = list(dict.fromkeys(key for row in rows for key in row["params"]))
    out = io.StringIO()
    columns = [key for key in (rows[0] if rows else {}) if key not in {"params", "differs"}] + keys
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {key: value for key, value in row.items() if key not in {"params", "differs"}}
        writer.writerow(flat | {key: _exact(value) for key, value in row["params"].items()})
    return out.getvalue().rstrip("\n")


def _unlisted(board: Leaderboard) -> list[str]:
    """Return the objectives that have no column otherwise."""
    return [
        name for name in board.further if name in QUANTITIES and name not in {"parameters", "fit_seconds"}
    ]


def _exact(value: object) -> object:
    """Return a param's value for a spreadsheet: nothing rounded, lists joined."""
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def what_distinguishes(row: Row) -> str:
    """Return the params that vary between trials, as this one has them, in few words."""
    modules = [short(value) for key, value in row.differs.items() if key.endswith("_type")]
    others = [
        f"{short_key(key)}={short(value)}" for key, value in row.differs.items() if not key.endswith("_type")
    ]
    return " ".join([*modules, *others])


def cells(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the table that people read."""
    n_folds = max((len(row.record.summary.folds) for row in board.rows if row.record.summary), default=0)
    others = [label for label in board.metrics if label != board.objective]
    folds = [f"fold {fold + 1}" for fold in range(n_folds)] if n_folds > 1 else []
    front = ["front"] if board.further else []
    judged = ["holdout", "95 %", "optimism", "group"] if board.final else []
    header = ["rank", *front, "trial", "model", f"{board.objective} mean", "std", *folds, *judged, *others]
    header += ["epoch", "params", "fit", *_unlisted(board), "state", "host", "what distinguishes it"]
    return header, [_cells(board, row, others, len(folds)) for row in board.rows]


def _cells(board: Leaderboard, row: Row, others: Sequence[str], n_folds: int) -> list[str]:
    record, summary = row.record, row.record.summary
    model = short_name(record.params.get("cls", "")).removesuffix("Model")
    values = [str(row.rank or ""), *([str(row.front or "")] if board.further else []), str(record.number)]
    values += [f"{record.name} ({model})" if record.name else model]
    values += [number(summary.mean), number(summary.std)] if summary else ["", ""]
    values += [number(summary.folds[fold][board.objective]) if summary else "" for fold in range(n_folds)]
    values += _judged_cells(board, row)
    values += [number(row.metrics.get(label)) for label in others]
    epoch = f"{summary.epoch}/{summary.epochs_run}" if summary and summary.epochs_run else ""
    values += [
        epoch,
        count(summary.n_parameters) if summary else "",
        duration(summary.fit_seconds) if summary else "",
    ]
    values += [number(quantities(summary)[name]) if summary else "" for name in _unlisted(board)]
    failure = record.failure
    note = f"{failure.cause} ({record.log})" if failure else what_distinguishes(row)
    state = f"{row.state} by {record.stop.rule}, {record.stop.where}" if record.stop else row.state
    state += f", {record.rest.where}" if record.rest else ""
    if summary and summary.precision != "float32":
        state += f", {summary.precision}"
    if row.breaks:
        state += f", breaks {' and '.join(map(str, row.breaks))}"
    return [*values, state + _cut_off(record), _host(board, record), note]


def _cut_off(record: TrialRecord) -> str:
    """Say that a trial was begun more than once; one that rested only went on."""
    n = sum(attempt.lost != RESTED for attempt in record.attempts)
    return f", attempt {n}" if n > 1 else ""


def _host(board: Leaderboard, record: TrialRecord) -> str:
    """Return where a trial ran last, if they ran on several machines."""
    hosts = {row.record.attempts[-1].host for row in board.rows if row.record.attempts}
    return record.attempts[-1].host if len(hosts - {""}) > 1 and record.attempts else ""


def _judged_cells(board: Leaderboard, row: Row) -> list[str]:
    """Return what the holdout says of a row; no cells where it has not been looked at."""
    judged = row.judged
    if board.final is None:
        return []
    if judged is None:
        return [""] * 4
    return [
        number(judged.metrics[board.objective]),
        bounds(judged.intervals.get(board.objective)),
        signed(judged.optimism),
        str(judged.group),
    ]


def _markdown(board: Leaderboard) -> str:
    header, rows = cells(board)
    lines = [header, ["---"] * len(header), *rows]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    said = ["", *(f"- {line}" for line in final_lines(board.final))] if board.final else []
    return "\n".join([*table, *said])


def _table(board: Leaderboard) -> str:
    header, rows = cells(board)
    table = aligned(header, rows, text=("model", "95 %", "state", "host"))
    return "\n".join([table, "", *final_lines(board.final)]) if board.final else table


#: Format -> how to write a leaderboard in it.
FORMATS: dict[str, Callable[[Leaderboard], str]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "md": _markdown,
}


def render(
    board: Leaderboard, fmt: str = "table", *, top: int | None = None, width: int | None = None
) -> str:
    """Return the leaderboard as text.

    Parameters
    ----------
    board
        What to show.
    fmt
        One of `FORMATS`.
    top
        Only so many rows.
    width
        Characters in a line of the table, for a terminal; the rest of a line is left out.
    """
    shown = replace(board, rows=board.rows[:top])
    text = FORMATS[fmt](shown)
    if fmt != "table" or width is None:
        return text
    lines = text.splitlines()
    header_and_rows = 1 + len(shown.rows)  # sentences below are not cut
    return "\n".join([cut("\n".join(lines[:header_and_rows]), width), *lines[header_and_rows:]])
