"""Writes the report of a study where a person wants it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TextIO

from tuner.artifacts import layout
from tuner.errors import Problem, StoreError
from tuner.errors.caller import argument
from tuner.reporting import html

__all__ = ["Written", "write_report"]


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Attributes
    ----------
    path
        Its file; None if it was written to an open file.
    figures
        Files of figures.
    """

    path: Path | None
    figures: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        shown = escape(layout.shown(self.path.resolve())) if self.path is not None else ""
        return f'<a href="{shown}" target="_blank">{shown}</a>'


#: Whether a file is in Markdown, by the ending of its name; one without an ending may be either.
_ENDINGS = {".md": True, ".markdown": True, ".html": False, ".htm": False, "": None}


def write_report(
    folder: Path, to: Path | TextIO | None, *, markdown: bool | None, figures: Path | None
) -> Written:
    """Write the report of a study; see `tuner.report`.

    Raises
    ------
    StoreError
        If there is no such study, a file cannot be written, or its name ends as one of another format.
    """
    markdown = _in_markdown(to, markdown)
    data = html.gather(folder)
    path = to
    if path is None:
        path = folder / (layout.REPORT_TEXT if markdown else layout.REPORT)
    text = html.markdown(data) if markdown else html.page(data)
    if isinstance(path, Path):
        _write(path, text)
    else:
        path.write(text)
    drawn = html.write_figures(data, figures) if figures is not None else []
    return Written(path if isinstance(path, Path) else None, tuple(drawn))


def _in_markdown(to: Path | TextIO | None, asked: bool | None) -> bool:
    """Return whether a report is in Markdown: as it was asked for, or by the ending of the file's name."""
    by_name = _ENDINGS.get(to.suffix.lower(), ...) if isinstance(to, Path) else None
    if by_name is ... or (asked is not None and by_name not in {None, asked}):
        wanted = "" if asked is None else f" for a report in {'Markdown' if asked else 'HTML'}"
        rule = f"must end with .html or .md{wanted}, but got {to}"
        raise StoreError("report", [Problem(argument("--to"), rule)])
    return bool(by_name if asked is None else asked)


def _is_report(path: Path) -> bool:
    """Tell whether a file begins as the reports that this module writes."""
    with path.open("rb") as file:
        return file.read(15).lower().startswith((b"<!doctype html>", b"## "))


def _write(path: Path, text: str) -> None:
    """Write a file. If it cannot be written, or has something else than a report, raise an error."""
    problem = Problem(argument("--to"), "must not replace a file that is no report", "name another file")
    try:
        if path.is_file() and path.stat().st_size and not _is_report(path):
            raise StoreError(str(path), [problem])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        rule = f"must be a file that can be written, but {error.strerror}"
        raise StoreError(str(path), [Problem(argument("--to"), rule)]) from error
