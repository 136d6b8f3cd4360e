"""Draws docs/images/search.svg: what the workers do in one replayed search.

    python -m benchmarks.search_picture [--table NAME] [--seed N] [--workers 4]

The search is that of `benchmarks.search_quality` with the same table, seed and workers: the product's own
coordinator, sampler and early stopping on recorded curves. It is drawn until the best configuration of the
table is complete. The lines below the picture are those that `tuner show` prints of that trial.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.recording import Table
from benchmarks.replay import Ours, Span, replay
from tuner.reporting.trial_details import DECIDED
from tuner.trials.outcomes import DecisionKind
from tuner.trials.stored import TrialRecord

__all__ = ["Kind", "Searched", "draw", "searched"]

FILE = Path(__file__).parents[1] / "docs" / "images" / "search.svg"
WIDTH, LEFT, RIGHT, TOP, LANE, BAR = 900, 62, 14, 26, 36, 24
#: Width of a bar in pixels from which on it has room for its label.
_LABELLED = 22


class Kind(Enum):
    """What a bar shows: its class in the picture, and its words in the legend."""

    FIRST = "first", "first fold"
    PROMOTED = "promoted", "first fold, promoted"
    LEADER = "leader", "folds of a leader"
    FURTHER = "further", "folds 2 and 3 after passing fold 1"


@dataclass(frozen=True)
class Searched:
    """One replayed search, until its best row was complete.

    Attributes
    ----------
    spans
        What the workers did; the end of a span may be later than `until`.
    records
        What the store has, by row.
    best
        The best row of the table.
    until
        Seconds until it was complete.
    n_folds, n_epochs
        Numbers of folds, and of epochs of a fold.
    """

    spans: Sequence[Span]
    records: dict[int, TrialRecord]
    best: int
    until: float
    n_folds: int
    n_epochs: int

    def kind(self, span: Span) -> Kind:
        """Return what a span is."""
        record, fold = self.records[span.row], span.first // self.n_epochs
        if any(one.kind == DecisionKind.LEADER.value for one in record.decisions) and (
            fold or span.first >= self._led_from(record)
        ):
            return Kind.LEADER
        if fold:
            return Kind.FURTHER
        return Kind.PROMOTED if span.first else Kind.FIRST

    def end(self, span: Span) -> str:
        """Return how a span ended: `paused`, `stopped`, `complete`, or empty."""
        record, stop = self.records[span.row], self.records[span.row].stop
        fold, epoch = span.last // self.n_epochs, span.last % self.n_epochs + 1
        if stop is not None and stop.rule == "race" and (stop.fold, stop.epoch) == (fold, epoch):
            return "stopped"
        paused = {one.rung for one in record.decisions if one.kind == DecisionKind.PAUSED.value}
        if fold == 0 and epoch in paused:
            return "paused"
        later = [one for one in self.spans if one.row == span.row and one.end > span.end]
        return "complete" if record.summary is not None and not later else ""

    @staticmethod
    def _led_from(record: TrialRecord) -> int:
        return min(one.rung for one in record.decisions if one.kind == DecisionKind.LEADER.value)


def main() -> None:
    """Replay a search and draw it."""
    from benchmarks.recording import load_table, table_path
    from benchmarks.search_quality import space_of

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", default="beauty", help="name of a recorded table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    path = table_path(arguments.table)
    table = load_table(path)
    ours = CONTENDERS["ours"](table, space_of(path), arguments.seed, None)
    assert isinstance(ours, Ours), "it has records"
    FILE.write_text(draw(searched(table, ours, arguments.workers), arguments.workers), encoding="utf-8")
    print(f"{FILE}: {FILE.stat().st_size / 1000:.0f} kB")


def searched(table: Table, ours: Ours, n_workers: int) -> Searched:
    """Let our search run over a table, to its end."""
    spans: list[Span] = []
    best, until = int(table.scores.argmax()), 0.0
    for spent, row in replay(ours, n_workers, spans.append):
        if row == best:
            until = spent / n_workers
    assert until, "the best row was complete"
    shown = [span for span in spans if span.begin < until]
    return Searched(shown, ours.records(), best, until, table.n_folds, table.n_epochs)


def draw(search: Searched, n_workers: int) -> str:
    """Return the picture as SVG."""
    scale = (WIDTH - LEFT - RIGHT) / search.until
    bars = [line for span in search.spans for line in _bar(search, span, scale)]
    lanes = [
        f'<text x="{LEFT - 8}" y="{_y(worker) + 16}" text-anchor="end">worker {worker + 1}</text>'
        for worker in range(n_workers)
    ]
    below = _y(n_workers) + 6
    words = [*_axis(search, below), *_legend(search, below + 44), *_story(search, below + 72)]
    height = below + 72 + 18 * (1 + len(search.records[search.best].decisions))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="what each worker does over time" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lanes, *bars, *words, "</svg>"]) + "\n"


_STYLE = (
    "text{fill:#57606a}.bar{stroke:#8b949e;stroke-width:.7}.first{fill:#8b949e;fill-opacity:.28}"
    ".promoted{fill:#388bfd;fill-opacity:.55}.leader{fill:#a371f7;fill-opacity:.75}"
    ".further{fill:#3fb950;fill-opacity:.55}.best{stroke:#d29922;stroke-width:2.5}"
    ".paused{stroke:#57606a;stroke-width:2}.stopped{stroke:#f85149;stroke-width:2.5}"
    ".complete{fill:#d29922}.in{font-size:10px;fill:#1f2328}"
    "@media(prefers-color-scheme:dark){text{fill:#9da7b3}.in{fill:#f0f6fc}.paused{stroke:#9da7b3}}"
)


def _y(worker: int) -> int:
    return TOP + worker * LANE


def _bar(search: Searched, span: Span, scale: float) -> Iterator[str]:
    """Yield the lines of one span: its bar, its label, and the mark at its end."""
    left, right = LEFT + span.begin * scale, LEFT + min(span.end, search.until) * scale
    top = _y(span.worker)
    best = " best" if span.row == search.best else ""
    yield (
        f'<rect class="bar {search.kind(span).value[0]}{best}" x="{left:.1f}" y="{top}" '
        f'width="{right - left:.1f}" height="{BAR}"/>'
    )
    if right - left >= _LABELLED:
        number, fold = search.records[span.row].number, span.first // search.n_epochs + 1
        label = f"{number}" if fold == 1 else f"{number}/{fold}"
        middle = (left + right) / 2
        yield f'<text class="in" x="{middle:.1f}" y="{top + 16}" text-anchor="middle">{label}</text>'
    if span.end <= search.until:
        yield from _mark(search.end(span), right, top)


def _mark(end: str, x: float, top: float) -> Iterator[str]:
    """Yield the mark of an end: two bars if paused, a cross if stopped, a dot if the trial is complete."""
    if end == "paused":
        yield f'<path class="paused" d="M{x - 4:.1f} {top + 5}v14M{x - 1:.1f} {top + 5}v14"/>'
    elif end == "stopped":
        yield f'<path class="stopped" d="M{x - 8:.1f} {top + 8}l8 8m0 -8l-8 8"/>'
    elif end == "complete":
        yield f'<circle class="complete" cx="{x - 5:.1f}" cy="{top + 12}" r="4.5"/>'


def _axis(search: Searched, y: float) -> Iterator[str]:
    """Yield the axis of time, in the time of one complete trial as a median."""
    full = _seconds_of_a_trial(search)
    step = max(1, round(search.until / full / 8))
    for count in range(0, int(search.until / full) + 1, step):
        x = LEFT + count * full * (WIDTH - LEFT - RIGHT) / search.until
        yield f'<text x="{x:.1f}" y="{y + 10}" text-anchor="middle">{count}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield (
        f'<text x="{middle}" y="{y + 27}" text-anchor="middle">'
        "time, in units of one complete trial on one worker</text>"
    )


def _seconds_of_a_trial(search: Searched) -> float:
    """Return the mean time of a complete trial on one worker."""
    complete = {row for row, record in search.records.items() if record.summary is not None}
    spans = [span for span in search.spans if span.row in complete and span.end <= search.until]
    epochs = sum(span.last - span.first + 1 for span in spans)
    seconds = sum(span.end - span.begin for span in spans)
    return seconds / epochs * search.n_folds * search.n_epochs


def _legend(search: Searched, y: float) -> Iterator[str]:
    """Yield the legend: the kinds of bars and the marks that occur."""
    x = LEFT - 40
    kinds = {search.kind(span) for span in search.spans}
    ends = {search.end(span) for span in search.spans if span.end <= search.until}
    for kind in (one for one in Kind if one in kinds):
        name, words = kind.value
        yield f'<rect class="bar {name}" x="{x}" y="{y - 10}" width="16" height="12"/>'
        yield f'<text x="{x + 21}" y="{y}">{words}</text>'
        x += 42 + 6 * len(words)
    for end in ("paused", "stopped", "complete"):
        if end in ends:
            yield from _mark(end, x + 8, y - 16)
            yield f'<text x="{x + 14}" y="{y}">{end}</text>'
            x += 30 + 6 * len(end)


def _story(search: Searched, y: float) -> Iterator[str]:
    """Yield the decisions on the best trial, as `tuner show` prints them."""
    record = search.records[search.best]
    lines = [f"trial {record.number}, the best of the table (outlined):"]
    lines += [f"{DECIDED[decision.kind]}: {decision.why}" for decision in record.decisions]
    for at, line in enumerate(lines):
        yield f'<text x="{LEFT - 40 + (14 if at else 0)}" y="{y + 18 * at}">{escape(line)}</text>'


if __name__ == "__main__":
    main()
