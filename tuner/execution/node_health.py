"""Checks whether a machine of the cluster still answers, after a worker on it was lost.

Ray reports a lost worker within a second or two, but a lost machine only after the head has had no answer for
a while. Until then, Ray says in both cases that the worker "is unavailable".
"""

from __future__ import annotations

import socket
from typing import Any

from tuner.trials.messages import Place

__all__ = ["Reach"]

#: Seconds to wait for a machine's answer. The search waits for this time once for each lost machine.
_PATIENCE = 2.0


class Reach:
    """Remembers which machines are lost. A machine that returns has a new id."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

    def answer(self, place: Place) -> bool:
        """Whether the machine of an attempt still answers."""
        if place.node not in self._lost and not answers(place.node):
            self._lost.add(place.node)
        return place.node not in self._lost


def answers(node_id: str) -> bool:
    """Whether a node of the connected Ray cluster is alive and accepts connections."""
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
