"""The program that jobs run on the head of a cluster: `python -m tuner.cluster.on_head`.

run STUDY.yaml      run the search on all nodes of the cluster
leaderboard DIR     print the same as `tuner leaderboard`
add, stop, exclude  steer the search as `tuner` does
pack DIR            pack the study's folder into an archive, which exists until the job is stopped
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tuner.artifacts.private import private_files
from tuner.cluster.archive import digest, pack_folder
from tuner.cluster.job_output import BEGIN, ENDS, PACKED, RESULT, RESULT_ENDS
from tuner.cluster.preflight import check_data, check_nodes, check_results
from tuner.cluster.version_check import check_versions
from tuner.config import Study
from tuner.errors import Problem, SearchError, StoreError, TunerError
from tuner.errors.caller import command_line
from tuner.execution.user_modules import USER_FILES

__all__: list[str] = []

#: Seconds after which an archive is removed if no client has fetched it.
_ARCHIVE_SECONDS = 3600


def main(argv: list[str] | None = None) -> int:
    """Run one job, and return its exit code, which is the same as that of `tuner`."""
    arguments = read_arguments(argv)
    _say(BEGIN)
    try:
        with private_files(), command_line():
            arguments.command(arguments)
        code = 0
    except TunerError as error:
        _say(str(error))
        code = error.exit_code
    _say(ENDS)
    return code


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of a job."""
    parser = argparse.ArgumentParser(prog="python -m tuner.cluster.on_head")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run")
    run.add_argument("study", type=Path)
    run.add_argument("--set", action="append", default=[])
    run.add_argument("--profile")
    run.add_argument("--output", required=True)
    run.add_argument("--client", type=json.loads, default={})
    run.add_argument("--modules", nargs="*", default=[])
    run.set_defaults(command=_run)
    board = commands.add_parser("leaderboard")
    board.add_argument("folder")
    board.add_argument("--format", default="table")
    board.add_argument("--top", type=int)
    board.add_argument("--sort")
    board.add_argument("--columns")
    board.add_argument("--best")
    board.set_defaults(command=_leaderboard)
    for name, command in (("add", _add), ("stop", _stop), ("exclude", _exclude)):
        steer = commands.add_parser(name)
        steer.add_argument("folder")
        steer.add_argument("--params", type=json.loads, default={})
        steer.add_argument("--trial", type=int)
        steer.add_argument("--why", default="")
        steer.set_defaults(command=command)
    pack = commands.add_parser("pack")
    pack.add_argument("folder")
    pack.set_defaults(command=_pack)
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> None:
    check_versions(arguments.client, "the cluster")
    if Path(USER_FILES).is_dir():  # none if a job was started without `tuner submit`
        os.chdir(USER_FILES)
        sys.path.append(str(Path.cwd()))
    study = Study.load(arguments.study, arguments.set, arguments.profile)
    check_data(study)
    output = Path(arguments.output).expanduser()
    check_results(output / study.study)
    _check_cluster(study, arguments.modules)
    from tuner.reporting.formats import render  # noqa: PLC0415  # as above
    from tuner.workflows.run import run  # noqa: PLC0415  # ray, optuna

    board = run(study, output, address="auto")
    _result(render(board, top=10))
    if board.best is None:
        raise SearchError("no trial is complete", hint="`tuner leaderboard` has the causes")


def _check_cluster(study: Study, modules: Sequence[str]) -> None:
    """Check resources, modules and versions of the cluster before the data is read; stay connected."""
    from tuner.execution.artifact_checks import usable_artifacts  # noqa: PLC0415  # ray
    from tuner.execution.session import join_cluster  # noqa: PLC0415  # as above

    artifacts = usable_artifacts(study)
    join_cluster(study)
    check_nodes(study.study, modules, artifacts)


def _leaderboard(arguments: argparse.Namespace) -> None:
    from tuner.reporting.find import find_row  # noqa: PLC0415  # as above
    from tuner.reporting.formats import render  # noqa: PLC0415  # as above
    from tuner.reporting.leaderboard import load_leaderboard  # noqa: PLC0415  # as above

    board = load_leaderboard(Path(arguments.folder).expanduser(), sort=arguments.sort, curves=False)
    if arguments.best is not None:
        board = replace(board, rows=(find_row(board, f"best:{arguments.best}", "--best"),))
    columns = arguments.columns.split(",") if arguments.columns else None
    _result(render(board, arguments.format, top=arguments.top, columns=columns))


def _add(arguments: argparse.Namespace) -> None:
    from tuner.workflows.steering import add_trial, when_done  # noqa: PLC0415  # as above

    folder = Path(arguments.folder).expanduser()
    request = add_trial(folder, arguments.params)
    _result(f"queued as request {request.id}; {when_done(folder)}")


def _stop(arguments: argparse.Namespace) -> None:
    from tuner.workflows.steering import stop_trial, when_done  # noqa: PLC0415  # as above

    folder = Path(arguments.folder).expanduser()
    stop_trial(folder, arguments.trial)
    _result(f"trial {arguments.trial} is to stop; {when_done(folder)}")


def _exclude(arguments: argparse.Namespace) -> None:
    from tuner.workflows.steering import exclude_trial  # noqa: PLC0415  # as above

    exclude_trial(Path(arguments.folder).expanduser(), arguments.trial, arguments.why)
    _result(f"trial {arguments.trial} is excluded from ranking and sampling")


def _pack(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.folder).expanduser()
    if not folder.is_dir():
        raise StoreError(str(folder), [Problem("", "must be a folder on the head, but does not exist")])
    log = Path(os.readlink("/proc/self/fd/1"))  # noqa: PTH115  # the job's log; Ray's API sends only files of its folder
    archive = log.with_name(f"{log.stem}.tar.gz")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        pack_folder(folder, archive)
        _say(f"{PACKED} {archive.name} {archive.stat().st_size} {digest(archive)}")
        time.sleep(_ARCHIVE_SECONDS)
    finally:
        archive.unlink(missing_ok=True)


def _result(text: str) -> None:
    _say(f"{RESULT}\n{text}\n{RESULT_ENDS}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
