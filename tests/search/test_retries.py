"""Lost workers: the cause by Ray's text, whether a trial runs again, and what it fails with."""

from __future__ import annotations

import pytest

from tuner.search.retries import (
    MAX_DEATHS,
    MAX_LOST_MACHINES,
    Cause,
    Losses,
    exclusive_failure,
    failure_of,
    may_retry,
    why_lost,
)
from tuner.trials.outcomes import OUT_OF_MEMORY, TIMEOUT, Failure

UNREACHABLE = "ActorUnavailableError: The actor 98 is unavailable: RPC error: Socket closed"


@pytest.mark.parametrize(
    ("text", "no_memory", "late", "answers", "cause"),
    [
        ("", False, False, True, Cause.WORKER),
        ("The actor died because its node has died.", False, False, True, Cause.MACHINE),
        (UNREACHABLE, False, False, False, Cause.MACHINE),
        (UNREACHABLE, False, False, True, Cause.WORKER),
        ("the node was running low on memory", False, False, True, Cause.MEMORY),
        ("its node has died, which was running low on memory", False, False, True, Cause.MEMORY),
        ("", True, False, True, Cause.MEMORY),
        ("", True, True, True, Cause.TIMEOUT),
        ("", False, True, True, Cause.TIMEOUT),
        ("its node has died", False, True, True, Cause.MACHINE),
    ],
)
def test_the_cause_of_a_loss(text: str, no_memory: bool, late: bool, answers: bool, cause: Cause) -> None:
    assert why_lost(text, no_memory=no_memory, late=late, is_reachable=lambda: answers) is cause


def test_a_machine_is_asked_only_where_the_text_leaves_that_open() -> None:
    def ask() -> bool:
        pytest.fail("it takes seconds")

    for text in ("", "its node has died", "running low on memory"):
        why_lost(text, no_memory=False, late=False, is_reachable=ask)


def test_workers_and_machines_are_counted_apart() -> None:
    losses = Losses()
    for cause in (Cause.WORKER, Cause.MACHINE, Cause.MEMORY, Cause.TIMEOUT, Cause.MACHINE):
        losses = losses.plus(cause)
    assert losses == Losses(workers=3, machines=2)
    assert not may_retry(Cause.WORKER, losses)
    assert may_retry(Cause.MACHINE, losses)
    assert may_retry(Cause.WORKER, Losses(workers=MAX_DEATHS - 1, machines=MAX_LOST_MACHINES))
    assert not may_retry(Cause.MACHINE, Losses(machines=MAX_LOST_MACHINES))
    assert not may_retry(Cause.TIMEOUT, Losses(workers=1))


def test_each_cause_has_a_failure_of_its_own() -> None:
    assert failure_of(Cause.TIMEOUT, timeout=90.0).kind == TIMEOUT
    assert "training.timeout, 1 min 30 s" in failure_of(Cause.TIMEOUT, timeout=90.0).cause
    assert failure_of(Cause.MEMORY).kind == OUT_OF_MEMORY
    kinds = {failure_of(cause, timeout=1.0).kind for cause in Cause}
    assert len(kinds) == len(Cause)


def test_a_worker_that_cannot_import_is_neither_a_lost_machine_nor_out_of_memory() -> None:
    """The stack of such an error names `_raylet`, as that of a lost machine names the raylet."""
    text = (
        "ray.exceptions.ActorDiedError: The actor died because of an error raised in its creation task\n"
        '  File "python/ray/_raylet.pyx", line 2198, in ray._raylet.execute_task\n'
        "ModuleNotFoundError: No module named 'mine'\n"
    )
    cause = why_lost(text, no_memory=False, late=False, is_reachable=lambda: True)
    assert cause is Cause.IMPORT
    assert may_retry(cause, Losses().plus(cause))
    assert not may_retry(cause, Losses(workers=MAX_DEATHS))
    assert failure_of(cause, text=text).cause.endswith("ModuleNotFoundError: No module named 'mine'")


def test_a_failure_without_memory_says_what_was_needed() -> None:
    failure = Failure("no memory", OUT_OF_MEMORY, peak_memory=2 * 1024**3)
    assert exclusive_failure(failure, 3 * 1024**3).cause.startswith(
        "no memory; alone on the machine (estimated at"
    )
    unknown = exclusive_failure(Failure("no memory", OUT_OF_MEMORY), None)
    assert unknown.cause == "no memory; alone on the machine"
