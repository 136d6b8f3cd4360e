"""Whether the place of a study's artifacts can be written and read: here, and from every node of Ray."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from tuner.artifacts import Artifacts, artifacts_at, try_out
from tuner.errors import Problem, StoreError
from tuner.spec import Study

__all__ = ["check_from_every_node", "check_here", "usable_artifacts"]

#: Seconds that a node has to answer; its first task starts a process and imports what it needs.
ANSWER_SECONDS = 90.0
_HINT = "is it mounted or reachable there, and are its credentials in that machine's environment or role?"


def usable_artifacts(study: Study) -> Artifacts | None:
    """Return the place of a study's artifacts, if it is not the study's folder; it can be used from here.

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
    """Write to the place and read from it.

    Raises
    ------
    StoreError
        Naming the place and the cause.
    """
    cause = try_out(artifacts)
    if cause is not None:
        raise StoreError(artifacts.place, [_problem("here", cause)])


def check_from_every_node(artifacts: Artifacts) -> None:
    """Write to the place and read from it on every node, and see there what was written here.

    Raises
    ------
    StoreError
        Naming the place, and each node where it cannot be used with the cause.
    """
    seen = f".check/driver-{uuid.uuid4().hex}"
    try:
        artifacts.write(seen, b"")
        problems = [_problem(f"on node {node}", cause) for node, cause in _causes(artifacts, seen)]
        artifacts.delete(seen)
    except OSError as error:
        problems = [_problem("here", str(error))]
    if problems:
        raise StoreError(artifacts.place, problems)


def _causes(artifacts: Artifacts, seen: str) -> Iterator[tuple[str, str]]:
    """Yield each node on which the place cannot be used, and why."""
    import ray  # noqa: PLC0415  # ray
    from ray.exceptions import RayError  # noqa: PLC0415  # ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415  # ray

    task = ray.remote(try_out)
    asked: dict[Any, str] = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]  # Ray's own
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answer = task.options(num_cpus=0, scheduling_strategy=there).remote(artifacts, seen)  # type: ignore[call-arg]  # Ray's stubs know no defaults
            asked[answer] = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    for answer, name in asked.items():
        try:
            cause = ray.get(answer, timeout=0)
        except TimeoutError:
            cause = f"there is no answer within {ANSWER_SECONDS:.0f} seconds"
            ray.cancel(answer, force=True)
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
        if cause is not None:
            yield name, cause


def _problem(where: str, cause: str) -> Problem:
    return Problem("artifacts", f"must be a place to write and read, but {where}: {cause}", _HINT)
