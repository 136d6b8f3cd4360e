"""Runs a study beside an autoscaler whose nodes are processes on this host; says how many GPUs there were."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

#: Of Ray's provider of made-up nodes: what it calls the head, and the id that it takes it to have.
HEAD, HEAD_ID = "ray.head.default", "f" * 51 + "00000"
KINDS = {
    HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "gpu": {"resources": {"CPU": 2, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
}
CONFIG = {
    "cluster_name": "fake",
    "max_workers": 2,
    "provider": {"type": "fake_multinode", "launch_multiple": True, "head_node_id": HEAD_ID},
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


def n_gpus() -> int:
    import ray

    return int(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0


def main(study: str, output: str) -> None:
    config = Path("/tmp/autoscaling.json")
    config.write_text(json.dumps(CONFIG))
    start = ["ray", "start", "--head", "--num-cpus=0", f"--autoscaling-config={config}"]
    fake = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "0",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    subprocess.run(start, env={**os.environ, **fake}, check=True)
    import ray

    from tuner.launch import run
    from tuner.ray_session import join_cluster
    from tuner.spec import Study

    loaded = Study.load(study)
    capacity = join_cluster(loaded)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            seen.append(n_gpus())

    thread = threading.Thread(target=look)
    thread.start()
    slots = capacity.slots({"CPU": 1, "GPU": 1})
    board = run(loaded, Path(output))
    ray.shutdown()  # a driver that stays may hold nodes; that of `tuner run` ends
    ray.init("auto", log_to_driver=False)
    deadline = time.monotonic() + 240
    while n_gpus() and time.monotonic() < deadline:
        time.sleep(1)
    done.set()
    thread.join()
    states = [row.state for row in board.rows]
    print(
        json.dumps({"first": seen[0], "most": max(seen), "last": n_gpus(), "slots": slots, "states": states})
    )
    ray.shutdown()


main(*sys.argv[1:])
