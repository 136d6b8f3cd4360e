"""What must hold on the machines of a cluster before a study's first trial; runs on the head."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from tuner.cluster.versions import versions
from tuner.errors import ClusterError, Problem
from tuner.space import Choice, Space
from tuner.spec import Study

__all__ = ["check_data", "check_nodes", "check_results"]

#: Seconds that a node has to answer. One that is starting, or cut off, is left to the trials.
_PATIENCE = 30


def check_data(study: Study) -> None:
    """Find out whether the head sees the study's data, before anything heavy is imported.

    Raises
    ------
    ClusterError
        Naming each file that it does not.
    """
    given = {"data.interactions": study.data.interactions, "data.item_features": study.data.item_features}
    hint = "give a URL such as s3://..., or a path on the head; a file of up to 100 MB of yours is sent along"
    problems = [
        Problem(key, f"must be a file on the cluster's head, but there is no {path}", hint)
        for key, path in given.items()
        if path is not None and "://" not in path and not Path(path).exists()
    ]
    if problems:
        raise ClusterError(study.study, problems)


def check_results(folder: Path) -> None:
    """Find out whether the head can write a study's results.

    Raises
    ------
    ClusterError
        Naming the folder and the cause.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".check-", suffix=".tmp"):
            pass
    except OSError as error:
        rule = f"must be a folder that the cluster's head can write, but: {error.strerror}"
        hint = "give another with --output; one that all machines share keeps logs and checkpoints too"
        raise ClusterError(str(folder), [Problem("--output", rule, hint)]) from error


def check_nodes(study: str, space: Space, baselines: Iterable[Mapping[str, object]]) -> None:
    """Find out whether every node has this project's versions and all modules that a study names.

    Raises
    ------
    ClusterError
        Naming each node and what it lacks.
    """
    modules = sorted({name for name in _top_levels(space, baselines) if importlib.util.find_spec(name)})
    here = versions()
    problems = [
        Problem(host, rule, "install it there as on the head: `ray up cluster.yaml` does so on all nodes")
        for host, found, missing in _answers(modules)
        for rule in (
            *(f"must have the module {name!r}, as the head has, but cannot import it" for name in missing),
            *(
                f"must have {package} {version}, as the head has, but has {found.get(package, 'none')}"
                for package, version in here.items()
                if found.get(package) != version
            ),
        )
    ]
    if problems:
        raise ClusterError(study, problems)


def _top_levels(space: Space, baselines: Iterable[Mapping[str, object]]) -> Iterator[str]:
    domains = [parameter.domain for parameter in space.parameters]
    values = [domain.options if isinstance(domain, Choice) else (domain.only(),) for domain in domains]
    for group in (*values, *(params.values() for params in baselines)):
        for value in group:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, str) and "." in one:
                    yield one.partition(".")[0]


def _answers(modules: list[str]) -> list[tuple[str, dict[str, str], list[str]]]:
    """Return of each node that answers its name, its versions, and the modules that it lacks."""
    import ray  # noqa: PLC0415  # ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415  # ray

    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            modules
        )
        for node in nodes
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE)
    found: list[tuple[str, dict[str, str], list[str]]] = []
    for one, node in zip(asked, nodes, strict=True):
        if one in ready:
            try:
                found.append((node["NodeManagerHostname"], *ray.get(one)))
            except ModuleNotFoundError:  # without this project the question itself cannot be read there
                found.append((node["NodeManagerHostname"], {}, []))
            except ray.exceptions.RayError:  # lost meanwhile
                continue
    return found


def _look(modules: list[str]) -> tuple[dict[str, str], list[str]]:
    return versions(), [name for name in modules if importlib.util.find_spec(name) is None]
