"""Checks that the place of a study's artifacts can be written and read, here and from every node of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.artifacts.places import Artifacts, artifacts_at, try_out
from tuner.errors import Problem, StoreError
from tuner.execution.nodes import Answer, ask_every_node

if TYPE_CHECKING:
    from tuner.config import Study  # slow to import, on every node

__all__ = ["check_from_every_node", "refuse_unusable", "usable_artifacts", "written"]

_HINT = "is it mounted or reachable there, and does that machine have the credentials?"


def usable_artifacts(study: Study) -> Artifacts | None:
    """Return the place of a study's artifacts after a check from here; None if it is the study's folder.

    Raises
    ------
    StoreError
        See `check_here`.
    """
    if study.artifacts is None:
        return None
    artifacts = artifacts_at(study.artifacts, study.study)
    check_here(artifacts)
    return artifacts


def check_here(artifacts: Artifacts) -> None:
    """Check that this process can write to the place and read from it.

    Raises
    ------
    StoreError
        If it cannot. The message has the place and the cause.
    """
    cause = try_out(artifacts)
    if cause is not None:
        raise StoreError(artifacts.place, [_problem("here", cause)])


def check_from_every_node(artifacts: Artifacts) -> None:
    """Check that every node can write to the place, read from it, and find a file that was written here.

    Raises
    ------
    StoreError
        If a node cannot. The message has the place, and the cause for each such node.
    """
    with written(artifacts) as seen:
        answers = ask_every_node(try_out, artifacts, seen)
    refuse_unusable(artifacts, [(answer, answer.value) for answer in answers])


@contextmanager
def written(artifacts: Artifacts) -> Iterator[str]:
    """Write a file for other hosts to find. Yield its name, and remove the file afterwards.

    Raises
    ------
    StoreError
        See `check_here`.
    """
    name = layout.probe()
    try:
        artifacts.write(name, b"")
        try:
            yield name
        finally:
            artifacts.delete(name)
    except OSError as error:
        raise StoreError(artifacts.place, [_problem("here", str(error))]) from error


def refuse_unusable(artifacts: Artifacts, found: Iterable[tuple[Answer, str | None]]) -> None:
    """Raise an error if a node cannot use the place.

    Parameters
    ----------
    artifacts
        The place.
    found
        The answer of each node, with the reason why the node cannot use the place, or None.

    Raises
    ------
    StoreError
        If a node cannot use the place or does not answer. The message has the cause for each such node.
    """
    causes = [(answer.name, answer.cause or reason) for answer, reason in found]
    unusable = sorted((name, cause) for name, cause in causes if cause is not None)
    problems = [_problem(f"on node {name}", cause, hint=None) for name, cause in unusable[:-1]]
    problems += [_problem(f"on node {name}", cause) for name, cause in unusable[-1:]]
    if problems:
        raise StoreError(artifacts.place, problems)


def _problem(where: str, cause: str, hint: str | None = _HINT) -> Problem:
    return Problem("artifacts", f"must be a place to write and read, but {where}: {cause}", hint)
