"""The command line: parse, call one function, turn errors into messages and exit codes.

Exit codes: 0 done; 1 the search failed; 2 something in the command, study or data must be mended;
75 Ray has died, run it again; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.leaderboard import Leaderboard

__all__ = ["main"]

_DESCRIPTION = "Search hyperparameters and modules of RecTools models."
_EPILOG = (
    "Exit codes: 0 done, 1 the search failed, 2 mend the command, study or data, "
    "75 Ray has died, run it again, 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    from tuner.errors import TunerError

    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except TunerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuner", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"tuner {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="run a study, or go on with it", description="Run a study, or go on with it."
    )
    _add_study_file(run)
    run.add_argument("--trials", metavar="N", help="trials that the sampler chooses, over all runs")
    run.add_argument("--time-budget", metavar="2h", help="start no trial after this time")
    run.add_argument("--output", type=Path, default=Path("studies"), metavar="DIR", help="default: studies")
    run.set_defaults(command=_run)

    board = commands.add_parser(
        "leaderboard",
        help="print the leaderboard of a study",
        description="Print the leaderboard of a study, also while it runs.",
    )
    _add_results(board)
    board.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    board.add_argument("--top", type=_positive, metavar="N", help="only the first N rows")
    board.add_argument(
        "--sort", metavar="METRIC", help="rank by another metric, in the objective's direction"
    )
    board.set_defaults(command=_leaderboard)

    show = commands.add_parser(
        "show",
        help="print one trial",
        description="Print one trial: params as RecTools takes them, curve, folds, seeds, log.",
    )
    _add_results(show)
    show.add_argument("trial", metavar="TRIAL", help="its number, the name of a baseline, or best")
    show.set_defaults(command=_show)

    check = commands.add_parser(
        "check",
        help="find what cannot work, before anything is spent",
        description="Check a study with its data, and run every alternative of its space for one batch on a "
        "slice of them. Without Ray.",
    )
    _add_study_file(check)
    check.set_defaults(command=_check)

    space = commands.add_parser(
        "space",
        help="print a space as a tree",
        description="Print a space as a tree, with its conditions, its size and a few samples.",
    )
    space.add_argument("space", metavar="SPACE|STUDY.yaml", help="import path, or a study")
    space.add_argument("--samples", type=_positive, default=3, metavar="N", help="default: 3")
    space.set_defaults(command=_space)
    return parser


def _add_study_file(command: argparse.ArgumentParser) -> None:
    """Let a command take a study file and changes to it."""
    command.add_argument("study", type=Path, metavar="STUDY.yaml")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the study"
    )


def _add_results(command: argparse.ArgumentParser) -> None:
    """Let a command take a study's folder, or its file and where it was run to."""
    command.add_argument("study", type=Path, metavar="DIR|STUDY.yaml")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("studies"),
        metavar="DIR",
        help="where STUDY.yaml was run to; default: studies",
    )


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    msg = f"must be an integer of at least 1, but got {text!r}"
    raise argparse.ArgumentTypeError(msg)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rectools-tuner")
    except PackageNotFoundError:
        return "(not installed)"


def _run(arguments: argparse.Namespace) -> None:
    from tuner.spec import Study

    overrides = list(arguments.set)
    if arguments.trials is not None:
        overrides.append(f"search.trials={arguments.trials}")
    if arguments.time_budget is not None:
        overrides.append(f"search.time_budget={arguments.time_budget}")
    study = Study.load(arguments.study, overrides)
    from tuner.launch import run, study_folder

    board = run(study, arguments.output)
    _summary(board, study_folder(study, arguments.output))


def _summary(board: Leaderboard, folder: Path) -> None:
    """Print the best rows to stdout, and where to go on to stderr."""
    from tuner.launch import shown
    from tuner.leaderboard import render
    from tuner.quantities import number

    print(render(board, top=10, width=_width()))
    sys.stdout.flush()
    where = shown(folder)
    best = board.best
    if best is not None and best.record.summary is not None:
        value = number(best.record.summary.mean)
        print(
            f"\nbest: trial {best.record.number} {best.record.label}, {board.objective} {value}",
            file=sys.stderr,
        )
    if board.further:
        numbers = ", ".join(str(row.record.number) for row in board.front)
        print(f"front, beaten by none in all objectives: trials {numbers or 'none yet'}", file=sys.stderr)
    print(
        f"results: {where}\n"
        f"  tuner leaderboard {where}\n"
        f"  tuner show {where} best\n"
        f"  tensorboard --logdir {where}/tensorboard",
        file=sys.stderr,
    )


def _width() -> int | None:
    """Return the terminal's width; None in a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _folder(arguments: argparse.Namespace) -> Path:
    """Return the study's folder, given itself or the study file."""
    path: Path = arguments.study
    if path.suffix not in {".yaml", ".yml"}:
        return path
    from tuner.spec import Study

    return arguments.output / Study.load(path).study  # type: ignore[no-any-return]  # argparse gives Any


def _leaderboard(arguments: argparse.Namespace) -> None:
    from tuner.leaderboard import load_leaderboard, render

    board = load_leaderboard(_folder(arguments), sort=arguments.sort, curves=False)
    print(render(board, arguments.format, top=arguments.top, width=_width()))


def _show(arguments: argparse.Namespace) -> None:
    from tuner.show import show_trial

    print(show_trial(_folder(arguments), arguments.trial))


def _check(arguments: argparse.Namespace) -> None:
    from tuner.spec import Study

    study = Study.load(arguments.study, arguments.set)
    import tempfile

    from tuner.errors import SpaceError
    from tuner.logs import logs_to
    from tuner.progress import stderr_console
    from tuner.quantities import duration

    with tempfile.TemporaryDirectory() as folder, logs_to(Path(folder) / "check.log"):
        from tuner.check import check

        checked = check(study, stderr_console().print)
    for region, share in checked.regions:
        print(f"impossible, and never tried ({share:.0%} of random points): {region}", file=sys.stderr)
    if checked.problems:
        raise SpaceError(study.study, checked.problems)
    print(
        f"{study.study}: {checked.n_points} configurations with {checked.n_options} options in "
        f"{checked.n_pairs} pairs were built, trained for a batch and recommended: "
        f"none failed ({duration(checked.seconds)})"
    )
    if checked.estimates:
        from tuner.estimate import draw_estimates

        print(draw_estimates(checked.estimates, study))


def _space(arguments: argparse.Namespace) -> None:
    from tuner.space import load_space
    from tuner.space.tree import draw_tree

    if arguments.space.endswith((".yaml", ".yml")):
        from tuner.prepare import study_space
        from tuner.spec import Study

        space = study_space(Study.load(arguments.space))
    else:
        space = load_space(arguments.space)
    print(draw_tree(space, samples=arguments.samples))


if __name__ == "__main__":
    sys.exit(main())
