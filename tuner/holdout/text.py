"""Writes a final judgement as sentences and as a table, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuner.formatting import aligned, number
from tuner.holdout import Comparison, Final, Interval, JudgedRow
from tuner.trials.objective import sort_key

__all__ = ["bounds", "final_lines", "look_lines", "render_final", "row_lines", "signed"]


def signed(value: float) -> str:
    """Return a difference of metrics with its sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"


def bounds(interval: Interval | None) -> str:
    """Return an interval as a table shows it; an empty text for None."""
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def comparison_text(comparison: Comparison) -> str:
    """Return the difference, its interval and the number of users as text."""
    interval = comparison.interval
    return (
        f"difference {signed(comparison.difference)}, "
        f"95 % {signed(interval.low)} to {signed(interval.high)}, "
        f"{comparison.n_users:,} users{_corrected(comparison)}"
    )


def _corrected(comparison: Comparison) -> str:
    """Return the corrected p-value as text; an empty text if there is only one comparison.

    With several comparisons the interval alone would mislead, because it is not corrected.
    """
    if comparison.n_compared == 1:
        return ""
    return f", p {p_text(comparison)} corrected for {comparison.n_compared} comparisons"


def p_text(comparison: Comparison) -> str:
    """Return a p-value as a table shows it."""
    least = 0.001
    return f"< {least}" if comparison.p_value < least else f"{comparison.p_value:.3f}"


def final_lines(final: Final) -> list[str]:
    """Return the sentences about a final judgement. The first one is the answer."""
    first = final.rows[0]
    lines = [f"final: {_against_baseline(final)}"]
    if first.against_next is not None:
        apart = "differ" if first.against_next.distinguishable else "cannot be distinguished"
        lines.append(f"final: 1st and 2nd {apart} ({comparison_text(first.against_next)})")
        others = sum(row.group == 1 for row in final.rows[2:])
        if others:
            lines.append(f"final: the next {others} cannot be distinguished from the 1st either")
    chosen = min(final.rows, key=lambda row: sort_key(row.validation, final.direction))
    lines.append(
        f"final: the best by validation is trial {chosen.number} {chosen.label}: validation "
        f"{number(chosen.validation)}, holdout {number(chosen.metrics[final.objective])}, "
        f"optimism {signed(chosen.optimism)}"
    )
    return [*lines, *look_lines(final.look, final.before)]


def _against_baseline(final: Final) -> str:
    first = final.rows[0]
    named = f"the best on the holdout is trial {first.number} {first.label}"
    if final.baseline is None:
        return f"{named}; there is no baseline to compare with"
    baseline = final.row(final.baseline)
    if baseline is None or baseline.number == first.number:
        return f"{named}, the best baseline"
    seen = first.against_baseline
    if seen is None:
        return named
    verdict = "better than" if seen.distinguishable else "which cannot be distinguished from"
    return f"{named}, {verdict} the best baseline {baseline.label} ({comparison_text(seen)})"


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
        f"before the holdout; place {final.rows.index(row) + 1} of {len(final.rows)}, group {row.group}"
    )
    yield f"  validation {row.validation!r}, optimism {signed(row.optimism)}"
    for label, mean in row.metrics.items():
        by_seed = "  ".join(repr(one[label]) for one in row.by_seed)
        within = f", 95 % {bounds(row.intervals[label])}" if label in row.intervals else ""
        yield f"  {label} {mean!r}{within}; by seed: {by_seed}"
    for what, comparison in (("the best baseline", row.against_baseline), ("the next row", row.against_next)):
        if comparison is not None:
            other = final.row(comparison.other)
            name = f", trial {comparison.other} {other.label if other else ''}".rstrip()
            yield f"  against {what}{name}: {comparison_text(comparison)}"
    yield from (f"  {line}" for line in look_lines(final.look, final.before))


def render_final(final: Final, *, width: int | None = None) -> str:
    """Return a final judgement as a table, with the sentences about it below."""
    others = [label for label in final.rows[0].metrics if label != final.objective]
    header = ["place", "trial", "model", f"holdout {final.objective}", "95 %", "validation", "optimism"]
    header += ["against baseline", "p", "group", *others]
    rows = [_cells(final, place, row, others) for place, row in enumerate(final.rows, 1)]
    table = aligned(header, rows, text=("model", "95 %"))
    lines = [
        line if width is None or len(line) <= width else line[: width - 1] + "…"
        for line in table.splitlines()
    ]
    return "\n".join([*lines, "", *final_lines(final)])


def _cells(final: Final, place: int, row: JudgedRow, others: Sequence[str]) -> list[str]:
    against = row.against_baseline
    return [
        str(place),
        str(row.number),
        row.label,
        number(row.metrics[final.objective]),
        bounds(row.intervals.get(final.objective)),
        number(row.validation),
        signed(row.optimism),
        "" if against is None else signed(against.difference),
        "" if against is None else p_text(against),
        str(row.group),
        *(number(row.metrics.get(label)) for label in others),
    ]
