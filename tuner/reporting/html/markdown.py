"""Writes the report as a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from tuner.formatting import visible
from tuner.reporting.figures.cost import shares
from tuner.reporting.figures.importances import weigh
from tuner.reporting.html.answer import Answer, answer
from tuner.reporting.html.facts import data_facts, failures, fold_facts, reproduction
from tuner.reporting.html.table import table
from tuner.reporting.report_data import ReportData

__all__ = ["markdown"]

#: Number of rows of the leaderboard.
TOP = 10
#: Characters with a meaning in Markdown. An underscore within a word has none.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)|^[#+-]")
#: Text that a code host would read as a mention or the number of an issue.
_REFERENCE = re.compile(r"(?<!\w)[@#](?=\w)")
#: A character without width. Text that it divides is not read as a reference.
_JOINER = "\u2060"


def markdown(report: ReportData) -> str:
    """Return the answer, the first rows, important params, the cost, and the commands to run it again."""
    found = answer(report)
    lines = [f"## {_plain(report.stored.name)}: {_plain(found.title or f'no result{report.yet}')}", ""]
    lines += [f"**{_plain(found.verdict)}**", ""]
    if found.chosen:
        lines += [_code(found.chosen), ""]
    for tile in found.tiles:
        note = f" ({_plain(tile.note)})" if tile.note else ""
        lines.append(f"- {_plain(tile.label)}: **{_plain(tile.value)}**{note}")
    lines += ["", *(f"> {_plain(note.replace('`', ''))}" for note in found.notes), ""]
    lines += _rows(report)
    lines += _segments(found)
    lines += _facts(report)
    lines += [
        "",
        "<details><summary>Reproduce</summary>",
        "",
        *_block(reproduction(report)),
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _rows(report: ReportData) -> list[str]:
    board = table(report)
    header = ["rank", "model", *(column.name for column in board.columns)]
    text = {"model", *(column.name for column in board.columns if not column.numeric)}
    lines = []
    for line in board.lines[:TOP]:
        rank = "" if line.rank is None else str(line.rank)
        cells = [
            f"({cell.text})" if cell.soft and cell.text[:1].isdigit() else cell.text for cell in line.cells
        ]
        lines.append([rank, line.label, *cells])
    used = [index for index in range(len(header)) if any(line[index] for line in lines)]
    if not lines:
        return []
    shown = [[line[index] for index in used] for line in [header, *lines]]
    rule = ["---" if header[index] in text else "---:" for index in used]
    more = len(board.lines) - len(lines)
    return [
        *(_row(map(_plain, shown[0])), _row(rule)),
        *(_row(map(_plain, line)) for line in shown[1:]),
        *([f"\nand {more} more"] if more > 0 else []),
    ]


def _segments(found: Answer) -> list[str]:
    if not found.segments:
        return []
    header, *rows = ([_plain(cell) for cell in row] for row in found.segments)
    rule = ["---", *["---:"] * (len(header) - 1)]
    title = f"{_plain(found.title)} by segment of users on the holdout, with 95 % intervals:"
    return ["", title, "", _row(header), _row(rule), *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _facts(report: ReportData) -> list[str]:
    lines = [""]
    weights = weigh(report)
    if weights.shares:
        first = ", ".join(f"{_plain(name)} {share:.0%}" for name, share in list(weights.shares.items())[:5])
        lines.append(f"- Most important params (PED-ANOVA over {weights.n_trials} trials): {first}")
    for name, counter in shares(report).items():
        if name != "trials":
            total = counter.total()
            parts = ", ".join(f"{kind} {value / total:.0%}" for kind, value in counter.most_common() if value)
            lines.append(f"- {name}: {parts}")
    lines += [f"- Failed, {len(f.numbers)}: {_plain(f.cause[:200])}" for f in failures(report)[:3]]
    data = ", ".join(f"{name} {text}" for name, text in data_facts(report))
    lines += [f"- Data: {_plain(data)}"] if data else []
    folds = fold_facts(report)
    for row in folds.rows:
        pairs = zip(folds.header, row, strict=True)
        lines.append(f"- {_plain(', '.join(f'{name} {text}' for name, text in pairs))}")
    return lines


def _plain(text: str) -> str:
    """Return text escaped so that Markdown, and HTML within it, show it as it is."""
    escaped = _SPECIAL.sub(lambda match: f"\\{match[0]}", visible(" ".join(text.split())))
    return _REFERENCE.sub(lambda match: match[0] + _JOINER, escaped)


def _code(text: str) -> str:
    return f"<code>{escape(visible(' '.join(text.split())))}</code>"


def _block(lines: list[str]) -> list[str]:
    """Return a block of code whose fence is longer than any fence in it."""
    text = visible("\n".join(lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [fence, text, fence]
