"""Workers of a cluster that are processes on its head's host, for Ray's autoscaler to start and to end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from ray._private.services import get_node_ip_address
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

__all__ = ["MadeUpNodes"]

#: Any that is free, where several nodes on one host would each want the usual ones.
_FREE_PORTS = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")


class MadeUpNodes(FakeMultiNodeProvider):
    """Ray's own made-up nodes, with a temporary folder for each of them, as on machines of their own.

    In one folder for all, a node that unpacks the files of a job removes them first, under the job's driver
    and workers of the other nodes, which die of that.
    """

    def _create_node_with_resources_and_labels(
        self, node_config: object, tags: dict[str, str], count: int, resources: dict[str, Any], labels: object
    ) -> None:
        with self.lock:
            node_id = self._next_hex_node_id()
            folder = Path(f"/tmp/node{self._next_node_id}")
            command = ["ray", "start", f"--address={get_node_ip_address()}:6379", "--block"]
            command += [f"--num-cpus={resources['CPU']}", f"--num-gpus={resources['GPU']}"]
            command += [f"--temp-dir={folder}", *_FREE_PORTS]
            who = {
                "RAY_OVERRIDE_NODE_ID_FOR_TESTING": node_id,
                "RAY_CLOUD_INSTANCE_ID": node_id,
                "RAY_NODE_TYPE_NAME": tags["ray-user-node-type"],
            }
            with folder.with_suffix(".log").open("wb") as log:
                process = subprocess.Popen(command, env={**os.environ, **who}, stdout=log, stderr=log)
            self._nodes[node_id] = {"tags": tags, "node": process}

    def _terminate_node(self, node: dict[str, Any]) -> None:
        node["node"].terminate()
        node["node"].wait()
