"""Prints a table in Markdown with the guide's figures and the values that a study found for the same rows.

    python -m benchmarks.guide_table studies/kion
    python -m benchmarks.guide_table studies/beauty --to beauty     writes the table into docs/guide.md

For KION the table has the guide's figures and the study's. For any other study the guide has no figures, and
the table has the row of the best trial instead.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from tuner.formatting import number
from tuner.reporting.leaderboard import Leaderboard, Row, load_leaderboard
from tuner.store import read_records
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy

__all__ = ["GUIDE", "PAGE", "fill", "table"]

PAGE = Path(__file__).parents[1] / "docs" / "guide.md"
METRICS = ("HitRate@10", "MAP@10")
#: The figures of the guide's notebook on KION: HitRate@10 and MAP@10 by row.
GUIDE: Mapping[str, tuple[float, float]] = {
    "popular": (0.274365, 0.080114),
    "sasrec": (0.316917, 0.092236),
    "next_action_bidirectional": (0.347769, 0.099488),
    "next_action_unidirectional": (0.342954, 0.100581),
    "albert": (0.332552, 0.095702),
    "alsasrec": (0.346951, 0.098554),
    "sasrec_albert_layers": (0.347487, 0.100079),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("--to", metavar="NAME", help="replace the table with this name in docs/guide.md")
    arguments = parser.parse_args()
    text = table(load_leaderboard(arguments.study), guide=arguments.study.name == "kion")
    stored = read_records(arguments.study, curves=False)
    text += f"\n{_facts(stored)}"
    if arguments.to is None:
        print(text)
    else:
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), arguments.to, text), encoding="utf-8")
        print(PAGE)


def fill(page: str, name: str, text: str) -> str:
    """Return the page with a text in place of the table between its markers.

    Raises
    ------
    SystemExit
        If the page has no such table.
    """
    pattern = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    filled, n = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if n != 1:
        raise SystemExit(f"docs/guide.md must have one line <!-- table {name} -->, but has {n} of them")
    return filled


def table(board: Leaderboard, *, guide: bool) -> str:
    """Return the guide's rows of a leaderboard, and the best trial if the guide has no figures."""
    by_name = {row.record.name: row for row in board.rows if row.record.name is not None}
    rows: dict[str, Row | None] = {f"`{name}`": by_name.get(name) for name in GUIDE}
    if guide:
        header = ["row", *(f"guide {label}" for label in METRICS), *(f"yours {label}" for label in METRICS)]
        lines = [
            [name, *map(number, GUIDE[name.strip("`")]), *_cells(row, METRICS)] for name, row in rows.items()
        ]
    else:
        extra = {f"`{name}`": row for name, row in by_name.items() if name not in GUIDE}
        best = board.best
        if best is not None and best.record.name is None:
            extra[f"best of the search, trial {best.record.number}"] = best
        labels = [board.objective, *(label for label in METRICS if label != board.objective)]
        header = ["row", *labels]
        lines = [[name, *_cells(row, labels)] for name, row in (rows | extra).items()]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def _cells(row: Row | None, labels: tuple[str, ...] | list[str]) -> list[str]:
    return [number(row.metrics.get(label)) if row is not None else "" for label in labels]


def _facts(stored: StoredStudy) -> str:
    """Return a line about the study and the versions behind the figures."""
    rectools = stored.versions.get("rectools", "?")
    ended = sum(record.status == TrialStatus.COMPLETE for record in stored.records)
    stopped = sum(record.status == TrialStatus.STOPPED for record in stored.records)
    return (
        f"\nStudy `{stored.name}`: {ended} complete trials and {stopped} stopped early; means over folds "
        f"at the epoch of each, objective {stored.facts['objective']}; RecTools {rectools}."
    )


if __name__ == "__main__":
    main()
