"""The report in a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from tuner.reporting.html.answer import answer
from tuner.reporting.html.facts import data_facts, failures, fold_facts, reproduction
from tuner.reporting.html.figures.cost import shares
from tuner.reporting.html.figures.importances import weigh
from tuner.reporting.html.material import Material
from tuner.reporting.html.table import table

__all__ = ["markdown"]

#: Rows of the leaderboard.
TOP = 10
#: What Markdown would take as more than text; an underscore within a word is none.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)|^[#+-]")
#: What a forge would take as a mention or the number of an issue.
_REFERENCE = re.compile(r"(?<!\w)[@#](?=\w)")
#: Joins words without width: the two sides of it are no reference.
_JOINER = "\u2060"


def markdown(material: Material) -> str:
    """Return the answer, the first rows, what mattered, what it cost and how to run it again."""
    found = answer(material)
    lines = [f"## {_plain(material.stored.name)}: {_plain(found.title or 'no result yet')}", ""]
    lines += [f"**{_plain(found.verdict)}**", ""]
    if found.chosen:
        lines += [_code(found.chosen), ""]
    for tile in found.tiles:
        note = f" ({_plain(tile.note)})" if tile.note else ""
        lines.append(f"- {_plain(tile.label)}: **{_plain(tile.value)}**{note}")
    lines += ["", *(f"> {_plain(note.replace('`', ''))}" for note in found.notes), ""]
    lines += _rows(material)
    lines += _facts(material)
    lines += [
        "",
        "<details><summary>Reproduce</summary>",
        "",
        *_block(reproduction(material)),
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _rows(material: Material) -> list[str]:
    board = table(material)
    header = ["rank", "model", *board.header, "what distinguishes it"]
    lines = []
    for line in board.lines[:TOP]:
        rank = "" if line.rank is None else str(line.rank)
        lines.append([rank, line.label, *(cell.text for cell in line.cells), line.differs])
    used = [index for index in range(len(header)) if any(line[index] for line in lines)]
    if not lines:
        return []
    shown = [[line[index] for index in used] for line in [header, *lines]]
    rule = [
        "---" if header[index] in {"model", "status", "what distinguishes it"} else "---:" for index in used
    ]
    more = len(board.lines) - len(lines)
    return [
        *(_row(map(_plain, shown[0])), _row(rule)),
        *(_row(map(_plain, line)) for line in shown[1:]),
        *([f"\nand {more} more"] if more > 0 else []),
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _facts(material: Material) -> list[str]:
    lines = [""]
    weights = weigh(material)
    if weights.shares:
        first = ", ".join(f"{_plain(name)} {share:.0%}" for name, share in list(weights.shares.items())[:5])
        lines.append(f"- What decided (PED-ANOVA over {weights.n_trials} trials): {first}")
    for name, counter in shares(material).items():
        if name != "trials":
            total = counter.total()
            parts = ", ".join(f"{kind} {value / total:.0%}" for kind, value in counter.most_common() if value)
            lines.append(f"- {name}: {parts}")
    lines += [f"- Failed, {len(f.numbers)}: {_plain(f.cause[:200])}" for f in failures(material)[:3]]
    data = ", ".join(f"{name} {text}" for name, text in data_facts(material))
    lines += [f"- Data: {_plain(data)}"] if data else []
    folds = fold_facts(material)
    for row in folds.rows:
        pairs = zip(folds.header, row, strict=True)
        lines.append(f"- {_plain(', '.join(f'{name} {text}' for name, text in pairs))}")
    return lines


def _plain(text: str) -> str:
    """Return text that Markdown, and HTML within it, take as text."""
    words = _SPECIAL.sub(lambda match: f"\\{match[0]}", " ".join(text.split()))
    return _REFERENCE.sub(lambda match: match[0] + _JOINER, words)


def _code(text: str) -> str:
    return f"<code>{escape(' '.join(text.split()))}</code>"


def _block(lines: list[str]) -> list[str]:
    """Return a block of code whose fence is longer than any in it."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [fence, text, fence]
