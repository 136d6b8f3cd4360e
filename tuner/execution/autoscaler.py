"""What Ray's autoscaler may bring: the kinds of nodes in the file that it runs by, on the head."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tuner.search.capacity import Machines

__all__ = ["kinds_in", "node_kinds"]

_OPTION = "--autoscaling-config="
#: Set by KubeRay in all its containers.
_KUBERAY = "RAY_CLUSTER_NAME"


def node_kinds() -> Sequence[Machines] | None:
    """Return the kinds of nodes that may come; none without an autoscaler, None if that cannot be known.

    Ray tells nobody, so it is read from the autoscaler's own file, which its process names. KubeRay's runs in
    a container that cannot be looked into.
    """
    path = _config_path()
    if path is None:
        return None if _KUBERAY in os.environ else ()
    try:
        return kinds_in(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return None


def kinds_in(config: Mapping[str, Any]) -> Sequence[Machines]:
    """Return the kinds of workers in a launcher's file."""
    most = int(config.get("max_workers") or 0)
    return [
        Machines(
            {name: float(amount) for name, amount in kind["resources"].items()},
            min(most, int(kind.get("max_workers", most))),
        )
        for name, kind in config["available_node_types"].items()
        if name != config["head_node_type"] and kind.get("resources")
    ]


def _config_path() -> Path | None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # Ray brings it, without annotations

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if any("monitor.py" in word for word in words):
                for word in words:
                    if word.startswith(_OPTION) and len(word) > len(_OPTION):
                        return Path(word[len(_OPTION) :]).expanduser()
    return None
