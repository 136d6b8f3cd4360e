"""Writes a study file for inspected interactions, and says what was found in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.config import Study
from tuner.errors import Problem, StudyError
from tuner.errors.caller import hint as hint_for
from tuner.formatting import visible
from tuner.workflows.init.inspect import inspect_file
from tuner.workflows.init.write import doubts, findings, study_text

__all__ = ["Draft", "draft"]


@dataclass(frozen=True)
class Draft:
    """A study file that was written for a file of interactions.

    Attributes
    ----------
    path
        The study file.
    data
        What the interactions are, in one line.
    found
        How the file of interactions is written, and how sure that is.
    to_check
        What the file leaves open.
    """

    path: Path
    data: str
    found: tuple[str, ...]
    to_check: tuple[str, ...]

    @property
    def study(self) -> Study:
        """The study."""
        return Study.load(self.path)

    @property
    def heading(self) -> str:
        """The file and its data, in one line."""
        return visible(f"{self.path}: a study for {self.data}")

    @property
    def notes(self) -> list[str]:
        """The findings, and the points to check, as lines for people."""
        lines = [f"found: {one}" for one in self.found] + [f"to check: {one}" for one in self.to_check]
        return [f"  {visible(line)}" for line in lines]

    def __str__(self) -> str:
        return "\n".join([self.heading, *self.notes])

    __repr__ = __str__


def _refuse_target(data: str, target: Path) -> None:
    """Refuse to write the study where the data are, or under a name that no study file has."""
    source = Path(data)
    if target.exists() and source.exists() and target.samefile(source):
        rule, cure = "must not be the file of the data", "name another file"
    elif target.suffix.lower() not in {".yaml", ".yml"}:
        rule, cure = "must end in .yaml or .yml", f"say {target.name}.yaml"
    else:
        return
    raise StudyError(str(target), [Problem("-o", rule, cure)])


def draft(data: str, target: Path, *, force: bool) -> Draft:
    """Write a study for a file of interactions; see `tuner.init`.

    Raises
    ------
    UserError
        If the data cannot be read, or the study file exists or cannot be written.
    """
    _refuse_target(data, target)
    if target.exists() and not force:
        rule = "must not exist yet, but does"
        asked = hint_for(command="--force", python="force=True")
        raise StudyError(str(target), [Problem("-o", rule, f"name another file, or give {asked}")])
    inspected = inspect_file(data)
    try:
        target.write_text(study_text(inspected), encoding="utf-8")
    except OSError as error:
        raise StudyError(str(target), [Problem("-o", f"must be writable, but {error.strerror}")]) from error
    return Draft(
        target,
        inspected.source.describe("keep"),
        tuple(map(str, findings(inspected))),
        tuple(doubts(inspected)),
    )
