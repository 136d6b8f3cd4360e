"""Files of other kinds: what they are, by their first bytes or the ending of their name, and what to do."""

from __future__ import annotations

from .troubles import TableError

__all__ = ["BEGIN", "refuse_ending", "refuse_foreign"]

#: Number of first bytes of a file that tell its kind.
BEGIN = 512
_SAVE, _UNPACK = "save it as CSV or Parquet", "unpack it"
#: First bytes, what they tell, and the cure.
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive or an Excel file", f"{_UNPACK}, or {_SAVE}"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", _SAVE),
    b"\xfd7zXZ": ("compressed by xz", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!": ("a rar archive", _UNPACK),
    b"\x89HDF": ("HDF5", _SAVE),
    b"ORC": ("ORC", _SAVE),
    b"Obj\x01": ("Avro", _SAVE),
    b"SQLite format 3": ("a SQLite database", _SAVE),
    b"\x93NUMPY": ("an array of NumPy", _SAVE),
    **dict.fromkeys((b"RDX2\n", b"RDX3\n"), ("a file of R", _SAVE)),
    b"%PDF": ("a PDF", _SAVE),
    b"<?xml": ("XML", _SAVE),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run `git lfs pull`"),
    **{b"\x80" + bytes([version]): ("a pickle", _SAVE) for version in range(2, 6)},
    **dict.fromkeys((b"<!doctype", b"<html"), ("a web page", "download the data themselves")),
}
_ENDINGS = {
    **dict.fromkeys((".zip", ".xz", ".tar", ".tgz", ".7z", ".rar"), _UNPACK),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".h5", ".hdf5", ".orc", ".avro", ".pkl", ".pickle"), _SAVE),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".npy", ".npz", ".rds", ".rdata", ".sav", ".dta"), _SAVE),
}
_CAN_READ = "text (.csv, .tsv, .txt, .dat, .inter), .jsonl, .parquet or .feather"


def refuse_ending(path: str, ending: str) -> None:
    """Refuse a file whose name ends as those of another kind.

    Raises
    ------
    TableError
        If it does.
    """
    if ending in _ENDINGS:
        raise TableError(f"must be {_CAN_READ}, but got {path!r}", _ENDINGS[ending])


def refuse_foreign(path: str, head: bytes) -> None:
    """Refuse a file that begins as those of another kind.

    Raises
    ------
    TableError
        If it does.
    """
    for begin, (what, cure) in _FOREIGN.items():
        if begin == b"ORC" and head.isascii():  # a name in a header, such as ORCID
            continue
        if head.startswith(begin) or head[: len(begin)].lower() == begin:
            raise TableError(f"must be {_CAN_READ}, but {path!r} is {what}", cure)
    if head[257:262] == b"ustar":
        raise TableError(f"must be {_CAN_READ}, but {path!r} is a tar archive", _UNPACK)
