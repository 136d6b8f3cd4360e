"""Figures of compute: shares of complete, stopped and failed trials, and when and where each trial ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate

import altair as alt

from tuner.formatting import duration
from tuner.reporting.clock import Stay
from tuner.reporting.figures.figure import (
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    facts_of,
    fitted,
    grid_axis,
    layered,
    pinned,
    tooltips,
)
from tuner.reporting.figures.palette import paint
from tuner.reporting.figures.ticks import time_unit
from tuner.reporting.report_data import ReportData
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["compute", "shares", "timeline"]

#: Kind of a trial that has not ended. In the timeline also of an attempt before the last one.
_UNFINISHED = "not finished"
#: Kinds of trials in the order of the bars.
KINDS = (
    Kind("square", "c0", "complete"),
    Kind("square", "base", "baseline"),
    Kind("square", "c7", "stopped early"),
    Kind("square", "bad", "failed"),
    Kind("square", "faint", _UNFINISHED),
)
_KINDS = {TrialStatus.STOPPED: "stopped early", TrialStatus.FAILED: "failed"}
_BAR = 24
#: Seconds by which two trials of one worker may overlap.
_MOMENT = 1.0


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
    rows = [row for name, counter in found.items() for row in _bars(name, counter)]
    return Figure(
        "compute",
        "Share of compute",
        _caption(report),
        partial(_draw_shares, rows, _used(rows)),
        {"compute": rows},
        legend=_used(rows),
    )


def _used(rows: Sequence[Fact]) -> tuple[Kind, ...]:
    """Return the kinds that are among rows of data."""
    used = {row["kind"] for row in rows}
    return tuple(kind for kind in KINDS if kind.label in used)


def _caption(report: ReportData) -> str:
    """Return the average duration of complete and of stopped trials as text."""
    parts = []
    for kind, name in (("complete", "a complete trial"), ("stopped early", "a stopped trial")):
        seconds = [r.seconds for r in report.records if kind_of(r) == kind and r.seconds is not None]
        if seconds:
            parts.append(f"{name} took {duration(sum(seconds) / len(seconds))}")
    return f"On average {', '.join(parts)}." if parts else "By the state of the trials."


def _bars(name: str, counter: Mapping[str, float]) -> list[Fact]:
    """Return a row for each part of a bar, from 0 to 1 along it."""
    total = sum(counter.values())
    amount = f"{total:.0f}" if name == "trials" else duration(float(total))
    rows: list[Fact] = []
    begin = 0.0
    for kind in KINDS:
        share = counter.get(kind.label, 0) / total
        if share > 0:
            ends = {"begin": begin, "end": begin + share, "share": share}
            rows.append({"name": name, "kind": kind.label, "text": f"{share:.0%}", "total": amount, **ends})
        begin += share
    return rows


def _draw_shares(rows: Sequence[Fact], kinds: Sequence[Kind], width: int) -> Chart:
    left, right = 74, 96
    names = list(dict.fromkeys(row["name"] for row in rows))
    axis = alt.Axis(title=None, minExtent=left, maxExtent=left, labelColor=paint("ink"))
    scale = alt.Scale(domain=[0, 1], nice=False)
    base = alt.Chart(alt.NamedData("compute")).encode(y=alt.Y("name:N", sort=names, axis=axis))
    told = [alt.Tooltip("kind:N"), alt.Tooltip("share:Q", format=".1%"), alt.Tooltip("total:N")]
    bars = base.mark_bar(height=_BAR, stroke=paint("card"), strokeWidth=1.5, cornerRadius=3)
    wide = base.transform_filter(f"datum.share * {width - left - right} > 30")
    texts = wide.transform_calculate(middle="(datum.begin + datum.end) / 2").mark_text(fontWeight=600)
    first = base.transform_filter("datum.begin === 0").mark_text(
        align="right", dx=right, color=paint("muted")
    )
    return layered(
        bars.encode(
            x=alt.X("begin:Q", scale=scale, axis=None), x2=alt.X2("end:Q"), tooltip=told, **_fill(kinds)
        ),
        texts.encode(x=alt.X("middle:Q"), text=alt.Text("text:N"), color=_on("kind")),
        first.encode(x=pinned("width"), text=alt.Text("total:N")),
        height=(_BAR + 14) * len(names),
        **fitted(width),
    )


def _fill(kinds: Sequence[Kind]) -> dict[str, alt.Fill]:
    """Return the encoding of the colour of bars."""
    return {"fill": by_kind(kinds)["fill"]}


def _on(column: str) -> alt.ColorValue:
    """Return the encoding of the colour of a text on a bar."""
    test = f"datum.{column} === '{_UNFINISHED}'"
    return alt.ColorValue(paint("card"), condition={"test": test, "value": paint("ink")})


def timeline(report: ReportData) -> Figure | None:
    """Draw when each trial ran, on which host, and in which slot of the host."""
    trial_stays = report.stays
    if not trial_stays or report.clock.total <= 0:
        return None
    lanes = _lanes(trial_stays)
    n_at_once = _at_once(trial_stays)
    known = any(stay.worker for stay in trial_stays)
    caption = (
        f"At most {n_at_once} trial{'s' * (n_at_once != 1)} at once"
        + (f", on {len(lanes)} host{'s' if len(lanes) > 1 else ''}" if known else "")
        + f"; {duration(report.clock.total)} of search, without the pauses between runs."
    )
    rows = _lane_rows(report, lanes)
    return Figure(
        "timeline",
        "Timeline",
        caption,
        partial(_draw_timeline, report.clock.total, rows, _used(rows)),
        {"timeline": rows},
        legend=_used(rows),
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


def _lane_rows(report: ReportData, hosts: Mapping[str, Sequence[Sequence[Stay]]]) -> list[Fact]:
    """Return a row for each stay. Lanes are numbered from 0, with a gap of half a lane between hosts."""
    size, _ = time_unit(report.clock.total)
    rows: list[Fact] = []
    at = 0.0
    for host, lanes in hosts.items():
        for slot, lane in enumerate(lanes, 1):
            name = host if host and slot == 1 else "" if host else f"slot {slot}"
            for stay in lane:
                ends = {"begin": report.clock(stay.begin) / size, "end": report.clock(stay.end) / size}
                told = {"kind": _kind_at(stay), "took": duration(stay.end - stay.begin), "host": host}
                first = {"lane_name": name} if stay is lane[0] and name else {}
                rows.append(facts_of(stay.record, lane=at, below=at + 0.85, **ends, **told, **first))
            at += 1
        at += 0.4
    return rows


def _draw_timeline(total: float, rows: Sequence[Fact], kinds: Sequence[Kind], width: int) -> Chart:
    size, unit = time_unit(total)
    left, n_lanes = min(width * 0.28, 96.0), max(row["below"] for row in rows)
    high = 26 if n_lanes <= 14 else 16 if n_lanes <= 44 else 9  # noqa: PLR2004  # so that the figure fits a screen
    axis = grid_axis(width)
    x_scale = alt.Scale(domain=[0, total / size], nice=False)
    x = alt.X("begin:Q", title=f"time of the search, {unit}", scale=x_scale, axis=axis)
    y = alt.Y("lane:Q", axis=None, scale=alt.Scale(domain=[n_lanes, 0], nice=False))
    base = alt.Chart(alt.NamedData("timeline"))
    middle = base.transform_calculate(at="(datum.begin + datum.end) / 2", level="datum.lane + 0.425")
    told = tooltips(("kind:N", "state"), ("took:N", "took"), ("host:N", "host"))
    bars = base.mark_bar(cornerRadius=2, stroke=paint("card"), strokeWidth=1)
    pixels = (width - left - 12) / (total / size)
    wide = middle.transform_filter(
        f"(datum.end - datum.begin) * {pixels} > length(toString(datum.trial)) * 7 + 6"
    )
    hosts = middle.transform_filter("isValid(datum.lane_name)").mark_text(
        align="left", dx=-left, limit=left - 6
    )
    layers = [
        bars.encode(x=x, x2=alt.X2("end:Q"), y=y, y2=alt.Y2("below:Q"), tooltip=told, **_fill(kinds)),
        hosts.encode(
            x=pinned(0),
            y=alt.Y("level:Q"),
            text=alt.Text("lane_name:N"),
            color=alt.ColorValue(paint("muted")),
        ),
        wide.mark_text(fontSize=11).encode(
            x=alt.X("at:Q"), y=alt.Y("level:Q"), text=alt.Text("trial:Q"), color=_on("kind")
        ),
    ]
    shown = layers if high >= 16 else layers[:2]  # noqa: PLR2004  # enough room for text
    return layered(
        *shown,
        height=high * n_lanes,
        **fitted(width),
    )
