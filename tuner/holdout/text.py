"""Writes a final judgement as sentences and as a table, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuner.formatting import aligned, number, visible
from tuner.holdout import Comparison, Final, Interval, JudgedRow
from tuner.holdout.segment_text import segment_metrics, segment_values, worse_segments
from tuner.trials.objective import Direction

__all__ = [
    "bounds",
    "corrected_text",
    "final_lines",
    "look_lines",
    "p_text",
    "render_final",
    "row_lines",
    "signed",
    "too_small",
    "verdict",
    "worse_lines",
]


def signed(value: float) -> str:
    """Return a difference of metrics with its sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"


def bounds(interval: Interval | None) -> str:
    """Return an interval as a table shows it; an empty text for None."""
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def comparison_text(comparison: Comparison) -> str:
    """Return the difference, its interval, its p-value and the number of users as text."""
    interval = comparison.interval
    return (
        f"difference {signed(comparison.difference)}, "
        f"95 % {signed(interval.low)} to {signed(interval.high)}, "
        f"{comparison.n_users:,} users, p {p_text(comparison)}{corrected_text(comparison)}"
    )


def corrected_text(comparison: Comparison) -> str:
    """Return for how many comparisons interval and p-value are corrected; an empty text for one alone."""
    if comparison.n_compared == 1:
        return ""
    return f", both corrected for {comparison.n_compared} comparisons"


def p_text(comparison: Comparison) -> str:
    """Return a p-value as a table shows it."""
    least = 0.001
    return f"< {least}" if comparison.p_value < least else f"{comparison.p_value:.3f}"


def verdict(comparison: Comparison, direction: Direction) -> str:
    """Return how a row compares with another one, in words that follow the interval."""
    better = comparison.better(direction)
    if better is None:
        return "cannot be distinguished from"
    return "is better than" if better else "is worse than"


def final_lines(final: Final) -> list[str]:
    """Return the sentences about a final judgement. The first one is the answer."""
    lines = [f"final: {primary_text(final)}"]
    lines += [f"final: {line}" for line in (too_small(final), *_among_others(final)) if line]
    winner = final.winner_row
    if winner is not None:
        lines.append(
            f"final: of the winner, validation is {number(winner.validation)}, the holdout "
            f"{number(winner.metrics[final.objective])}, optimism {signed(winner.optimism)}"
        )
    lines += [f"final: {line}" for line in worse_lines(final)]
    if final.note:
        lines.append(f"final: {final.note}")
    return [visible(line) for line in (*lines, *look_lines(final.look, final.before))]


def primary_text(final: Final) -> str:
    """Return the primary comparison in words: the winner against the best baseline, both by validation."""
    winner = final.winner_row
    baseline = final.row(final.baseline) if final.baseline is not None else None
    if winner is None:
        best = f"; the best baseline by validation is {baseline.label}" if baseline is not None else ""
        return f"no searched trial was judged{best}"
    named = f"the winner by validation is trial {winner.number} {winner.label}"
    if baseline is None:
        return f"{named}; there is no baseline to compare with"
    if final.primary is None:
        what = f"{final.objective} has no per-user values"
        if final.n_users == 1:
            what = "the holdout has one user"
        return f"{named}; it is not compared with the best baseline {baseline.label}, because {what}"
    found = verdict(final.primary, final.direction)
    return f"{named}; it {found} the best baseline {baseline.label} ({comparison_text(final.primary)})"


def worse_lines(final: Final) -> Iterator[str]:
    """Yield a sentence for each segment of users for which the winner is worse than the best baseline."""
    for segment in worse_segments(final):
        assert segment.compared is not None, "it was compared"
        baseline = final.row(segment.compared.other)
        yield (
            f"for users with {segment.by} {segment.name}, the winner is worse than the best baseline "
            f"{baseline.label if baseline else ''} ({comparison_text(segment.compared)})"
        )


def too_small(final: Final) -> str:
    """Return what the holdout could have told, if it does not decide; an empty text if it does."""
    primary, winner = final.primary, final.winner_row
    if primary is None or winner is None or primary.distinguishable or primary.detectable is None:
        return ""
    baseline = final.row(primary.other)
    assert baseline is not None, "the primary comparison is with a judged row"
    expected = abs(winner.validation - baseline.validation)
    told = f"a true difference of {number(primary.detectable)} in 80 of 100 studies"
    if primary.detectable > expected:
        return (
            f"this holdout is too small to tell: it shows {told}, and the difference on validation was only "
            f"{number(expected)}"
        )
    return f"a holdout like this one shows {told}"


def _among_others(final: Final) -> Iterator[str]:
    """Yield the sentences about the winner and the rows besides the best baseline."""
    rows = [row for row in final.rows if row.against_winner and row.number != final.baseline]
    found = {row.number: row.against_winner.better(final.direction) for row in rows if row.against_winner}
    alike = [str(number) for number, better in found.items() if better is None]
    better = [str(number) for number, is_better in found.items() if is_better]
    if alike:
        yield f"the holdout cannot tell the winner from {_trials(alike)}"
    if better:
        yield (
            f"the holdout shows {_trials(better)} to be better than the winner; the winner stays, because "
            "the holdout chooses nothing"
        )


def _trials(numbers: Sequence[str]) -> str:
    return f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def look_lines(look: int, before: Sequence[str]) -> list[str]:
    """Return a warning if there were earlier holdout looks; no line if there were none."""
    if look == 1:
        return []
    times = "once" if len(before) == 1 else f"{look - 1} times"
    return [
        f"final: this holdout was looked at {times} before ({'; '.join(before)}). If you used those results "
        "to choose models or settings, the values here are too optimistic."
    ]


def row_lines(final: Final, row: JudgedRow) -> Iterator[str]:
    """Yield the lines about one judged row."""
    value, interval = row.metrics[final.objective], row.intervals.get(final.objective)
    within = f", 95 % {bounds(interval)}" if interval else ""
    epochs = f" for {row.epoch} epochs" if row.epoch else ""
    yield (
        f"holdout: {final.objective} {value!r}{within}; mean of {len(row.seeds)} fits{epochs} on everything "
        f"before the holdout; place {final.place(row.number)} of {len(final.rows)} by validation"
        f"{', the winner' * (row.number == final.winner)}{row.letters and f', letters {row.letters}'}"
    )
    yield f"  validation {row.validation!r}, optimism {signed(row.optimism)}"
    for label, mean in row.metrics.items():
        by_seed = "  ".join(repr(one[label]) for one in row.by_seed)
        within = f", 95 % {bounds(row.intervals[label])}" if label in row.intervals else ""
        yield f"  {label} {mean!r}{within}; by seed: {by_seed}"
    for what, comparison in (("the best baseline", row.against_baseline), ("the winner", row.against_winner)):
        if comparison is not None and not (what == "the winner" and row.number == final.baseline):
            other = final.row(comparison.other)
            name = f", trial {comparison.other} {other.label if other else ''}".rstrip()
            yield f"  against {what}{name}: {comparison_text(comparison)}"
    for label in segment_metrics(final):
        yield from (f"  {label}, {line}" for line in segment_values(final, row.number, label))
    yield from (f"  {line}" for line in look_lines(final.look, final.before))


def render_final(final: Final, *, width: int | None = None) -> str:
    """Return a final judgement as a table, with the sentences about it below."""
    others = [label for label in final.rows[0].metrics if label != final.objective]
    header = ["place", "trial", "model", "", "validation", f"holdout {final.objective}", "95 %", "optimism"]
    header += ["against the winner", "letters", *others]
    rows = [_cells(final, place, row, others) for place, row in enumerate(final.rows, 1)]
    table = aligned(header, rows, text=("model", "", "95 %", "against the winner", "letters"))
    lines = [
        line if width is None or len(line) <= width else line[: width - 1] + "…"
        for line in table.splitlines()
    ]
    return "\n".join([*lines, "", *final_lines(final)])


def _cells(final: Final, place: int, row: JudgedRow, others: Sequence[str]) -> list[str]:
    against = row.against_winner
    role = {final.winner: "winner", final.baseline: "best baseline"}.get(row.number, "")
    return [
        str(place),
        str(row.number),
        row.label,
        role,
        number(row.validation),
        number(row.metrics[final.objective]),
        bounds(row.intervals.get(final.objective)),
        signed(row.optimism),
        "" if against is None else f"{signed(against.difference)} ({_signed_bounds(against.interval)})",
        row.letters,
        *(number(row.metrics.get(label)) for label in others),
    ]


def _signed_bounds(interval: Interval) -> str:
    return f"{signed(interval.low)} to {signed(interval.high)}"
