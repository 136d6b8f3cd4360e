"""Writes a commented study for what was found in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tuner.workflows.init.columns import Guess
from tuner.workflows.init.folds import HOLDOUT, N_FOLDS
from tuner.workflows.init.inspect import FEW_REPEATS, Look

__all__ = ["doubts", "study_text"]

#: EASE inverts a matrix of items by items: with more it needs over 7 GB.
MOST_ITEMS_OF_EASE = 30_000
#: Interactions up to which embeddings of so many factors are worth trying.
_FACTORS = ((100_000, "[32, 64]"), (2_000_000, "[64, 128]"))
_LENGTHS = (25, 50, 100, 200)


def doubts(look: Look) -> Iterator[str]:
    """Yield what the file does not tell, and the user had better look at."""
    guesses = look.guesses
    for role, guess in (("user", guesses.user), ("item", guesses.item), ("datetime", guesses.datetime)):
        if guess.others:
            yield f"{role} is {guess.column} ({guess.how}); it could be {' or '.join(guess.others)}"
    if guesses.weight is not None:
        yield f"{guesses.weight.column} could be the weight of an interaction; without, each weighs 1"
    if look.source.duplicates:
        yield (
            f"{look.source.duplicates:,} rows repeat a user, item and time; they are kept: see `duplicates`"
        )
    if look.filter_viewed and look.repeats >= FEW_REPEATS:
        yield (
            f"{look.repeats:.1%} of interactions are with an item that the user had before; they are taken "
            "to be of no interest: see `filter_viewed`"
        )


def study_text(look: Look) -> str:
    """Return a study as YAML, with what was found as comments."""
    sections = [_head(look), _data(look), _folds(look), _metrics(), _space(look), _budget(look)]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(look: Look) -> Iterator[str]:
    yield "# Written by `tuner init` after a look at the data. Check what is said here, then run"
    yield "#     tuner check THIS_FILE"
    yield "#     tuner run THIS_FILE"
    yield f"study: {_text(look.name)}"


def _data(look: Look) -> Iterator[str]:
    guesses = look.guesses
    yield f"# {look.source.describe('keep')}."
    yield "# Columns of the file:"
    yield from (f"#   {_comment(line)}" for line in look.columns)
    yield "data:"
    yield f"  interactions: {_text(look.path)}"
    yield "  columns:"
    for role, guess in (("user", guesses.user), ("item", guesses.item), ("datetime", guesses.datetime)):
        yield f"    {role}: {_text(guess.column)}{_how(guess)}"
    if guesses.weight is not None:
        yield f"    # weight: {_text(guesses.weight.column)}    # without it, each interaction weighs 1"
    yield f"  datetime: {guesses.kind}"
    if look.source.duplicates:
        yield f"  # {look.source.duplicates:,} rows repeat the user, item and time of another. They may be"
        yield "  # errors (drop_exact), or part of the story (keep)."
    yield "  duplicates: keep"
    if look.rare_items:
        yield f"  # {look.rare_items:,} of {look.n_items:,} items have fewer than 5 interactions. Without"
        yield "  # them a search is faster, and they are not recommended:"
        yield "  # min_item_interactions: 5"


def _folds(look: Look) -> Iterator[str]:
    yield from (f"# {reason}." for reason in look.folds.reasons)
    yield "folds:"
    yield f"  split: {look.folds.split}"
    yield f"  size: {look.folds.size}"
    yield f"  n_folds: {N_FOLDS}"
    yield f"  holdout: {HOLDOUT}                # the newest fold, which no trial sees"
    yield f"  # {look.repeats:.1%} of interactions are with an item that the user had before."
    new = "only items new to the user are recommended" if look.filter_viewed else "users come back to items"
    yield f"  filter_viewed: {str(look.filter_viewed).lower()}       # {new}"


def _metrics() -> Iterator[str]:
    yield "metrics:"
    yield "  objective: {NDCG@10: {divide_by_achievable: true}}"
    yield "  direction: maximize"
    yield "  report: [HitRate@10, MAP@10, Serendipity@10, CoveredUsers@10, Intersection@10]"
    yield "  reference: popular        # what Intersection and the reader compare with"


def _space(look: Look) -> Iterator[str]:
    median, most = look.history
    length = next((length for length in _LENGTHS if length >= most), _LENGTHS[-1])
    n_rows = len(look.source.interactions)
    factors = next((factors for limit, factors in _FACTORS if n_rows <= limit), "[128, 256]")
    yield f"# A user has {median:,} interactions in the median, and nine of ten have at most {most:,}."
    yield "space:"
    yield "  use: search_spaces.guide  # SASRec, BERT4Rec, ALBERT, next action; or a space of your own"
    yield "  set:"
    yield f"    session_max_len: {length}"
    yield f"    n_factors: {factors}"
    yield ""
    yield "baselines:                  # run first, to compare with"
    yield "  - popular"
    if look.n_items <= MOST_ITEMS_OF_EASE:
        yield "  - ease"
    else:
        yield f"  # - ease                  # with {look.n_items:,} items its matrix would need much memory"
    yield from ("  - ials", "  - sasrec", "  - next_action_unidirectional", "  - alsasrec")


def _budget(look: Look) -> Iterator[str]:
    yield "search: {trials: 40, seed: 60}    # baselines come on top; time_budget: 6h would end it earlier"
    yield "training: {epochs: 20, evaluate_every: 2, patience: 3}"
    if look.gpus:
        yield f"# This machine has {look.gpus} GPU{'s' if look.gpus > 1 else ''} and {look.cpus} CPUs."
        yield "resources: {cpus_per_trial: 2, gpus_per_trial: auto}"
    else:
        yield f"# This machine has {look.cpus} CPUs and no GPU. Trials of one CPU each are fastest together."
        yield "resources: {cpus_per_trial: 1}"


def _how(guess: Guess) -> str:
    others = f"; or is it {' or '.join(guess.others)}?" if guess.others else ""
    return f"    # {_comment(guess.how)}{_comment(others)}"


def _text(value: str) -> str:
    """Return text as YAML: plain where it is safe, else in quotes."""
    return (
        value
        if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in _WORDS
        else json.dumps(value)
    )


#: Words that YAML reads as something else than text.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"})


def _comment(text: str) -> str:
    """Keep text of the file within its line."""
    return " ".join(text.split())
