"""Shows a running search in a cell of a notebook: one output, whose content is replaced."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tuner.formatting import duration, number
from tuner.formatting.cells import Cell, box, table, text
from tuner.monitoring.live_table import LiveTable, in_order, where_now

__all__ = ["CellView"]

#: Seconds between two looks at the state, lines of events, and running trials that are shown.
_EVERY, _LINES, _ROWS = 0.5, 8, 8


class CellView:
    """A view of a search in the output of a cell.

    Parameters
    ----------
    state
        Returns the state of the search.
    """

    def __init__(self, state: Callable[[], LiveTable]) -> None:
        self._state = state
        self._lines: deque[str] = deque(maxlen=1000)
        self._ended = threading.Event()
        self._shown = ""
        self._handle: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Show the output, and begin to replace its content."""
        from IPython.display import HTML, display  # noqa: PLC0415  # only in a notebook

        self._shown = self._html()
        self._handle = display(HTML(self._shown), display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        context = contextvars.copy_context()  # it says to which cell the output belongs
        self._thread = threading.Thread(
            target=context.run, args=(self._follow,), name="cell-view", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Show the last state, which stays."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._update()

    def add(self, line: str) -> None:
        """Add a line about an event."""
        self._lines.append(line)

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY):
            self._update()

    def _update(self) -> None:
        """Replace the content if it has changed."""
        from IPython.display import HTML  # noqa: PLC0415  # as above

        html = self._html()
        if html != self._shown and self._handle is not None:
            self._shown = html
            self._handle.update(HTML(html))  # type: ignore[no-untyped-call]  # IPython's

    def _html(self) -> str:
        state = self._state()
        parts = [_bar(state), f"<div><b>{text(state.counts())}</b></div>"]
        parts += [f'<div class="good">best {text(state.best)}</div>'] if state.best is not None else []
        parts += [_running(state)] if state.running and not self._ended.is_set() else []
        lines = list(self._lines)
        parts.append("".join(f'<div class="note">{text(line)}</div>' for line in lines[-_LINES:]))
        if len(lines) > _LINES:
            earlier = "".join(f"<div>{text(line)}</div>" for line in lines[:-_LINES])
            parts.append(f'<details class="note"><summary>earlier</summary>{earlier}</details>')
        return box(*parts)


def _bar(state: LiveTable) -> str:
    """Return a bar of the share of trials that have ended."""
    if not state.total:
        return ""
    share = min(100.0, 100 * state.done / state.total)
    return (
        '<div style="background:rgba(128,128,128,.22);height:4px;border-radius:2px;max-width:32em">'
        f'<div style="background:#2f86d1;height:4px;border-radius:2px;width:{share:.1f}%"></div></div>'
    )


def _running(state: LiveTable) -> str:
    header: list[Cell] = [("trial", "n"), ("model", ""), ("", ""), (text(state.objective), "n"), ("", "n")]
    shown = sorted(in_order(state.running, state.direction)[:_ROWS], key=lambda trial: trial.number)
    rows: list[tuple[str, list[Cell]]] = [
        (
            "",
            [
                (str(trial.number), "n"),
                (text(trial.label), ""),
                (text(where_now(trial, state.n_folds)), ""),
                (number(trial.value), "n"),
                (duration(trial.seconds), "n"),
            ],
        )
        for trial in shown
    ]
    rest = len(state.running) - len(shown)
    return table(header, rows) + (f'<div class="note">and {rest} more</div>' if rest else "")
