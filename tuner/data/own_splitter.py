"""Folds by a splitter of the user's own: it splits all interactions at once, the oldest fold first.

The last `holdout` folds are the holdout. The search uses what the first of them is trained on.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rectools.model_selection import Splitter
from rectools.utils.misc import import_object

from tuner.config import Folds
from tuner.data.reading import Coded
from tuner.data.table import appeared, internal
from tuner.errors import DataError, Problem, did_you_mean
from tuner.space.imports import import_problem

__all__ = ["Split", "own_splits", "own_splitter", "rows_before_holdout", "splitter_class", "tested_last"]

Rows = NDArray[np.int64]
#: Train rows, test rows and facts of a fold.
Split = tuple[Rows, Rows, dict[str, Any]]
_FILTERS = {
    "filter_cold_users": "filter_cold_users",
    "filter_cold_items": "filter_cold_items",
    "filter_already_seen": "filter_viewed",
}


def own_splitter(folds: Folds) -> Splitter:
    """Return the study's own splitter, with the filters of the section `folds`.

    Raises
    ------
    DataError
        If it cannot be imported or made.
    """
    section = folds.splitter
    assert section is not None, "asked for a study with a splitter"
    made = splitter_class(section.use)
    accepted = inspect.signature(made).parameters
    filters = {name: getattr(folds, key) for name, key in _FILTERS.items()}
    given = {name: value for name, value in filters.items() if name in accepted} | section.options
    if "n_splits" in accepted:
        given.setdefault("n_splits", folds.n_folds + folds.holdout)
    _refuse_unknown(section.use, given, accepted)
    try:
        splitter = made(**given)
    except Exception as error:
        raise _failed(section.use, "be made", error) from error
    for name, value in filters.items():
        setattr(splitter, name, value)
    return splitter


def splitter_class(path: str) -> type[Splitter]:
    """Return the class at an import path.

    Raises
    ------
    DataError
        If it cannot be imported, or is no splitter.
    """
    try:
        found = import_object(path)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise DataError("folds", [import_problem("folds.splitter", path, error)]) from error
    own = "_split_without_filter"
    if not (isinstance(found, type) and issubclass(found, Splitter)):
        rule = f"must be a subclass of RecTools' Splitter, but {path!r} is not"
        hint = "let the class inherit from rectools.model_selection.Splitter"
    elif getattr(found, own) is getattr(Splitter, own):
        rule = f"must define {own}, as RecTools' splitters do, but {path!r} does not"
        hint = "let it yield train rows, test rows and a dict for each fold, the oldest first"
    else:
        return found
    raise DataError("folds", [Problem("folds.splitter", rule, hint)])


def _refuse_unknown(path: str, given: dict[str, Any], accepted: Any) -> None:  # noqa: ANN401  # inspect's mapping
    if any(one.kind is one.VAR_KEYWORD for one in accepted.values()):
        return
    problems = [
        Problem(
            f"folds.{name}",
            f"must be a key of the section or an argument of {path}, but is neither",
            did_you_mean(name, [*accepted, *Folds.model_fields]),
        )
        for name in given
        if name not in accepted
    ]
    missing = [
        name
        for name, one in accepted.items()
        if one.default is one.empty
        and one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}
        and name not in given
    ]
    problems += [
        Problem(f"folds.{name}", f"must be given to {path}, but is missing", f"add `{name}: ...` to `folds`")
        for name in missing
    ]
    if problems:
        raise DataError("folds", problems)


def _failed(path: str, what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:300]
    rule = f"must {what} without an error, but {path} raises {type(error).__name__}: {reason}"
    return DataError("folds", [Problem("folds.splitter", rule)])


def own_splits(interactions: Coded, folds: Folds) -> list[Split]:
    """Return the folds of the study's own splitter, without its filters; the last ones are the holdout.

    Raises
    ------
    DataError
        If the splitter fails, or its folds cannot be used.
    """
    splitter = own_splitter(folds)
    path = type(splitter).__name__
    rows = internal(appeared(interactions))
    try:
        found = [
            (np.asarray(train), np.asarray(test), dict(facts))
            for train, test, facts in splitter._split_without_filter(rows, collect_fold_stats=True)  # noqa: SLF001  # RecTools' hook for splitters
        ]
    except Exception as error:
        raise _failed(path, "split the interactions", error) from error
    problem = _wrong(found, len(interactions), folds, path)
    if problem is not None:
        raise DataError("folds", [problem])
    return found


def _wrong(splits: list[Split], n_rows: int, folds: Folds, path: str) -> Problem | None:
    """Return the first problem of folds, or None."""
    wanted = folds.n_folds + folds.holdout
    if len(splits) != wanted:
        rule = f"must yield n_folds + holdout = {wanted} folds, but {path} yields {len(splits)}"
        return Problem("folds.n_folds", rule, f"set `n_folds: {max(1, len(splits) - folds.holdout)}`")
    for number, (train, test, _) in enumerate(splits, 1):
        where = f"folds, fold {number}"
        if not len(train) or not len(test):
            side = "train" if not len(train) else "test"
            return Problem(where, f"must have train and test rows, but {path} yields no {side} rows")
        others = [part.dtype for part in (train, test) if part.dtype.kind not in "iu"]
        if others:
            rule = f"must have numbers of rows, as integers, but {path} yields {others[0]}"
            return Problem(where, rule, "np.flatnonzero(mask) gives the numbers of a mask's rows")
        both = np.concatenate([train, test])
        if len(both) and not (both.min() >= 0 and both.max() < n_rows):
            rule = f"must have rows from 0 to {n_rows - 1:,}, but {path} yields others"
            return Problem(
                where, rule, "np.flatnonzero(mask) gives places in the table, not labels of its index"
            )
        if len(np.unique(both)) < len(both):
            rule = f"must have each row once, in train or in test, but {path} repeats some"
            return Problem(where, rule, "a row in both would be known before it is predicted")
    return _reads_holdout(splits, n_rows, folds, path)


def _reads_holdout(splits: list[Split], n_rows: int, folds: Folds, path: str) -> Problem | None:
    """Refuse folds of the search with rows that the first fold of the holdout is not trained on."""
    before = rows_before_holdout(splits, n_rows, folds)
    for number, (train, test, _) in enumerate(splits[: folds.n_folds], 1):
        n_outside = int((~before[np.concatenate([train, test])]).sum())
        if n_outside:
            rule = f"must have rows that the holdout is trained on, but {n_outside:,} of {path} are others"
            hint = "yield the oldest fold first, each trained on the rows of the folds before it"
            return Problem(f"folds, fold {number}", rule, hint)
    return None


def rows_before_holdout(splits: list[Split], n_rows: int, folds: Folds) -> NDArray[np.bool_]:
    """Mark the rows that the search may use: those on which the first fold of the holdout is trained."""
    if folds.holdout == 0:
        return np.ones(n_rows, dtype=bool)
    before = np.zeros(n_rows, dtype=bool)
    before[splits[folds.n_folds][0]] = True
    return before


def tested_last(splits: list[Split], n_rows: int, folds: Folds) -> NDArray[np.bool_]:
    """Mark the rows that the folds of the holdout test, but for those that the search may use."""
    tested = np.zeros(n_rows, dtype=bool)
    for _, test, _ in splits[folds.n_folds :]:
        tested[test] = True
    return tested & ~rows_before_holdout(splits, n_rows, folds)
