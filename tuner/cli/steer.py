"""The commands `tuner add`, `tuner exclude` and `tuner list`, and `--trial` of `tuner stop`."""

from __future__ import annotations

import argparse
import json

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_address, add_results, path, results_folder, study_name

__all__ = ["add", "stop_trial"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands to the parser."""
    new = commands.add_parser(
        "add",
        help="queue a configuration in a study",
        description="Queue a configuration in a study, also while it runs. It is checked first.",
    )
    add_results(new)
    source = new.add_mutually_exclusive_group(required=True)
    source.add_argument("--params", type=path, metavar="FILE", help="params in YAML or JSON, flat or nested")
    source.add_argument(
        "--from",
        dest="source",
        nargs=2,
        metavar=("DIR", "TRIAL"),
        help="params of a trial: folder of its study, and its number, a baseline's name, or best",
    )
    add_address(new, default=None)
    new.set_defaults(command=_add)
    exclude = commands.add_parser(
        "exclude",
        help="leave a trial out of ranking and sampling",
        description="Leave a trial out of ranking and sampling, also while the study runs. The trial is "
        "kept and marked.",
    )
    add_results(exclude)
    exclude.add_argument("trial", type=int, metavar="TRIAL", help="a trial's number")
    exclude.add_argument("--why", required=True, metavar="TEXT", help="reason, which the leaderboard shows")
    add_address(exclude, default=None)
    exclude.set_defaults(command=_exclude)
    studies = commands.add_parser(
        "list",
        help="list the studies of a folder",
        description="List the studies of a folder: state, best trial, and when a trial last began or ended.",
    )
    studies.add_argument("folder", nargs="?", type=path, default=layout.DEFAULT_OUTPUT, metavar="DIR")
    studies.set_defaults(command=_list)


def _add(arguments: argparse.Namespace) -> None:
    from tuner.workflows.steering import add_trial, params_in_file, params_of_trial, when_done

    if arguments.params is not None:
        params = params_in_file(arguments.params)
    else:
        params = params_of_trial(*arguments.source)
    if arguments.address is not None:
        _on_cluster(arguments, "add", "--params", json.dumps(params))
        return
    _see_modules(arguments)
    folder = results_folder(arguments)
    request = add_trial(folder, params)
    print(f"queued as request {request.id}; {when_done(folder)}")


def stop_trial(arguments: argparse.Namespace) -> None:
    """Stop one trial of the study that the arguments name."""
    from tuner.workflows.steering import stop_trial, when_done

    if arguments.address is not None:
        _on_cluster(arguments, "stop", "--trial", str(arguments.trial))
        return
    folder = results_folder(arguments)
    stop_trial(folder, arguments.trial)
    print(f"trial {arguments.trial} is to stop; {when_done(folder)}")


def _exclude(arguments: argparse.Namespace) -> None:
    from tuner.workflows.steering import exclude_trial

    if arguments.address is not None:
        _on_cluster(arguments, "exclude", "--trial", str(arguments.trial), "--why", arguments.why)
        return
    exclude_trial(results_folder(arguments), arguments.trial, arguments.why)
    print(f"trial {arguments.trial} is excluded from ranking and sampling")


def _list(arguments: argparse.Namespace) -> None:
    from tuner.reporting.studies import list_studies, studies_table

    print(studies_table(list_studies(arguments.folder)))


def _see_modules(arguments: argparse.Namespace) -> None:
    """Let modules of the user beside the study file be found."""
    from tuner.space.imports import see_modules

    if arguments.study.suffix in {".yaml", ".yml"}:
        see_modules(arguments.study.parent)


def _on_cluster(arguments: argparse.Namespace, command: str, *options: str) -> None:
    from tuner.cluster.connection import connect
    from tuner.cluster.queries import ask
    from tuner.cluster.submit import find_job

    client = connect(arguments.address)
    job = find_job(client, study_name(str(arguments.study)), with_results=True)
    print(ask(client, command, f"{job.results}/{job.study}", *options), end="")
