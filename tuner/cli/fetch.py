"""The commands `tuner fetch` and `tuner stop`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_address, path, study_name
from tuner.cli.steer import stop_trial
from tuner.cluster.connection import DEFAULT_ADDRESS

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands to the parser."""
    fetch = commands.add_parser(
        "fetch",
        help="copy a study's results from a cluster",
        description="Copy the folder of a study from a cluster, also while the study runs: results, "
        "TensorBoard files, checkpoints and logs.",
    )
    fetch.add_argument("study", metavar="STUDY", help="name or file of the study")
    add_address(fetch)
    fetch.add_argument(
        "--to", type=path, default=layout.DEFAULT_OUTPUT, metavar="DIR", help="default: studies"
    )
    fetch.set_defaults(command=_fetch)
    stop = commands.add_parser(
        "stop",
        help="end a study that runs on a cluster, or stop one trial",
        description="End a study that runs on a cluster. Finished trials are kept. `tuner submit` continues "
        "the study. With --trial, stop one trial early, of a study here or on a cluster.",
    )
    stop.add_argument("study", type=path, metavar="STUDY", help="name, file or folder of the study")
    stop.add_argument("--trial", type=int, metavar="N", help="stop only this trial, at its next evaluation")
    stop.add_argument(
        "--output",
        type=path,
        default=layout.DEFAULT_OUTPUT,
        metavar="DIR",
        help="with --trial: folder that has the results of STUDY.yaml; default: studies",
    )
    stop.add_argument(
        "--address",
        metavar="URL",
        help=f"a cluster's dashboard; default: {DEFAULT_ADDRESS}, with --trial the study is here",
    )
    stop.set_defaults(command=_stop)


def _fetch(arguments: argparse.Namespace) -> None:
    from tuner.cluster.commands import fetch
    from tuner.formatting import in_shell, size

    fetched = fetch(study_name(arguments.study), address=arguments.address, to=arguments.to)
    print(fetched)
    curves = layout.tensorboard_folder(fetched.folder)
    print(
        f"{size(fetched.n_bytes)} fetched\n"
        f"  tuner leaderboard {in_shell(fetched)}\n"
        f"  tensorboard --logdir {in_shell(curves)}",
        file=sys.stderr,
    )


def _refuse_here(folder: Path) -> None:
    """Refuse to look on a cluster for a study that a process of this or another host runs in a folder."""
    from tuner.errors import Problem, StoreError
    from tuner.store import study_holder

    holder = study_holder(folder) if folder.is_dir() else None
    if holder is not None:
        rule = f"must be a study on a cluster, but {holder} runs it"
        hint = "press Ctrl-C there, or send SIGINT to that process; --address URL looks on a cluster"
        raise StoreError(str(folder), [Problem("STUDY", rule, hint)])


def _stop(arguments: argparse.Namespace) -> None:
    if arguments.trial is not None:
        stop_trial(arguments)
        return
    from tuner.cluster.commands import stop
    from tuner.errors import ClusterError, Problem, StoreError
    from tuner.store import store_exists

    study = study_name(str(arguments.study))
    here = [arguments.study, arguments.output / study] if arguments.address is None else []
    for folder in here:
        _refuse_here(folder)
    try:
        running = stop(study, address=arguments.address or DEFAULT_ADDRESS)
    except ClusterError as error:
        ended = next(filter(store_exists, here), None)
        if ended is None:
            raise
        rule = f"must be a study that runs, but no process here runs it, and {DEFAULT_ADDRESS} is no cluster"
        raise StoreError(str(ended), [Problem("STUDY", rule, "--address URL looks on a cluster")]) from error
    outcome = "stopped; finished trials are kept" if running else "was not running"
    print(f"{study}: {outcome}", file=sys.stderr)
