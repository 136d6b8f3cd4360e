"""A cluster on this host whose workers are processes that Ray's autoscaler brings, and a study on it.

Says, as a line of JSON, how many GPUs there were before, at most, and at the end; what the command said; what
of it the cluster held meanwhile, and what was left of that after it had ended.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ray
from ray.util.state import list_actors, list_objects, list_placement_groups

#: Of Ray's provider of made-up nodes: what it calls the head, and the id that it takes it to have.
HEAD, HEAD_ID = "ray.head.default", "f" * 51 + "00000"
KINDS = {
    HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
}
CONFIG = {
    "cluster_name": "fake",
    "max_workers": 2,
    "provider": {
        "type": "external",
        "module": "tests.hosts.made_up_nodes.MadeUpNodes",
        # The older autoscaler knows by a node's address how long it has been idle. Here all have one, and the
        # provider gives their ids in its place: without this no node is ever known to be idle, and none goes.
        "use_node_id_as_ip": True,
        # Nodes come with Ray already running, and have no launch configuration to compare with.
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch_multiple": True,
        "head_node_id": HEAD_ID,
    },
    "available_node_types": KINDS,
    "head_node_type": HEAD,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.1,
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    **{f"{part}_commands": [] for part in ("initialization", "setup", "head_setup", "worker_setup")},
    **{f"{part}_start_ray_commands": [] for part in ("head", "worker")},
}


#: So that Tune has something to say when it has waited for a second, not a minute.
IMPATIENT = {f"TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S{of}": "1" for of in ("", "_AUTOSCALER")}


def start(newer: bool) -> None:
    """Start the head, with an autoscaler."""
    config = Path("/tmp/autoscaling.json")
    config.write_text(json.dumps(CONFIG))
    fake = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": str(int(newer)),
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
    }
    command = ["ray", "start", "--head", "--num-cpus=0", f"--autoscaling-config={config}"]
    subprocess.run(command, env={**os.environ, **fake}, check=True)
    ray.init("auto", configure_logging=False, log_to_driver=False)


def n_gpus() -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def held() -> list[str]:
    """Return what there is on the cluster that a study may have made, and that may keep a worker."""
    actors = list_actors(filters=[("state", "!=", "DEAD")])
    groups = list_placement_groups(filters=[("state", "!=", "REMOVED")])
    found = [f"actor {one.class_name} {one.name}" for one in actors]
    found += [f"placement group {one.placement_group_id}" for one in groups]
    # One of -1 bytes lies nowhere: Ray's own agent keeps such a reference of a job that has ended.
    return found + [f"object of {one.object_size} bytes" for one in list_objects() if one.object_size >= 0]


def within(seconds: float, look: Callable[[], object]) -> None:
    """Wait until there is nothing to see, but no longer than this."""
    deadline = time.monotonic() + seconds
    while look() and time.monotonic() < deadline:
        time.sleep(0.5)


def main(autoscaler: str, *command: str) -> None:
    os.environ.update(IMPATIENT)
    start(autoscaler == "newer")
    seen, meanwhile = [n_gpus()], set(held())
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            seen.append(n_gpus())
            meanwhile.update(held())

    thread = threading.Thread(target=look)
    thread.start()
    words = [sys.executable, "-m", "tuner.cli", *command]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    within(20, held)
    remains = held()
    within(120, n_gpus)
    done.set()
    thread.join()
    gpus = {"first": seen[0], "most": max(seen), "last": n_gpus()}
    said = {"code": ran.returncode, "out": ran.stdout, "err": ran.stderr}
    print(json.dumps({**gpus, **said, "held": sorted(meanwhile), "remains": remains}))


main(*sys.argv[1:])
