"""Writes the figures of `results/*.json` into benchmarks/README.md and README.md, so that no figure is typed.

    python -m benchmarks.tables

A line `<!-- table NAME -->` begins a table, and `<!-- end -->` ends it. The text between them is replaced.
`<!-- table NAME PART -->` takes only the figures that begin with `PART/`. If `b` is one of the benchmark's
columns, a figure `a/b` is in row `a` and column `b`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS

__all__ = ["TARGETS", "fill", "table"]

PAGES = (Path(__file__).parent / "README.md", Path(__file__).parents[1] / "README.md")
_TABLE = re.compile(r"(<!-- table (\w+)(?: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)

#: Last parts of the names of figures that are columns, by benchmark.
COLUMNS = {
    "step": ("unpadded", "before", "gain", "allocator", "paths", "memory", "spread", "loss_difference"),
    "step_cuda": (
        "tf32",
        "bf16",
        "unpadded",
        "unpadded_tf32",
        "unpadded_bf16",
        "best_ms",
        "memory",
        "gb",
        "spread",
        "loss_difference",
    ),
    "loader": ("beauty", "retail"),
    "study": ("seconds", "trials_per_hour", "cpu_seconds", "peak_gb", "largest_difference"),
    "overhead": ("asked",),
    "verdicts": ("one_seed", "one_search", "three_seeds", "little_noise", "alike"),
    "scaling": ("trials_per_s", "efficiency"),
    "scale": ("x1", "x4", "x16", "x52"),
    "estimates": ("seconds", "memory", "steps"),
    "real_search": ("before", "after"),
    "search_quality": (
        "compute_vs_stock",
        "low",
        "high",
        "compute_vs_stock_p90",
        "low_p90",
        "high_p90",
        "compute_vs_random",
        "compute_vs_random_p90",
        "missed",
        "missed_stock",
        "regret_random",
        "regret_ours",
        "regret_stock",
    ),
}
_STEP_SOFTMAX = {"sasrec": (8.0, 3.5), "bert4rec": (10.0, 4.0), "hstu": (8.0, 3.5), "next_action": (6.0, 3.0)}
#: Milliseconds of a step on an H100 in the fastest way.
_STEP_CUDA = {"BCE": 3.0, "gBCE": 4.0, "sampled_softmax": 4.0}
_STEP_NEGATIVES = (4.0, 3.0)  # on Beauty and on Retail, for gBCE and sampled_softmax
#: Lowest and highest value of the target, by benchmark and figure.
TARGETS = {
    "step": {
        f"{model}/{loss}/{data}": ((softmax if loss == "softmax" else _STEP_NEGATIVES)[at], float("inf"))
        for model, softmax in _STEP_SOFTMAX.items()
        for loss in ("softmax", "gBCE", "sampled_softmax")
        for at, data in enumerate(("beauty", "retail"))
    }
    | {f"{model}/softmax/beauty/memory": (0.0, 0.6) for model in _STEP_SOFTMAX}
    | {
        f"{model}/{loss}/beauty/gain": (softmax if loss == "softmax" else 1.8, float("inf"))
        for model, softmax in (("sasrec", 1.4), ("bert4rec", 1.7))
        for loss in ("softmax", "gBCE", "sampled_softmax")
    },
    "step_cuda": {
        f"{model}/{loss}/synthetic/best_ms": (0.0, most)
        for model, softmax in (("sasrec", 3.0), ("bert4rec", 3.0), ("hstu", 5.0))
        for loss, most in {"softmax": softmax, **_STEP_CUDA}.items()
    }
    | {"packed/best": (1500.0, float("inf"))},
    "study": {"e_over_a": (3.0, float("inf")), "e_over_b": (4.0, float("inf"))},
    "overhead": {"overhead_1s": (0.0, 1.10), "overhead_5s": (0.0, 1.05)},
    "scale": {f"ratio/x{copies}": (4.0, float("inf")) for copies in (1, 4, 16, 52)}
    | {f"memory_ratio/x{copies}": (0.0, 0.5) for copies in (1, 4, 16, 52)}
    | {"last_n_160_s": (0.0, 1.0), "item_bytes": (0.0, 4.0)},
    "scale_store": {
        "trials_per_s": (10.0, float("inf")),
        "slowdown": (0.0, 1.5),
        "leaderboard_s": (0.0, 2.0),
    },
    "search_quality": {
        "retail/compute_vs_random": (0.0, 0.25),
        "retail/compute_vs_random_p90": (0.0, 0.25),
        "retail/compute_vs_stock": (0.0, 0.7),
        "retail/compute_vs_stock_p90": (0.0, 0.7),
        "compute_vs_stock_mean": (0.0, 0.75),
        "compute_vs_stock_p90_mean": (0.0, 0.75),
        "missed": (0.0, 0.01),
    },
    "real_search": {"first_good": (0.0, 0.6), "total": (0.0, 1.0)},
    "report": {"size_mb": (0.0, 10.0), "first_paint_s": (0.0, 3.0)},
    "startup": {"first_report_s": (0.0, 15.0)},
    "beauty_study": {"primary_low": (1e-6, float("inf"))},
    "beauty_record": {"ndcg_at_10": (0.0531, float("inf"))},
    "verdicts": {
        f"{figure}/{kind}": wanted
        for kind in ("one_seed", "one_search", "three_seeds", "little_noise")
        for figure, wanted in (
            ("family_error", (0.0, 0.05)),
            ("coverage", (0.93, 0.97)),
            ("coverage_differences", (0.93, 0.97)),
            ("primary_error", (0.04, 0.06)),
            ("max_t_power", (0.6, 1.0)),
        )
    },
    "estimates": {
        f"{size}/{what}": (0.5, 2.0) for size in ("smallest", "largest") for what in ("seconds", "memory")
    },
}


def main() -> None:
    """Rewrite the pages."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")


def fill(text: str) -> str:
    """Return the text with the new table of each result between its markers."""
    return _TABLE.sub(lambda found: f"{found[1]}{_section(found[2], found[3])}{found[4]}", text)


def _section(name: str, part: str | None) -> str:
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return "Not measured yet.\n"
    result = json.loads(path.read_text(encoding="utf-8"))
    if part is not None:
        figures, begin = result["figures"], f"{part}/"
        result["figures"] = {
            key.removeprefix(begin): figures[key] for key in figures if key.startswith(begin)
        }
    return table(name, result)


def table(name: str, result: Mapping[str, Any]) -> str:
    """Return a result as Markdown: its figures, its targets and its machine."""
    columns = COLUMNS.get(name, ())
    rows: dict[str, dict[str, float]] = {}
    for key, value in result["figures"].items():
        row, _, last = key.rpartition("/")
        row, column = (row, last) if row and last in columns else (key, "")
        rows.setdefault(row, {})[column] = value
    shown = [column for column in ("", *columns) if any(column in row for row in rows.values())]
    lines = [
        f"| figure | {' | '.join(column or 'value' for column in shown)} |",
        f"|---|{'---:|' * len(shown)}",
    ]
    for row, values in rows.items():
        cells = (_shown(values[column]) if column in values else "" for column in shown)
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    words = [f"In words: {result['words']}.", ""] if "words" in result else []
    below = [*words, *_judged(name, result["figures"]), *_rows(result.get("rows", ())), _machine(result)]
    return "\n".join([*lines, "", *below]) + "\n"


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of a result's rows, such as the compared models; empty if it has no rows."""
    if not rows:
        return []
    shown = [key for key, value in rows[0].items() if not isinstance(value, list)]
    numbers = [isinstance(rows[0][key], (int, float)) for key in shown]
    lines = [f"| {' | '.join(key.replace('_', ' ') for key in shown)} |"]
    lines.append(f"|{'|'.join('---:' if one else '---' for one in numbers)}|")
    for row in rows:
        cells = (f"{row[key]:.4f}" if isinstance(row[key], float) else str(row[key]) for key in shown)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _judged(name: str, figures: Mapping[str, float]) -> list[str]:
    """Return a line for each target that was measured."""
    lines = [
        f"- target {_wanted(low, high)} for `{key}`: "
        f"{'met' if low <= figures[key] <= high else 'missed'} with {_shown(figures[key])}"
        for key, (low, high) in TARGETS.get(name, {}).items()
        if key in figures
    ]
    return [*lines, ""] if lines else []


def _wanted(low: float, high: float) -> str:
    if high == float("inf"):
        return f"at least {low:g}"
    return f"{low:g} to {high:g}" if low else f"at most {high:g}"


def _machine(result: Mapping[str, Any]) -> str:
    facts = result["machine"]
    load = f", load {facts['load'][0]:g} at its begin" if "load" in facts else ""
    quick = " A quick run." if result.get("quick") else ""
    settings = "".join(f"; {value} {name}" for name, value in result.get("settings", {}).items())
    gpu = f"{facts['gpu']}, " if "gpu" in facts else ""
    return (
        f"{gpu}{facts['processor']}, {facts['cores']} cores{load}; "
        f"RecTools {facts['rectools']}, torch {facts['torch']}{settings}.{quick}"
    )


def _shown(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:g}"


if __name__ == "__main__":
    main()
