"""Reads interactions: the one reader of the search, the final judgement, exports and `recommend`.

An export holds a copy of this package, so that its `recommend.py` reads newer interactions in the same way.
So these modules import nothing else of rectools-tuner, and each other by relative names.
"""

from .coded import Coded, Codes, by_appearance, counts_of, numbered, present
from .equal import equal_later
from .features import flat_to_wide
from .files import Format, Read, read_columns, text_lines
from .ids import is_missing, like_known
from .interactions import Interactions, guessed, ids_of, read_interactions
from .memory import read_object
from .policy import deduplicated, enough_interactions, frequent, kept
from .repeats import event_hashes, repeated, row_hashes
from .threads import at_once
from .troubles import TableError, Trouble

__all__ = [
    "Coded",
    "Codes",
    "Format",
    "Interactions",
    "Read",
    "TableError",
    "Trouble",
    "at_once",
    "by_appearance",
    "counts_of",
    "deduplicated",
    "enough_interactions",
    "equal_later",
    "event_hashes",
    "flat_to_wide",
    "frequent",
    "guessed",
    "ids_of",
    "is_missing",
    "kept",
    "like_known",
    "numbered",
    "present",
    "read_columns",
    "read_interactions",
    "read_object",
    "repeated",
    "row_hashes",
    "text_lines",
]
