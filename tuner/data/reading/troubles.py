"""What can be wrong with a table: the rule, the value that breaks it, and the cure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "OBJECT_A_ROW",
    "Mask",
    "TableError",
    "Trouble",
    "cure_of_objects",
    "example",
    "first_line",
    "plain",
    "type_name",
]

Mask = NDArray[np.bool_]

#: How JSON has to be written.
OBJECT_A_ROW = "write one object a row, as pandas' to_json(orient='records', lines=True) does"
#: Characters of a value that a message shows.
_SHOWN = 80


@dataclass(frozen=True)
class Trouble:
    """One problem with a table.

    Attributes
    ----------
    where
        The role of the column (user, item, datetime, weight); empty for the file.
    rule
        The rule, then what violates it.
    hint
        How to solve the problem.
    """

    where: str
    rule: str
    hint: str | None = None


class TableError(ValueError):
    """A file cannot be read as a table."""

    def __init__(self, rule: str, hint: str | None = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.hint = hint


def example(columns: dict[str, pa.ChunkedArray], bad: Mask) -> str:
    """Count the bad rows and show the first of them as the file has it."""
    row = int(np.flatnonzero(bad)[0])
    values = {name: shown(plain(column[row])) for name, column in columns.items()}
    return f"{int(bad.sum()):,} of {len(bad):,} rows; the first is row {row + 1}: {values}"


def plain(value: pa.Scalar) -> object:
    """Return a value as Python has it; one that Python cannot hold as the number that stores it."""
    try:
        return value.as_py()
    except (OverflowError, ValueError, pa.ArrowException):
        return getattr(value, "value", None)


def shown(value: object) -> object:
    """Return a value short enough for a message."""
    return value[:_SHOWN] + "..." if isinstance(value, str) and len(value) > _SHOWN else value


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type, for people."""
    return str(kind).split("<", maxsplit=1)[0] if pa.types.is_nested(kind) else str(kind)


def cure_of_objects(kind: pa.StructType) -> str:
    """Say what to do about a column that holds objects."""
    names = [kind.field(at).name for at in range(kind.num_fields)]
    if names and all(name.isdecimal() for name in names):
        return OBJECT_A_ROW
    if any(name.startswith("$") for name in names):
        return f"store the value itself, in place of MongoDB's {{{names[0]}: ...}}"
    return "flatten them, as pandas.json_normalize does"
