"""Figures of compute: shares of complete, stopped and failed trials, and when and where each trial ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

from tuner.formatting import duration
from tuner.reporting.html.clock import Stay
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.scales import Scale, duration_ticks
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, text_width
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["compute", "shares", "timeline"]

#: Kind of a trial that has not ended. In the timeline also of an attempt before the last one.
_UNFINISHED = "not finished"
#: Kinds of trials and their colours, in the order of the bars.
KINDS = {
    "complete": "c0",
    "baseline": "base",
    "stopped early": "c7",
    "failed": "bad",
    _UNFINISHED: "faint",
}
_KINDS = {TrialStatus.STOPPED: "stopped early", TrialStatus.FAILED: "failed"}
_BAR = 24
#: Seconds by which two trials of one worker may overlap.
_MOMENT = 1.0


def _on(colour: str) -> str:
    """Return the colour of a text on a bar."""
    return "ink" if colour == "faint" else "card"


def kind_of(record: TrialRecord) -> str:
    """Return the kind of a trial that has started."""
    if record.status == TrialStatus.COMPLETE:
        return "complete" if record.name is None else "baseline"
    return _KINDS.get(record.status, _UNFINISHED)


def shares(report: ReportData) -> dict[str, Counter[str]]:
    """Return totals of each kind: trials, CPU seconds and GPU seconds.

    Old studies recorded no resource usage; for them the wall time of the trials is returned instead.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in ("trials", "CPU", "GPU", "wall time")}
    for record in report.records:
        if record.status == TrialStatus.QUEUED:
            continue
        kind = kind_of(record)
        found["trials"][kind] += 1
        found["CPU"][kind] += record.usage.cpu_seconds  # type: ignore[assignment]  # a counter can also count seconds
        found["GPU"][kind] += record.usage.gpu_seconds  # type: ignore[assignment]  # as above
        found["wall time"][kind] += record.seconds or 0  # type: ignore[assignment]  # as above
    if found["CPU"].total():
        del found["wall time"]
    return {name: counter for name, counter in found.items() if counter.total() > 0}


def compute(report: ReportData) -> Figure | None:
    """Draw the share of each kind in the number of trials and in the compute."""
    found = shares(report)
    if not found:
        return None
    return Figure(
        "compute",
        "Share of compute",
        _caption(report),
        lambda width: _draw_shares(found, width),
        legend=_legend(found),
    )


def _legend(found: Mapping[str, Counter[str]]) -> tuple[tuple[str, str, str], ...]:
    used = {kind for counter in found.values() for kind, value in counter.items() if value}
    return tuple(("square", colour, kind) for kind, colour in KINDS.items() if kind in used)


def _caption(report: ReportData) -> str:
    """Return the average duration of complete and of stopped trials as text."""
    parts = []
    for kind, name in (("complete", "a complete trial"), ("stopped early", "a stopped trial")):
        seconds = [r.seconds for r in report.records if kind_of(r) == kind and r.seconds is not None]
        if seconds:
            parts.append(f"{name} took {duration(sum(seconds) / len(seconds))}")
    return f"On average {', '.join(parts)}." if parts else "By the state of the trials."


def _draw_shares(found: Mapping[str, Counter[str]], width: int) -> str:
    left, right = 74.0, width - 96.0
    canvas = Canvas(width, (_BAR + 14) * len(found) + 4, "Shares of trials and of compute")
    for index, (name, counter) in enumerate(found.items()):
        y, x, total = index * (_BAR + 14) + 4.0, left, counter.total()
        canvas.text((0, y + 16), name, colour="ink")
        for kind, colour in KINDS.items():
            long = (right - left) * counter[kind] / total
            if long <= 0:
                continue
            canvas.rect((x, y), (max(long - 1.5, 0.5), _BAR), colour=colour)
            share = f"{counter[kind] / total:.0%}"
            if long > text_width(share) + 8:
                canvas.text((x + long / 2, y + 16), share, anchor="middle", colour=_on(colour), bold=True)
            x += long
        amount = f"{total:.0f}" if name == "trials" else duration(float(total))
        canvas.text((width, y + 16), amount, anchor="end")
    return canvas.render()


def timeline(report: ReportData) -> Figure | None:
    """Draw when each trial ran, on which host, and in which slot of the host."""
    trial_stays = report.stays
    if not trial_stays or report.clock.total <= 0:
        return None
    lanes = _lanes(trial_stays)
    known = any(stay.worker for stay in trial_stays)
    caption = (
        f"At most {_at_once(trial_stays)} trials at once"
        + (f", on {len(lanes)} host{'s' if len(lanes) > 1 else ''}" if known else "")
        + f"; {duration(report.clock.total)} of search, without the pauses between runs."
    )
    return Figure(
        "timeline",
        "Timeline",
        caption,
        lambda width: _draw_timeline(report, lanes, width),
        legend=tuple(
            ("square", colour, "continued later or unfinished" if kind == _UNFINISHED else kind)
            for kind, colour in KINDS.items()
            if any(_kind_at(stay) == kind for stay in trial_stays)
        ),
    )


def _kind_at(stay: Stay) -> str:
    return kind_of(stay.record) if stay.last else _UNFINISHED


def _at_once(trial_stays: Sequence[Stay]) -> int:
    """Return the largest number of trials that ran at once.

    A worker's next trial may begin a moment before the driver has written the end of the last one.
    """
    spans = [(stay.begin, max(stay.begin, stay.end - _MOMENT)) for stay in trial_stays]
    steps = sorted((at, change) for begin, end in spans for at, change in ((begin, -1), (end, 1)))
    return max(accumulate(-change for _, change in steps))


def _lanes(trial_stays: Sequence[Stay]) -> dict[str, list[list[Stay]]]:
    """Return the slots of each host. In a slot, trials run one after the other."""
    hosts: dict[str, list[list[Stay]]] = {}
    for stay in trial_stays:
        lanes = hosts.setdefault((stay.worker or "").partition(",")[0], [])
        lane = next((lane for lane in lanes if lane[-1].end <= stay.begin + _MOMENT), None)
        if lane is None:
            lanes.append([stay])
        else:
            lane.append(stay)
    return hosts


def _draw_timeline(report: ReportData, hosts: Mapping[str, Sequence[Sequence[Stay]]], width: int) -> str:
    n_lanes = sum(map(len, hosts.values()))
    high = 22 if n_lanes <= 12 else 12 if n_lanes <= 40 else 6  # noqa: PLR2004  # so that the figure fits a screen
    left = min(width * 0.28, 96.0)
    frame = Frame(left, 6, width - 12, 6 + (high + 4) * n_lanes + 8 * len(hosts))
    canvas = Canvas(width, frame.bottom + 30, "When each trial ran")
    x = Scale(0, report.clock.total, frame.left, frame.right)
    ticks = duration_ticks(x, 3 if width < 520 else 7)  # noqa: PLR2004  # width of a phone
    canvas.value_axis(frame, [(x(at), label) for at, label in ticks], "")
    y = frame.top
    for host, lanes in hosts.items():
        for slot, lane in enumerate(lanes, 1):
            if high >= 12:  # noqa: PLR2004  # enough room for text
                label = clipped(host, left - 4) if host and slot == 1 else "" if host else f"slot {slot}"
                canvas.text((0, y + high / 2 + 4), label)
            for stay in lane:
                _stay(canvas, report, stay, x, (y, high))
            y += high + 4
        y += 8
    return canvas.render()


def _stay(canvas: Canvas, report: ReportData, stay: Stay, x: Scale, lane: tuple[float, float]) -> None:
    y, high = lane
    begin, end = x(report.clock(stay.begin)), x(report.clock(stay.end))
    number = stay.record.number
    canvas.rect((begin, y), (end - begin - 1, high), colour=KINDS[_kind_at(stay)], trial=number, radius=2)
    if end - begin > text_width(str(number), 11) + 6 and high >= 12:  # noqa: PLR2004  # enough room for text
        middle = (begin + end) / 2
        colour = _on(KINDS[_kind_at(stay)])
        canvas.text((middle, y + high / 2 + 4), str(number), anchor="middle", colour=colour, size=11)
