"""What must hold on the machines of a cluster before a study's first trial; runs on the head."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from tuner.artifacts.places import Artifacts, try_out
from tuner.cluster.version_check import versions
from tuner.errors import ClusterError, Problem
from tuner.execution.artifact_checks import refuse_unusable, written
from tuner.execution.nodes import ANSWER_SECONDS, Answer, ask_every_node

if TYPE_CHECKING:
    from tuner.config import Study  # its libraries take a while to import, on every node

__all__ = ["check_data", "check_nodes", "check_results"]

#: Seconds that a node has to answer which need not: one that is starting, or cut off, is left to the trials.
_PATIENCE = 30.0


def check_data(study: Study) -> None:
    """Find out whether the head sees the study's data, before anything heavy is imported.

    Raises
    ------
    ClusterError
        Naming each file that it does not.
    """
    data = study.data
    places = (data.interactions,) if isinstance(data.interactions, str) else data.interactions
    given = [*(("data.interactions", path) for path in places), ("data.item_features", data.item_features)]
    hint = "give a URL such as s3://..., or a path on the head; a file of up to 100 MB of yours is sent along"
    problems = [
        Problem(key, f"must be a file on the cluster's head, but there is no {path}", hint)
        for key, path in given
        if path is not None and not any(sign in path for sign in ("://", "*")) and not Path(path).exists()
    ]
    if problems:
        raise ClusterError(study.study, problems)


def check_results(folder: Path) -> None:
    """Find out whether the head can write a study's results.

    Raises
    ------
    ClusterError
        Naming the folder and the cause.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".check-", suffix=".tmp"):
            pass
    except OSError as error:
        rule = f"must be a folder that the cluster's head can write, but: {error.strerror}"
        hint = "give another with --output; one that all machines share keeps logs and checkpoints too"
        raise ClusterError(str(folder), [Problem("--output", rule, hint)]) from error


def check_nodes(study: str, modules: Iterable[str], artifacts: Artifacts | None) -> None:
    """Find out whether every node has what trials need, all in one question to each.

    Parameters
    ----------
    study
        Its name.
    modules
        Top-level modules that it names. Those that the head lacks are not asked for.
    artifacts
        Where its artifacts go, if not into its folder.

    Raises
    ------
    ClusterError
        Naming each node that lacks a module, or one of the head's versions, and what it lacks.
    StoreError
        Naming each node from which artifacts cannot be written and read.
    """
    known = sorted(name for name in set(modules) if importlib.util.find_spec(name))
    with nullcontext() if artifacts is None else written(artifacts) as seen:
        seconds = _PATIENCE if artifacts is None else ANSWER_SECONDS
        answers = ask_every_node(_look, known, artifacts, seen, seconds=seconds)
    problems = [problem for answer in answers for problem in _lacking(answer)]
    if problems:
        raise ClusterError(study, problems)
    if artifacts is not None:
        refuse_unusable(artifacts, [(answer, answer.value and answer.value.cause) for answer in answers])


@dataclass(frozen=True)
class _Look:
    """What one node has: versions by package, modules that it lacks, and why it cannot use the artifacts."""

    versions: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    cause: str | None = None


def _look(modules: Sequence[str], artifacts: Artifacts | None, seen: str | None) -> _Look:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return _Look(versions(), missing, None if artifacts is None else try_out(artifacts, seen))


def _lacking(answer: Answer) -> Iterator[Problem]:
    """Yield what a node lacks; one that is starting, cut off or lost meanwhile is left to the trials."""
    if isinstance(answer.error, ModuleNotFoundError):  # it lacks this project, and cannot read the question
        look = _Look()
    elif answer.error is not None:
        return
    else:
        look = answer.value
    hint = "install it there as on the head: `ray up cluster.yaml` does so on all nodes"
    for name in look.missing:
        rule = f"must have the module {name!r}, as the head has, but cannot import it"
        yield Problem(answer.host, rule, hint)
    for package, version in versions().items():
        if (found := look.versions.get(package, "none")) != version:
            rule = f"must have {package} {version}, as the head has, but has {found}"
            yield Problem(answer.host, rule, hint)
