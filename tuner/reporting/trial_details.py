"""`tuner show`: writes all details of a trial: params for RecTools, values by fold, curve, seeds, log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tuner.artifacts import layout
from tuner.formatting import count, duration, number, quantity, size, visible
from tuner.holdout.text import row_lines
from tuner.reporting.find import find_row
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.reporting.segments import segments_of_trial
from tuner.trials.constraints import quantities
from tuner.trials.outcomes import PAUSED, DecisionKind
from tuner.trials.records import Evaluation, Summary
from tuner.trials.stored import TrialRecord

__all__ = ["DECIDED", "show_trial"]

#: How a decision of halving is called.
DECIDED = {
    DecisionKind.PAUSED.value: "paused",
    DecisionKind.PROMOTED.value: "promoted",
    DecisionKind.RESUMED.value: "resumed, as no new trial could begin",
    DecisionKind.LEADER.value: "leader, so its other folds began at once",
}


def show_trial(folder: Path, which: str) -> str:
    """Return all details of one trial as text.

    Parameters
    ----------
    folder
        Folder of the study.
    which
        The trial's number, a baseline's name, ``best``, or ``best:`` and a family.

    Raises
    ------
    StoreError
        If there is no such study or trial.
    """
    board = load_leaderboard(folder)
    row = find_row(board, which)
    record = row.record
    lines = [
        f"trial {record.number}  {record.label}  {row.status}"
        + (f"  rank {row.rank}" if row.rank else "")
        + (f"  front {row.front}" if row.front else "")
    ]
    lines += _outcome(board, record)
    if row.reached is not None:
        lines.append(
            f"{board.objective} after {row.reached.where}: {row.reached.value!r}, place {row.reached.among} "
            "among the trials that came as far"
        )
    if record.summary is not None:
        taken = quantities(record.summary)
        lines += [f"violates {constraint}: it has {taken[constraint.name]:.12g}" for constraint in row.breaks]
    if row.judged is not None and board.final is not None:
        lines += row_lines(board.final, row.judged)
    usage = record.usage
    if usage.cpu_seconds or usage.gpu_seconds:
        lines.append(
            f"used {duration(usage.cpu_seconds)} of CPU time and {duration(usage.gpu_seconds)} of GPU time"
        )
    lines += ["", "params (for RecTools' model_from_params):"]
    lines += ["  " + line for line in json.dumps(dict(record.params), indent=2).splitlines()]
    lines += ["", f"seeds by fold: {', '.join(map(str, record.seeds))}"]
    lines += [f"log: {path}" for path in _logs(folder, record)]
    lines += [f"validation, users with {line}" for line in segments_of_trial(folder, record)]
    lines += [f"{DECIDED[one.kind]}: {one.why}" for one in record.decisions]
    lines += _attempts(record)
    lines += _curve(board, record.evaluations)
    return visible("\n".join(lines))


def _outcome(board: Leaderboard, record: TrialRecord) -> list[str]:
    lines = []
    if record.excluded:
        who = f" by {record.excluded.by}" if record.excluded.by else ""
        lines.append(f"excluded from ranking and sampling{who}: {record.excluded.why}")
    if record.failure:
        lines.append(f"failed: {record.failure.cause}")
    if record.pause:
        lines.append(f"paused after {record.pause.where}: not among the best there so far")
    if record.stop:
        lines.append(f"stopped after {record.stop.where} by {record.stop.rule}: {record.stop.why}")
    summary = record.summary
    if summary is None:
        return lines
    spread = f", {summary.std!r} standard deviation" if summary.deviation is not None else ""
    lines.append(
        f"{board.objective}: {summary.mean!r} mean over {quantity(len(summary.folds), 'fold')}{spread}"
    )
    for label in summary.metrics:
        folds = "  ".join(repr(fold[label]) for fold in summary.folds)
        lines.append(f"  {label} by fold: {folds}")
    if summary.epochs_run:
        which = "last epoch" if summary.sampled_users else "best epoch"
        common = "" if summary.sampled_users else ", common to all folds"
        lines.append(f"{which}: {summary.epoch} of {summary.epochs_run}{common}")
    parameters = f"{count(summary.n_parameters)} parameters, " if summary.n_parameters else ""
    wait = summary.recommend_seconds
    recommended = "" if wait is None else f", recommended in {duration(wait)} a fold"
    lines.append(f"{parameters}fitted in {duration(summary.fit_seconds)}{recommended}{_peaks(summary)}")
    if summary.precision != "float32":
        lines.append(f"precision: {summary.precision}")
    if summary.sampled_users:
        lines.append(f"evaluated on {summary.sampled_users:,} test users until the last evaluation of a fold")
    if summary.fast_paths:
        lines.append(f"fast paths: {', '.join(summary.fast_paths)}")
    return lines


def _logs(folder: Path, record: TrialRecord) -> list[Path]:
    """Return the trial's log, and those of folds that have a log of their own."""
    if record.log is None:
        return []
    others = [folder / name for name in layout.trial_logs(record.number, len(record.seeds))]
    return [folder / record.log, *(path for path in others if path.exists() and path != folder / record.log)]


def _attempts(record: TrialRecord) -> list[str]:
    """Return a line for each attempt: where and when it ran, and why it ended early."""
    lines: list[str] = []
    for place, attempt in enumerate(record.attempts, 1):
        where = f" on {attempt.host}" if attempt.host else ""
        began = f", {datetime.fromtimestamp(attempt.began):%Y-%m-%d %H:%M:%S}" if attempt.began else ""
        again = any(attempt.repeats(later) for later in record.attempts[place:])
        lost = ("paused" if attempt.lost == PAUSED else attempt.lost) or ("its driver ended" if again else "")
        of = f", fold {', '.join(str(fold + 1) for fold in attempt.folds)}" if attempt.folds else ""
        lines.append(f"attempt {place}{of}{where}{began}{f': {lost}' if lost else ''}")
    return lines


def _peaks(summary: Summary) -> str:
    peaks = {"memory": summary.peak_memory, "GPU memory": summary.peak_gpu_memory}
    return "".join(f", at most {size(peak)} of {kind}" for kind, peak in peaks.items() if peak)


def _curve(board: Leaderboard, evaluations: Sequence[Evaluation]) -> list[str]:
    if not any(evaluation.epoch for evaluation in evaluations):
        return []
    lines = ["", f"{'fold':>4}  {'epoch':>5}  {'train loss':>10}  {board.objective}"]
    for e in evaluations:
        loss = "" if e.train_loss is None else f"{e.train_loss:.4f}"
        lines.append(f"{e.fold + 1:>4}  {e.epoch:>5}  {loss:>10}  {number(e.metrics[board.objective])}")
    return lines
