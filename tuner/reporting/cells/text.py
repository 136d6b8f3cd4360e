"""A leaderboard as text that fits a screen, for `print` and for consoles of Python."""

from __future__ import annotations

import shutil
from collections import Counter

from tuner.formatting import cut, visible
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import Leaderboard

__all__ = ["board_text", "heading"]

#: Rows of trials, and lines of the final judgement, that are shown. With the others they are under 40 lines.
MOST_ROWS, MOST_LINES = 20, 12
#: Width in characters if the terminal's is unknown.
_WIDTH = 110


def board_text(board: Leaderboard) -> str:
    """Return a leaderboard as at most 40 lines of text."""
    width = shutil.get_terminal_size((_WIDTH, 0)).columns
    shown, *judged = render(board, top=MOST_ROWS, width=width).split("\n\n", 1)
    lines = [heading(board), *shown.splitlines()]
    rest = len(board.rows) - MOST_ROWS
    if rest > 0:
        lines.append(f"... and {rest} more; board.to_pandas() has them all")
    said = judged[0].splitlines()[:MOST_LINES] if judged else []
    return "\n".join([cut(line, width) for line in lines] + ([""] if said else []) + said)


def heading(board: Leaderboard) -> str:
    """Return the study's name, its objective and the number of trials in each state."""
    return visible(f"{board.study}: {board.objective}, {board.direction}; {states(board)}")


def states(board: Leaderboard) -> str:
    """Return the number of trials in each state."""
    found = Counter(row.status.value for row in board.rows)
    if not found:
        return "no trials"
    return ", ".join(f"{number} {state}" for state, number in found.items())
