"""The answer first: which model is best, by how much it beats the best baseline, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuner.formatting import duration, number
from tuner.holdout import Final, Interval, JudgedRow
from tuner.reporting.html.material import Material, label_of
from tuner.reporting.leaderboard import Row, what_distinguishes
from tuner.reporting.paired import compare_on_users
from tuner.trials.objective import is_better
from tuner.trials.status import TrialStatus

__all__ = ["Answer", "Tile", "answer"]


@dataclass(frozen=True)
class Tile:
    """A number that matters.

    Attributes
    ----------
    label, value, note
        What it is, the number, and what stands below it.
    tone
        ``good``, ``bad`` or nothing.
    """

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Answer:
    """What a reader must know, if they read nothing else.

    Attributes
    ----------
    judged
        Whether it rests on the holdout.
    title
        The best model; empty where there is none yet.
    verdict
        One sentence.
    tiles
        The numbers under it.
    notes
        What limits it.
    number
        Of the best trial.
    chosen
        What distinguishes it from other trials; empty for a baseline.
    """

    judged: bool
    title: str
    verdict: str
    tiles: Sequence[Tile] = ()
    notes: Sequence[str] = ()
    number: int | None = None
    chosen: str = ""


def answer(material: Material) -> Answer:
    """Answer from the holdout where it has been judged, else from validation."""
    if material.final is not None and material.final.rows:
        return _with_choices(material, _judged(material, material.final))
    best = material.best
    if best is None:
        verdict = (
            "No trial is complete yet."
            if not material.done
            else "No complete trial keeps to all constraints."
        )
        return Answer(False, "", verdict, _effort(material))
    return _with_choices(material, _validated(material, best))


def _with_choices(material: Material, found: Answer) -> Answer:
    rows = [
        row for row in material.board.rows if row.record.number == found.number and row.record.name is None
    ]
    return replace(found, chosen=what_distinguishes(rows[0])) if rows else found


# --- on the holdout ------------------------------------------------------------------------------


def _judged(material: Material, final: Final) -> Answer:
    first = final.rows[0]
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
            f"the holdout took {number(first.optimism)} off"
            if first.optimism > 0
            else "no more than the holdout",
        ),
    ]
    return Answer(
        True,
        _title(material, first.number, first.label),
        _judged_verdict(material, final, first),
        tuple(tiles),
        _judged_notes(material, final, first),
        first.number,
    )


def _judged_against(final: Final, first: JudgedRow) -> Tile:
    compared = first.against_baseline
    other = None if compared is None else final.row(compared.other)
    if compared is None or other is None:
        words = (
            "it is the best baseline itself" if first.number == final.baseline else "no baseline was judged"
        )
        return Tile("Against the best baseline", "none", words)
    share = _share(compared.difference, other.metrics[final.objective])
    tone = "" if not compared.distinguishable else "good" if _ahead(final, compared.difference) else "bad"
    return Tile(
        f"Against {other.label}, the best baseline",
        f"{compared.difference:+.4f}{share}",
        f"95 % interval {compared.interval.low:+.4f} to {compared.interval.high:+.4f}; "
        f"p = {_p(compared.p_value)} after correction for {compared.n_compared} comparisons",
        tone,
    )


def _judged_verdict(material: Material, final: Final, first: JudgedRow) -> str:
    title = _title(material, first.number, first.label)
    compared = first.against_baseline
    if first.name is not None:
        return f"The baseline {title} is best on the holdout: the search found nothing better."
    if compared is None:
        return f"{title} is best on the holdout; there is no baseline to hold it against."
    other = final.row(compared.other)
    name = other.label if other is not None else f"trial {compared.other}"
    if compared.distinguishable:
        return f"{title} beats the best baseline, {name}, on a holdout that no trial has seen."
    return f"{title} is first on the holdout, but cannot be told apart from the best baseline, {name}."


def _judged_notes(material: Material, final: Final, first: JudgedRow) -> tuple[str, ...]:
    alike = [_title(material, r.number, r.label) for r in final.rows[1:] if r.group == first.group]
    notes = [f"Cannot be told apart from the first: {', '.join(alike)}."] if alike else []
    if final.look > 1:
        before = f" ({'; '.join(final.before)})" if final.before else ""
        notes.append(
            f"This holdout had been looked at before: this is look {final.look}{before}. Each look makes it "
            "a little less of one."
        )
    return tuple(notes)


# --- on validation -------------------------------------------------------------------------------


def _validated(material: Material, best: Row) -> Answer:
    summary = best.record.summary
    assert summary is not None, "only complete trials are ranked"
    n_folds = len(summary.folds)
    spread = f"± {number(summary.std)} over {n_folds} folds" if n_folds > 1 else "one fold"
    tiles = [Tile(f"{material.objective} on validation", number(summary.mean), spread)]
    verdict, against = _against_baseline(material, best)
    tiles += against
    tiles += _effort(material)
    n_searched = sum(row.record.name is None for row in material.done)
    why = (
        f", and so optimistic: the best of {n_searched} noisy results looks better than it is"
        if n_searched
        else ""
    )
    notes = _front_note(material)
    notes += [
        f"Validation only{why}. `tuner final {material.folder_shown}` judges the first rows on the holdout."
    ]
    return Answer(
        False,
        _title(material, best.record.number, label_of(best.record)),
        verdict,
        tuple(tiles),
        tuple(notes),
        best.record.number,
    )


def _front_note(material: Material) -> list[str]:
    """Say that there are several answers where there are several objectives."""
    if not material.board.further:
        return []
    return [
        f"Several objectives: {len(material.board.front)} rows are beaten by none in all of them, and the "
        f"first of them by {material.objective} stands here. See the Pareto front."
    ]


def _against_baseline(material: Material, best: Row) -> tuple[str, list[Tile]]:
    title = _title(material, best.record.number, label_of(best.record))
    baseline = material.best_baseline
    if baseline is None:
        return f"{title} is best; the study has no baseline to hold it against.", []
    name = label_of(baseline.record)
    if best is baseline:
        return _baseline_first(material, baseline)
    difference = material.value(best) - material.value(baseline)
    paired = compare_on_users(material.folder, best.record, baseline.record)
    has = f"{name} has {number(material.value(baseline))}"
    apart = paired is not None and paired.better(material.direction) is True
    if paired is None:
        sure, note = "", has
    else:
        low, high = paired.bounds()
        sure = f"; users of the validation folds {'' if apart else 'do not '}tell them apart"
        note = (
            f"{has}; 95 % interval {low:+.4f} to {high:+.4f} over {paired.n_users:,} pairs of "
            "users, not corrected for choosing the best"
        )
    value = f"{difference:+.4f}{_share(difference, material.value(baseline))}"
    verdict = f"{title} is ahead of the best baseline, {name}, on validation{sure}."
    return verdict, [Tile(f"Against {name}, the best baseline", value, note, "good" if apart else "")]


def _baseline_first(material: Material, baseline: Row) -> tuple[str, list[Tile]]:
    name = label_of(baseline.record)
    searched = material.best_searched
    if searched is None:
        return f"The baseline {name} is first; no searched trial is complete yet.", []
    difference = material.value(searched) - material.value(baseline)
    tile = Tile(
        "The best searched trial",
        number(material.value(searched)),
        f"{label_of(searched.record)}: {difference:+.4f} against {name}",
        "bad",
    )
    return f"No trial beats the baseline {name} yet.", [tile]


def _effort(material: Material) -> tuple[Tile, ...]:
    counts = Counter(record.status for record in material.records if record.name is None)
    parts = [f"{counts[TrialStatus.COMPLETE]} complete"]
    parts += [f"{counts[TrialStatus.STOPPED]} stopped early"] if counts[TrialStatus.STOPPED] else []
    parts += [f"{counts[TrialStatus.FAILED]} failed"] if counts[TrialStatus.FAILED] else []
    left = sum(n for status, n in counts.items() if not status.has_ended)
    parts += [f"{left} unfinished"] if left else []
    took = f"; {duration(material.clock.total)} of search" if material.clock.total else ""
    return (Tile("Trials", str(counts.total()), ", ".join(parts) + took),)


# --- words ---------------------------------------------------------------------------------------


def _title(material: Material, trial: int, label: str) -> str:
    record = next((record for record in material.records if record.number == trial), None)
    return label if record is None else label_of(record)


def _interval(interval: Interval) -> str:
    return f"{number(interval.low)} to {number(interval.high)}"


def _share(difference: float, of: float) -> str:
    return f" ({difference / abs(of):+.1%})" if of else ""


def _ahead(final: Final, difference: float) -> bool:
    return is_better(difference, 0.0, final.direction)


def _p(value: float) -> str:
    least = 0.001
    return f"{value:.3f}" if value >= least else "below 0.001"
