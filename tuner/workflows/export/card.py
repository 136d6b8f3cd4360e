"""Writes the model card: what a model is, its data, its scores, and how to make it again."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.artifacts import layout
from tuner.formatting import duration, in_shell, markdown_table, number, size
from tuner.holdout import Comparison, Final
from tuner.holdout.text import corrected_text, p_text
from tuner.reporting.leaderboard import Row
from tuner.trials.outcomes import Usage
from tuner.trials.package_versions import installed_versions
from tuner.trials.records import Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy
from tuner.workflows.export.fit import Fitted

__all__ = ["Data", "card"]

_PACKAGES = ("rectools-tuner", "rectools", "torch", "pytorch-lightning", "ray", "optuna", "numpy", "pandas")


@dataclass(frozen=True)
class Data:
    """Facts about the data for the card.

    Attributes
    ----------
    described
        Description in one line.
    fingerprint
        Hash of the content.
    same
        Whether the data are the data of the search.
    used
        Which part of the data the model was fitted on.
    folds
        A line for each fold, and one for the holdout.
    notes
        Lines about the features and the items to recommend, such as how numbers were scaled.
    """

    described: str
    fingerprint: str
    same: bool
    used: str
    folds: Sequence[str]
    notes: Sequence[str] = ()


def card(
    stored: StoredStudy,
    row: Row,
    fitted: Fitted,
    data: Data,
    folder: Path,
    *,
    study: Path,
    final: Final | None = None,
) -> str:
    """Return the card of an export in Markdown.

    Parameters
    ----------
    stored, row
        The study, and the trial in it.
    fitted
        The fitted model.
    data
        Facts about the data that it was fitted on.
    folder
        Folder of the export, with all files but the card.
    study
        Folder of the study.
    final
        The study's final judgement.
    """
    sections = [
        _head(stored, row, fitted, data),
        _use(),
        "## Params\n\n```json\n" + json.dumps(fitted.params, indent=2) + "\n```",
        _data(data),
        _scores(stored, row),
        *([_holdout(final, row)] if final is not None else []),
        _search(stored),
        _again(stored, row, fitted, study),
        _files(folder),
    ]
    return "\n\n".join(sections) + "\n"


def _head(stored: StoredStudy, row: Row, fitted: Fitted, data: Data) -> str:
    record = row.record
    trained = f" for {fitted.epochs} epochs" if fitted.epochs else ""
    place = f", rank {row.rank} of {_n_ranked(stored)} complete trials" if row.rank else ""
    lines = [
        f"# {stored.name}: {record.label}",
        "",
        f"Trial {record.number} of the study `{stored.name}`{place}, fitted{trained} with seed {fitted.seed} "
        f"on {data.used}.",
    ]
    if row.breaks:
        lines.append(f"It violates {' and '.join(map(str, row.breaks))}.")
    return "\n".join(lines)


def _n_ranked(stored: StoredStudy) -> int:
    return sum(record.status == TrialStatus.COMPLETE for record in stored.records)


def _use() -> str:
    return """## Use

```
python -m venv .venv && .venv/bin/pip install -r requirements.txt
.venv/bin/python recommend.py --check
.venv/bin/python recommend.py --users-file users.txt -k 10 > recommended.csv
```

`recommend.py --check` makes the recommendations of `sample.csv` again and compares them. From Python, in this
folder:

```python
from recommend import load, recommend

exported = load()
users = exported.dataset.user_id_map.external_ids[:3]
print(recommend(exported, users, k=10))
```

The model recommends from `interactions.parquet`. With `--interactions FILE` it recommends from newer
interactions; the file needs the same columns as the file of the search. `model.pickle` is a pickle file and
can run any code when it is loaded: load it only if you trust its source."""


def _data(data: Data) -> str:
    lines = ["## Data", "", data.described, "", f"Fingerprint: `{data.fingerprint}`"]
    if not data.same:
        lines += [
            "",
            "These are not the data of the search. The scores below are from the data of the search.",
        ]
    told = [*data.notes, *data.folds]
    lines += ["", *(f"- {line}" for line in told)] if told else []
    return "\n".join(lines)


def _scores(stored: StoredStudy, row: Row) -> str:
    summary = row.record.summary
    assert summary is not None, "only complete trials are exported"
    return "\n".join(["## Scores", "", *_validation(stored, summary)])


def _holdout(final: Final, row: Row) -> str:
    """Return the section with the holdout values and their intervals."""
    judged = final.row(row.record.number)
    if judged is None:
        return "## Holdout\n\nThis trial was not judged on the holdout."
    looks = "once" if final.look == 1 else f"{final.look} times"
    header = ["metric", "holdout", "95 % interval", *(f"seed {seed}" for seed in judged.seeds)]
    rows = []
    for label, value in judged.metrics.items():
        at = judged.intervals.get(label)
        bounds = f"{number(at.low)} to {number(at.high)}" if at is not None else ""
        rows.append([label, number(value), bounds, *(number(seed[label]) for seed in judged.by_seed)])
    lines = [
        "## Holdout\n\nThe model was trained on everything before the holdout with "
        f"{len(judged.seeds)} seeds, and judged on the {final.n_users:,} users of the holdout. The holdout "
        f"was looked at {looks}, this time included.",
        "",
        markdown_table(header, rows),
        "",
        f"- {final.objective} on the folds of the search was {number(judged.validation)}, so the optimism "
        f"(validation minus holdout) is {judged.optimism:+.4f}.",
    ]
    others = {"the best baseline": judged.against_baseline, "the winner": judged.against_winner}
    lines += [f"- {_against(name, one)}" for name, one in others.items() if one is not None]
    return "\n".join(lines)


def _against(name: str, one: Comparison) -> str:
    bounds = f"{one.interval.low:+.4f} to {one.interval.high:+.4f}"
    note = "" if one.distinguishable else "; the holdout cannot distinguish them"
    p = f"p {p_text(one)}{corrected_text(one)}"
    return f"Against {name}, trial {one.other}: {one.difference:+.4f} ({bounds}), {p}{note}."


def _validation(stored: StoredStudy, summary: Summary) -> Iterator[str]:
    at = f", at epoch {summary.epoch}" if summary.epochs_run else ""
    yield f"On the folds of the search{at}. The trial was chosen by these values, so they are too optimistic."
    yield ""
    objective = str(stored.facts["objective"])
    labels = [objective, *(label for label in summary.metrics if label != objective)]
    header = ["metric", "mean", *(f"fold {index + 1}" for index in range(len(summary.folds)))]
    rows = [
        [label, number(summary.metrics[label]), *(number(fold[label]) for fold in summary.folds)]
        for label in labels
    ]
    yield markdown_table(header, rows)


def _search(stored: StoredStudy) -> str:
    records = [record for record in stored.records if record.status.is_trained]
    states = Counter(record.status for record in records)
    baselines = sum(record.name is not None for record in records)
    usage = sum((record.usage for record in records), Usage())
    by_state = ", ".join(f"{n} {state}" for state, n in states.most_common())
    gpu = f" and {duration(usage.gpu_seconds)} of GPU time" if usage.gpu_seconds else ""
    return (
        f"## Search\n\n{len(records)} trials, {baselines} of them baselines: {by_state}. "
        f"They used {duration(usage.cpu_seconds)} of CPU time{gpu}."
    )


def _again(stored: StoredStudy, row: Row, fitted: Fitted, study: Path) -> str:
    now, trial = _versions(), f"{in_shell(layout.shown(study))} {row.record.number}"
    names = list(dict.fromkeys([*stored.versions, *now]))
    rows = [[name, stored.versions.get(name, ""), now.get(name, "")] for name in names]
    paths = f" by {', '.join(fitted.fast_paths)}" if fitted.fast_paths else ""
    return "\n".join(
        [
            "## How to make it again",
            "",
            "On the machine with the folder of the study:",
            "",
            f"- `tuner reproduce {trial}` runs the trial again and compares its values.",
            f"- `tuner export {trial} --seed {fitted.seed} --to model` makes this folder.",
            "",
            f"Fitted in {duration(fitted.seconds)} with {fitted.threads} threads, {fitted.precision}{paths}. "
            f"Seeds of the folds: {', '.join(map(str, row.record.seeds))}.",
            "",
            markdown_table(["version", "search", "export"], rows),
        ]
    )


def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version(), **installed_versions(_PACKAGES)}


def _files(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [[str(path.relative_to(folder)), size(path.stat().st_size)] for path in files]
    return "## Files\n\n" + markdown_table(["file", "size"], rows)
