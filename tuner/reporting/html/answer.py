"""The answer of a report: the best model, its lead over the best baseline, and how certain that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuner.formatting import duration, number
from tuner.holdout import Final, Interval, JudgedRow
from tuner.holdout.segment_text import segment_rows
from tuner.holdout.text import corrected_text, p_text, too_small, verdict, worse_lines
from tuner.reporting.best import best_of_classes
from tuner.reporting.distinguish import what_distinguishes
from tuner.reporting.leaderboard import Row
from tuner.reporting.paired import compare_on_users
from tuner.reporting.report_data import ReportData, label_of
from tuner.trials.families import TRANSFORMER, families_of
from tuner.trials.status import TrialStatus

__all__ = ["Answer", "Tile", "answer"]


@dataclass(frozen=True)
class Tile:
    """An important number.

    Attributes
    ----------
    label, value, note
        Name of the number, the number, and the note below it.
    tone
        ``good``, ``bad`` or empty.
    """

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Answer:
    """The most important results of a study.

    Attributes
    ----------
    judged
        Whether the answer is from the holdout.
    title
        Name of the best model; empty if there is none.
    verdict
        The answer in one sentence.
    tiles
        The numbers below the verdict.
    notes
        Limits of the answer.
    number
        Number of the best trial.
    chosen
        Params that distinguish the best trial from others; empty for a baseline.
    segments
        Metrics of the best trial by segment of users on the holdout: a header, and a row for each segment.
        Empty without a judgement.
    """

    judged: bool
    title: str
    verdict: str
    tiles: Sequence[Tile] = ()
    notes: Sequence[str] = ()
    number: int | None = None
    chosen: str = ""
    segments: Sequence[Sequence[str]] = ()


def answer(report: ReportData) -> Answer:
    """Return the answer from the holdout if there is a final judgement, otherwise from validation."""
    if report.final is not None and report.final.rows:
        return _with_choices(report, _judged(report, report.final))
    best = report.best
    if best is None:
        verdict = (
            f"No trial is complete{report.yet}."
            if not report.done
            else "No complete trial satisfies all constraints."
        )
        return Answer(False, "", verdict, _effort(report))
    return _with_choices(report, _validated(report, best))


def _with_choices(report: ReportData, found: Answer) -> Answer:
    found = replace(found, notes=[*_families(report), *found.notes])
    rows = [row for row in report.board.rows if row.record.number == found.number and row.record.name is None]
    return replace(found, chosen=what_distinguishes(rows[0])) if rows else found


def _families(report: ReportData) -> list[str]:
    """Return a note with the best trial of each class of models, if the search has several."""
    best = best_of_classes(report.board)
    if len(best) < 2:  # noqa: PLR2004  # a single class has no others beside it
        return []
    named = [f"{label_of(row.record)} {number(report.value(row))}" for row in best.values()]
    return [f"The best of each class of models by validation: {', '.join(named)}."]


# --- on the holdout ------------------------------------------------------------------------------


def _judged(report: ReportData, final: Final) -> Answer:
    first = final.winner_row or final.rows[0]
    label = final.objective
    interval = first.intervals.get(label)
    seeds = f"{len(first.seeds)} seed{'s' if len(first.seeds) != 1 else ''}"
    tiles = [
        Tile(
            f"{label} on the holdout",
            number(first.metrics[label]),
            (f"95 % interval {_interval(interval)}; " if interval else "")
            + f"{final.n_users:,} users, {seeds}",
        ),
        _judged_against(final, first),
        Tile(
            "Validation was",
            number(first.validation),
            f"the holdout is {number(first.optimism)} lower"
            if first.optimism > 0
            else "not higher than the holdout",
        ),
    ]
    return Answer(
        True,
        _title(report, first.number, first.label),
        _judged_verdict(report, final, first),
        tuple(tiles),
        _judged_notes(report, final, first),
        first.number,
        segments=segment_rows(final, first.number),
    )


def _judged_against(final: Final, first: JudgedRow) -> Tile:
    compared = first.against_baseline
    other = None if compared is None else final.row(compared.other)
    if compared is None or other is None:
        note = "it is the best baseline" if first.number == final.baseline else "there is no comparison"
        return Tile("Against the best baseline", "none", note)
    better = compared.better(final.direction)
    return Tile(
        f"Against {other.label}, the best baseline",
        f"{compared.difference:+.4f}{_share(compared.difference, other.metrics[final.objective])}",
        f"95 % interval {compared.interval.low:+.4f} to {compared.interval.high:+.4f}, p {p_text(compared)}"
        f"{corrected_text(compared)}",
        {None: "", True: "good", False: "bad"}[better],
    )


def _judged_verdict(report: ReportData, final: Final, first: JudgedRow) -> str:
    """Return the primary comparison in words; see `tuner.holdout.text.primary_text`."""
    title = _title(report, first.number, first.label)
    compared = first.against_baseline
    if first.name is not None:
        return f"No searched trial was judged. The best baseline by validation is {title}."
    if compared is None:
        return f"{title} is the winner by validation. The holdout does not compare it with a baseline."
    other = final.row(compared.other)
    name = other.label if other is not None else f"trial {compared.other}"
    words = verdict(compared, final.direction)
    found = f"{title}, the winner by validation, {words} the best baseline, {name}"
    if compared.better(final.direction) is False:
        return f"{found}, on the holdout: the search found nothing better."
    return f"{found}, on the holdout, which the search never read."


def _judged_notes(report: ReportData, final: Final, first: JudgedRow) -> tuple[str, ...]:
    others = {
        row.number: row.against_winner.better(final.direction)
        for row in final.rows
        if row.against_winner and row.number != final.baseline
    }
    titles = {row.number: _title(report, row.number, row.label) for row in final.rows}
    alike = ", ".join(titles[number] for number, better in others.items() if better is None)
    ahead = ", ".join(titles[number] for number, better in others.items() if better)
    notes = [
        f"{line[0].upper()}{line[1:]}."
        for line in (too_small(final), *worse_lines(final), final.note)
        if line
    ]
    notes += [f"The holdout cannot distinguish these from {titles[first.number]}: {alike}."] if alike else []
    notes += [f"Better on the holdout, which chooses nothing: {ahead}."] if ahead else []
    if final.look > 1:
        before = f" ({'; '.join(final.before)})" if final.before else ""
        notes.append(
            f"This holdout was looked at before: this is look {final.look}{before}. Only the first look is "
            "unbiased."
        )
    return tuple(notes)


# --- on validation -------------------------------------------------------------------------------


def _validated(report: ReportData, best: Row) -> Answer:
    summary = best.record.summary
    assert summary is not None, "only complete trials are ranked"
    n_folds = len(summary.folds)
    spread = f"± {number(summary.std)} over {n_folds} folds" if n_folds > 1 else "one fold"
    tiles = [Tile(f"{report.objective} on validation", number(summary.mean), spread)]
    verdict, against = _against_baseline(report, best)
    tiles += against
    tiles += _effort(report)
    n_searched = sum(row.record.name is None for row in report.done)
    why = (
        f". It is too optimistic: the best of {n_searched} noisy results looks better than it is"
        if n_searched
        else ""
    )
    notes = _front_note(report)
    notes += [
        f"Validation only{why}. `tuner final {report.folder_shown}` judges the first rows on the holdout."
    ]
    return Answer(
        False,
        _title(report, best.record.number, label_of(best.record)),
        verdict,
        tuple(tiles),
        tuple(notes),
        best.record.number,
    )


def _front_note(report: ReportData) -> list[str]:
    """Return a note that several rows are best, if there are several objectives."""
    if not report.board.further:
        return []
    return [
        f"Several objectives: no row beats these {len(report.board.front)} rows in all of them. The answer "
        f"shows the first of them by {report.objective}. See the Pareto front."
    ]


def _against_baseline(report: ReportData, best: Row) -> tuple[str, list[Tile]]:
    title = _title(report, best.record.number, label_of(best.record))
    baseline = report.best_baseline
    if baseline is None:
        return f"{title} is best; the study has no baseline to compare it with.", []
    name = label_of(baseline.record)
    if best is baseline:
        return _baseline_first(report, baseline)
    difference = report.value(best) - report.value(baseline)
    paired = compare_on_users(report.folder, best.record, baseline.record)
    has = f"{name} has {number(report.value(baseline))}"
    apart = paired is not None and paired.better(report.board.direction) is True
    if paired is None:
        certainty, note = "", has
    else:
        low, high = paired.bounds()
        certainty = f"; the users of the validation folds {'can' if apart else 'cannot'} distinguish them"
        note = (
            f"{has}; 95 % interval {low:+.4f} to {high:+.4f} over {paired.n_users:,} pairs of "
            "users, not corrected for choosing the best"
        )
    value = f"{difference:+.4f}{_share(difference, report.value(baseline))}"
    verdict = f"{title} is ahead of the best baseline, {name}, on validation{certainty}."
    return verdict, [Tile(f"Against {name}, the best baseline", value, note, "good" if apart else "")]


def _baseline_first(report: ReportData, baseline: Row) -> tuple[str, list[Tile]]:
    name = label_of(baseline.record)
    searched = report.best_searched
    if searched is None:
        verdict = f"The baseline {name} is first; no trial of the search is complete{report.yet}."
        return verdict, _came_farthest(report)
    difference = report.value(searched) - report.value(baseline)
    tile = Tile(
        "The best searched trial",
        number(report.value(searched)),
        f"{label_of(searched.record)}: {difference:+.4f} against {name}",
        "bad",
    )
    kind = "transformer" if TRANSFORMER in families_of(searched.record) else "trial of the search"
    ahead = f"{abs(difference):.4f}{_share(-abs(difference), report.value(baseline)).replace('-', '')}"
    verdict = (
        f"No trial of the search beats the baseline {name}{report.yet}. The best {kind}, "
        f"{label_of(searched.record)}, has {number(report.value(searched))}: {name} is ahead by {ahead}."
    )
    return verdict, [tile]


def _came_farthest(report: ReportData) -> list[Tile]:
    """Return the last value of the searched trial that came farthest; empty if none was measured."""
    found = [
        (row, row.reached) for row in report.board.rows if row.record.name is None and row.reached is not None
    ]
    if not found:
        return []
    row, reached = min(found, key=lambda one: (-one[1].fold, -one[1].epoch, one[1].place))
    note = f"{label_of(row.record)}, {row.status} after {reached.where}: place {reached.among}"
    return [Tile("The searched trial that came farthest", number(reached.value), note)]


def _effort(report: ReportData) -> tuple[Tile, ...]:
    counts = Counter(record.status for record in report.records if record.name is None)
    parts = [f"{counts[TrialStatus.COMPLETE]} complete"]
    parts += [f"{counts[TrialStatus.STOPPED]} stopped early"] if counts[TrialStatus.STOPPED] else []
    parts += [f"{counts[TrialStatus.FAILED]} failed"] if counts[TrialStatus.FAILED] else []
    left = sum(n for status, n in counts.items() if not status.has_ended)
    parts += [f"{left} unfinished"] if left else []
    took = f"; {duration(report.clock.total)} of search" if report.clock.total else ""
    return (Tile("Trials", str(counts.total()), ", ".join(parts) + took),)


# --- texts ---------------------------------------------------------------------------------------


def _title(report: ReportData, trial: int, label: str) -> str:
    record = next((record for record in report.records if record.number == trial), None)
    return label if record is None else label_of(record)


def _interval(interval: Interval) -> str:
    return f"{number(interval.low)} to {number(interval.high)}"


def _share(difference: float, of: float) -> str:
    return f" ({difference / abs(of):+.1%})" if of else ""
