"""Reads which kinds of nodes Ray's autoscaler can add, from its configuration file on the head."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tuner.search.capacity import Machines

__all__ = ["node_kinds"]

_OPTION = "--autoscaling-config="
#: Environment variable that KubeRay sets in all its containers.
_KUBERAY = "RAY_CLUSTER_NAME"


def node_kinds() -> Sequence[Machines] | None:
    """Return the kinds of nodes that the autoscaler can add.

    Ray has no API for this. So this function finds the process of the autoscaler, and reads the configuration
    file that its command line names. The autoscaler of KubeRay runs in another container, where this is
    impossible.

    Returns
    -------
    sequence of Machines
        Empty without an autoscaler; None if the kinds cannot be found out.
    """
    path = _config_path()
    if path is None:
        return None if _KUBERAY in os.environ else ()
    try:
        return kinds_in(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return None


def kinds_in(config: Mapping[str, Any]) -> Sequence[Machines]:
    """Return the kinds of workers in a configuration file of Ray's cluster launcher."""
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
            arguments = process.cmdline()
            if any("monitor.py" in argument for argument in arguments):
                for argument in arguments:
                    if argument.startswith(_OPTION) and len(argument) > len(_OPTION):
                        return Path(argument[len(_OPTION) :]).expanduser()
    return None
