"""Reads interactions: the one reader of the search, the final judgement, exports and `recommend`.

An export holds a copy of this package, so that its `recommend.py` reads newer interactions in the same way.
So these modules import nothing else of rectools-tuner, and each other by relative names.
"""

from .features import feature_arguments
from .files import Format, Read, read_columns, text_lines
from .ids import is_missing, like_known
from .interactions import Interactions, guessed, ids_of, read_interactions
from .memory import read_object
from .policy import deduplicated, enough_interactions
from .troubles import TableError, Trouble

__all__ = [
    "Format",
    "Interactions",
    "Read",
    "TableError",
    "Trouble",
    "deduplicated",
    "enough_interactions",
    "feature_arguments",
    "guessed",
    "ids_of",
    "is_missing",
    "like_known",
    "read_columns",
    "read_interactions",
    "read_object",
    "text_lines",
]
