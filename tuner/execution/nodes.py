"""Runs a function on every node of the connected Ray cluster, on all nodes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["ANSWER_SECONDS", "Answer", "ask_every_node"]

#: Seconds to wait if every node must answer. The first task on a node starts a process and imports modules.
ANSWER_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    """The answer of one node.

    Attributes
    ----------
    host, address
        Name and IP address of the node.
    value
        Return value of the function; None after an error.
    error
        Exception of the function, Ray's error about the node, or a `TimeoutError`; None if the function
        returned.
    """

    host: str
    address: str
    value: Any = None
    error: Exception | None = None

    @property
    def name(self) -> str:
        """Name and address of the node, as text for people."""
        return f"{self.host} ({self.address})"

    @property
    def cause(self) -> str | None:
        """The error in one line; None without an error."""
        if self.error is None:
            return None
        return (str(self.error).strip() or type(self.error).__name__).splitlines()[-1]


def ask_every_node(
    function: Callable[..., object], *arguments: object, seconds: float = ANSWER_SECONDS
) -> list[Answer]:
    """Run a function on every node.

    Parameters
    ----------
    function
        The function. Its module should import little, because each node starts a process for it.
    *arguments
        Arguments of the function.
    seconds
        Seconds to wait for the answers.

    Returns
    -------
    list of Answer
        One answer for each node that is alive.
    """
    import ray  # noqa: PLC0415  # ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415  # ray

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            *arguments
        )
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=seconds)
    return [_answer(one, node, seconds) for one, node in zip(asked, nodes, strict=True)]


def _answer(asked: ObjectRef[object], node: Mapping[str, Any], seconds: float) -> Answer:
    import ray  # noqa: PLC0415  # ray

    who = (node["NodeManagerHostname"], node["NodeManagerAddress"])
    try:
        return Answer(*who, ray.get(asked, timeout=0))
    except TimeoutError:
        ray.cancel(asked, force=True)
        return Answer(*who, error=TimeoutError(f"no answer within {seconds:.0f} seconds"))
    except (ModuleNotFoundError, ray.exceptions.RayError) as error:
        return Answer(*who, error=error)
