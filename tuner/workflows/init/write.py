"""Writes a commented study for an inspected file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rectools import Columns

from tuner.data.reading.times import doubt_of
from tuner.workflows.init.columns import Guess
from tuner.workflows.init.dialect import Finding
from tuner.workflows.init.folds import HOLDOUT, N_FOLDS
from tuner.workflows.init.inspect import FEW_REPEATS, Inspection

__all__ = ["doubts", "findings", "study_text"]

#: EASE inverts a matrix of items by items. With more items than this it needs over 7 GB.
MOST_ITEMS_OF_EASE = 30_000
#: Largest number of interactions for which these numbers of factors are proposed.
_FACTORS = ((100_000, "[32, 64]"), (2_000_000, "[64, 128]"))
_LENGTHS = (25, 50, 100, 200)
#: Share of interactions without an order of their own from which the user should know.
_MANY_AT_ONCE = 0.05


def findings(found: Inspection) -> Iterator[Finding]:
    """Yield how the file is written, and how sure that is."""
    yield from found.written.findings
    kind, *others = found.guesses.kinds
    times = found.source.interactions[Columns.Datetime]
    why = f"the times are then {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}"
    if others:
        why += f"; it could be {' or '.join(map(_format, others))}"
    doubt = doubt_of(times.to_numpy(), kind)
    if doubt is not None:
        why += f", {doubt}"
    yield Finding(f"time {_format(kind)}", why, sure=not others and doubt is None)


def doubts(found: Inspection) -> Iterator[str]:
    """Yield the points that the file leaves open and that the user should check."""
    yield from found.source.warnings
    guesses = found.guesses
    for role, guess in (("user", guesses.user), ("item", guesses.item), ("datetime", guesses.datetime)):
        if guess.others:
            yield f"{role} is {guess.column} ({guess.how}); it could be {' or '.join(guess.others)}"
    if guesses.weight is not None:
        yield f"{guesses.weight.column} could be the weight of an interaction; without it, each weighs 1"
    if found.source.duplicates:
        yield (
            f"{found.source.duplicates:,} rows have the same user, item and time as another row. "
            "They are kept; `duplicates` changes this"
        )
    if found.clock is not None:
        yield (
            f"{guesses.datetime.column} has days alone, and {found.clock} may be the time of day: join both "
            "into one column to keep the order within a day"
        )
    if found.same_time >= _MANY_AT_ONCE:
        yield (
            f"{found.same_time:.0%} of interactions have the same user and time as another. Their order is "
            "that of their rows in the file"
        )
    if found.filter_viewed and found.repeats >= FEW_REPEATS:
        yield (
            f"{found.repeats:.1%} of interactions are with an item that the user had before. Such items are "
            "not recommended; `filter_viewed` changes this"
        )


def study_text(found: Inspection) -> str:
    """Return a study as YAML, with the findings as comments."""
    sections = [_head(found), _data(found), _folds(found), _metrics(), _space(found), _budget(found)]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(found: Inspection) -> Iterator[str]:
    yield "# `tuner init` wrote this study for the data below. Check the comments, then run"
    yield "#     tuner check THIS_FILE"
    yield "#     tuner run THIS_FILE"
    yield f"study: {_text(found.name)}"


def _data(found: Inspection) -> Iterator[str]:
    guesses = found.guesses
    yield f"# {found.source.describe('keep')}."
    yield "# Columns of the file:"
    yield from (f"#   {_comment(line)}" for line in found.columns)
    yield "data:"
    yield f"  interactions: {_text(found.path)}"
    if found.written.settings:
        settings = ", ".join(f"{key}: {json.dumps(value)}" for key, value in found.written.settings.items())
        yield from (f"  # {_comment(str(finding))}" for finding in found.written.findings)
        yield f"  format: {{{settings}}}"
    yield "  columns:"
    for role, guess in (("user", guesses.user), ("item", guesses.item), ("datetime", guesses.datetime)):
        yield f"    {role}: {_text(guess.column)}{_how(guess)}"
    if guesses.weight is not None:
        yield f"    # weight: {_text(guesses.weight.column)}    # without it, each interaction weighs 1"
    *_, time = findings(found)
    yield f"  datetime: {_format(guesses.kind)}    # {_comment(str(time).partition(': ')[2])}"
    if found.source.duplicates:
        yield f"  # {found.source.duplicates:,} rows have the same user, item and time as another row."
        yield "  # They may be errors (drop_exact) or real (keep)."
    yield "  duplicates: keep"
    if found.rare_items:
        yield f"  # {found.rare_items:,} of {found.n_items:,} items have fewer than 5 interactions. If you"
        yield "  # leave them out, the search is faster, but they are never recommended:"
        yield "  # min_item_interactions: 5"


def _folds(found: Inspection) -> Iterator[str]:
    yield from (f"# {reason}." for reason in found.folds.reasons)
    yield "folds:"
    yield f"  split: {found.folds.split}"
    yield f"  size: {found.folds.size}"
    yield f"  n_folds: {N_FOLDS}"
    yield f"  holdout: {HOLDOUT}                # the newest fold; the search never reads it"
    yield f"  # {found.repeats:.1%} of interactions are with an item that the user had before."
    new = (
        "recommend only items that are new to the user" if found.filter_viewed else "users come back to items"
    )
    yield f"  filter_viewed: {str(found.filter_viewed).lower()}       # {new}"


def _metrics() -> Iterator[str]:
    yield "metrics:"
    yield "  objective: {NDCG@10: {divide_by_achievable: true}}"
    yield "  direction: maximize"
    yield "  report: [HitRate@10, MAP@10, Serendipity@10, CoveredUsers@10, Intersection@10]"
    yield "  reference: popular        # the baseline that Intersection compares with"


def _space(found: Inspection) -> Iterator[str]:
    median, most = found.history
    length = next((length for length in _LENGTHS if length >= most), _LENGTHS[-1])
    n_rows = len(found.source.interactions)
    factors = next((factors for limit, factors in _FACTORS if n_rows <= limit), "[128, 256]")
    yield f"# Half of the users have at most {median:,} interactions, and 90 % of them have at most {most:,}."
    yield "space:"
    yield "  use: search_spaces.guide  # SASRec, BERT4Rec, ALBERT, next action; or your own space"
    yield "  set:"
    yield f"    session_max_len: {length}"
    yield f"    n_factors: {factors}"
    yield ""
    yield "baselines:                  # these run first; the search should beat them"
    yield "  - popular"
    if found.n_items <= MOST_ITEMS_OF_EASE:
        yield "  - ease"
    else:
        yield f"  # - ease                  # with {found.n_items:,} items its matrix needs much memory"
    yield from ("  - ials", "  - sasrec", "  - next_action_unidirectional", "  - alsasrec")


def _budget(found: Inspection) -> Iterator[str]:
    yield "search: {trials: 40, seed: 60}    # baselines come on top; time_budget: 6h would end it earlier"
    yield "training: {epochs: 20, evaluate_every: 2, patience: 3}"
    if found.gpus:
        yield f"# This machine has {found.gpus} GPU{'s' if found.gpus > 1 else ''} and {found.cpus} CPUs."
        yield "resources: {cpus_per_trial: 2, gpus_per_trial: auto}"
    else:
        yield f"# This machine has {found.cpus} CPUs and no GPU. One CPU for each trial is fastest."
        yield "resources: {cpus_per_trial: 1}"


def _format(kind: str) -> str:
    return json.dumps(kind) if "%" in kind else kind


def _how(guess: Guess) -> str:
    others = f"; could also be {' or '.join(guess.others)}" if guess.others else ""
    return f"    # {_comment(guess.how)}{_comment(others)}"


def _text(value: str) -> str:
    """Return text as a YAML value, in quotes if necessary."""
    return (
        value
        if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in _WORDS
        else json.dumps(value)
    )


#: Words that YAML does not read as text.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"})


def _comment(text: str) -> str:
    """Return text from the file on one line."""
    return " ".join(text.split())
