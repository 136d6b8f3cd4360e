"""Lets Ray Tune treat a worker that Ray ended for memory like any other lost worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

__all__ = ["memory_kills_are_losses"]


@contextmanager
def memory_kills_are_losses() -> Iterator[None]:
    """While it is open, Ray Tune hears of an actor's end where Ray says that memory is low.

    If Ray's memory monitor ends a worker while its actor is being made, a call to the actor fails with
    `OutOfMemoryError`. Ray Tune's manager of actors expects `RayActorError`, and ends the whole search with a
    RuntimeError on any other (Ray 2.60).
    """
    from ray.air.execution._internal.actor_manager import RayActorManager  # noqa: PLC0415  # ray
    from ray.exceptions import OutOfMemoryError, RayActorError  # noqa: PLC0415  # ray

    failed = RayActorManager._actor_task_failed  # noqa: SLF001  # Ray has no public way

    @wraps(failed)
    def told(
        self: RayActorManager,
        tracked_actor_task: Any,  # noqa: ANN401  # Ray's class is private
        exception: Exception,  # Ray calls by these names
    ) -> None:
        lost = isinstance(exception, OutOfMemoryError)
        failed(self, tracked_actor_task, RayActorError(error_msg=str(exception)) if lost else exception)

    RayActorManager._actor_task_failed = told  # type: ignore[method-assign]  # noqa: SLF001  # as above
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]  # noqa: SLF001  # as above
