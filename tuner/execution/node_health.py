"""Whether a machine of the cluster still answers; asked when a worker on it is lost.

Ray tells of a lost worker within a second or two, but that its machine is lost only when the head has missed
it for a while. Between the two it says that the worker "is unavailable", whatever the reason.
"""

from __future__ import annotations

import socket
from typing import Any

from tuner.trials.messages import Place

__all__ = ["Reach", "answers"]

#: Seconds that a machine has to answer. The search waits meanwhile, once for each machine.
_PATIENCE = 2.0


class Reach:
    """Which machines have been found lost; one that comes back has another id."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

    def answer(self, place: Place) -> bool:
        """Whether the machine of an attempt still answers."""
        if place.node not in self._lost and not answers(place.node):
            self._lost.add(place.node)
        return place.node not in self._lost


def answers(node_id: str) -> bool:
    """Whether a node of the Ray that this process is connected to is alive and takes connections."""
    import ray  # noqa: PLC0415  # ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's own
    node = next((node for node in nodes if node["NodeID"] == node_id and node["Alive"]), None)
    if node is None:
        return False
    try:
        address = node["NodeManagerAddress"], node["NodeManagerPort"]
        socket.create_connection(address, timeout=_PATIENCE).close()
    except OSError:
        return False
    return True
