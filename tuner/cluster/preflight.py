"""Checks the machines of a cluster before the first trial of a study. It runs on the head."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from tuner.artifacts.places import Artifacts, try_out
from tuner.cluster.version_check import deciding_versions
from tuner.errors import ClusterError, Problem
from tuner.errors.caller import argument
from tuner.execution.artifact_checks import refuse_unusable, written
from tuner.execution.nodes import ANSWER_SECONDS, Answer, ask_every_node

if TYPE_CHECKING:
    from tuner.config import Study  # slow to import, on every node

__all__ = ["check_data", "check_nodes", "check_results"]

#: Seconds to wait for a node. A node that does not answer (it starts, or lost its network) is not an error
#: here.
_PATIENCE = 30.0


def check_data(study: Study) -> None:
    """Check that the head can find the study's data, before slow imports.

    Raises
    ------
    ClusterError
        If a file does not exist on the head. The error names all such files.
    """
    data = study.data
    given = [("data.interactions", path) for path in data.paths]
    given += [(f"data.{key}", path) for key, path in data.side_files.items()]
    hint = (
        "use a URL such as s3://..., a path on the head, or a local file of up to 100 MB, which is sent along"
    )
    problems = [
        Problem(key, f"must be a file on the cluster's head, but there is no {path}", hint)
        for key, path in given
        if not any(sign in path for sign in ("://", "*")) and not Path(path).exists()
    ]
    if problems:
        raise ClusterError(study.study, problems)


def check_results(folder: Path) -> None:
    """Check that the head can write the study's results.

    Raises
    ------
    ClusterError
        If the head cannot write to the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".check-", suffix=".tmp"):
            pass
    except OSError as error:
        rule = f"must be a folder that the cluster's head can write, but: {error.strerror}"
        hint = f"name another with {argument('--output')}; a folder that all machines share gets all files"
        raise ClusterError(str(folder), [Problem(argument("--output"), rule, hint)]) from error


def check_nodes(study: str, modules: Iterable[str], artifacts: Artifacts | None) -> None:
    """Check that every node has what trials need. Each node gets one task that checks everything.

    Parameters
    ----------
    study
        Name of the study.
    modules
        Top-level modules that the study names. Modules that the head does not have are not checked.
    artifacts
        Place of the artifacts, if it is not the study's folder.

    Raises
    ------
    ClusterError
        If a node does not have a module, or has another version than the head. The error names all of them.
    StoreError
        If a node cannot write and read artifacts. The error names all such nodes.
    """
    known = sorted(name for name in set(modules) if importlib.util.find_spec(name))
    with nullcontext() if artifacts is None else written(artifacts) as seen:
        seconds = _PATIENCE if artifacts is None else ANSWER_SECONDS
        answers = ask_every_node(_inspect, known, artifacts, seen, seconds=seconds)
    problems = [problem for answer in answers for problem in _problems(answer)]
    if problems:
        raise ClusterError(study, problems)
    if artifacts is not None:
        refuse_unusable(artifacts, [(answer, answer.value and answer.value.cause) for answer in answers])


@dataclass(frozen=True)
class _Inspection:
    """State of one node: versions by package, missing modules, and why it cannot use the artifacts."""

    versions: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    cause: str | None = None


def _inspect(modules: Sequence[str], artifacts: Artifacts | None, seen: str | None) -> _Inspection:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return _Inspection(deciding_versions(), missing, None if artifacts is None else try_out(artifacts, seen))


def _problems(answer: Answer) -> Iterator[Problem]:
    """Yield the problems of one node. A node that did not answer has none: it may still be starting."""
    if isinstance(answer.error, ModuleNotFoundError):  # this project is not installed there
        found = _Inspection()
    elif answer.error is not None:
        return
    else:
        found = answer.value
    hint = "install it there as on the head: `ray up cluster.yaml` does so on all nodes"
    for name in found.missing:
        rule = f"must have the module {name!r}, as the head has, but cannot import it"
        yield Problem(answer.host, rule, hint)
    for package, version in deciding_versions().items():
        if (there := found.versions.get(package, "none")) != version:
            rule = f"must have {package} {version}, as the head has, but has {there}"
            yield Problem(answer.host, rule, hint)
