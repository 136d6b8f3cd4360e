"""A worker that Ray ends for memory while it starts is a lost worker, not the end of the search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError

from tuner.execution.memory_kills import memory_kills_are_losses

if TYPE_CHECKING:
    from collections.abc import Callable


def fail(heard: Callable[..., None]) -> None:
    """Let a task of an actor fail for memory in Ray's own code, called as Ray calls it, but without a Ray."""
    manager: Any = RayActorManager.__new__(RayActorManager)
    manager._failed_actor_ids = set()
    manager._cleanup_actor = lambda tracked_actor: None
    actor = SimpleNamespace(actor_id=1, _on_error=heard)
    task: Any = SimpleNamespace(_tracked_actor=actor, _on_error=heard)
    manager._actor_task_failed(tracked_actor_task=task, exception=OutOfMemoryError("memory is low"))


def test_ray_alone_ends_the_search() -> None:
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        fail(lambda *_: None)


def test_the_loss_is_told_with_its_reason() -> None:
    heard: list[str] = []
    with memory_kills_are_losses():
        fail(lambda _, error: heard.append(str(error)))
    assert heard == ["memory is low"] * 2, "the actor's callback, and that of the task"
    test_ray_alone_ends_the_search()
