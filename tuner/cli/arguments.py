"""What commands share: their arguments, and how wide a line may be."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.cluster.connection import DEFAULT_ADDRESS

if TYPE_CHECKING:
    from tuner.config import Study

__all__ = [
    "Commands",
    "add_address",
    "add_data",
    "add_results",
    "add_search_budgets",
    "add_study_file",
    "overrides",
    "positive",
    "results_folder",
    "study_as_run",
    "study_name",
    "terminal_width",
]

#: What `argparse` gives for adding commands to.
Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


def add_study_file(command: argparse.ArgumentParser) -> None:
    """Let a command take a study file and changes to it."""
    command.add_argument("study", type=Path, metavar="STUDY.yaml")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the study"
    )
    command.add_argument("--profile", metavar="NAME", help="use the study with this one of its profiles")


def add_search_budgets(command: argparse.ArgumentParser) -> None:
    """Let a command that searches change how much."""
    command.add_argument("--trials", metavar="N", help="trials that the sampler chooses, over all runs")
    command.add_argument("--time-budget", metavar="2h", help="start no trial after this time")


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Return all changes to the study, as ``--set`` takes them."""
    changes = list(arguments.set)
    if arguments.trials is not None:
        changes.append(f"search.trials={arguments.trials}")
    if arguments.time_budget is not None:
        changes.append(f"search.time_budget={arguments.time_budget}")
    return changes


def add_address(command: argparse.ArgumentParser, *, default: str | None = DEFAULT_ADDRESS) -> None:
    """Let a command take the address of a cluster."""
    told = f"; default: {default}, where `ray dashboard cluster.yaml` opens it" if default else ""
    command.add_argument("--address", default=default, metavar="URL", help=f"of a cluster's dashboard{told}")
    command.set_defaults(default_address=default)


def study_name(text: str) -> str:
    """Return the name of a study, given it, the study's file, or its folder."""
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"}:
        return path.name
    from tuner.config import Study

    return Study.load(path).study


def add_results(command: argparse.ArgumentParser) -> None:
    """Let a command take a study's folder, or its file and where it was run to."""
    command.add_argument("study", type=Path, metavar="DIR|STUDY.yaml")
    command.add_argument(
        "--output",
        type=Path,
        default=layout.DEFAULT_OUTPUT,
        metavar="DIR",
        help="where STUDY.yaml was run to; default: studies",
    )


def add_data(command: argparse.ArgumentParser) -> None:
    """Let a command find the study's data elsewhere than where it was run."""
    command.add_argument(
        "--interactions",
        metavar="FILE",
        help="where the data are now; default: where they were in the search",
    )


def positive(text: str) -> int:
    """Read a positive integer."""
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    msg = f"must be an integer of at least 1, but got {text!r}"
    raise argparse.ArgumentTypeError(msg)


def terminal_width() -> int | None:
    """Return the terminal's width; None in a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def results_folder(arguments: argparse.Namespace) -> Path:
    """Return the study's folder, given itself or the study file."""
    path: Path = arguments.study
    if path.suffix not in {".yaml", ".yml"}:
        return path
    from tuner.config import Study

    return arguments.output / Study.load(path).study  # type: ignore[no-any-return]  # argparse gives Any


def study_as_run(arguments: argparse.Namespace) -> tuple[Study, Path]:
    """Return the study as it was last run, with its data where the command says, and its folder.

    Modules of the user's are found beside the study file, if that is given.
    """
    from tuner.config import Study
    from tuner.space.yaml_form import see_modules
    from tuner.store import check_exists

    folder = results_folder(arguments)
    check_exists(folder)
    if folder != arguments.study:
        see_modules(arguments.study.parent)
    place = arguments.interactions
    return Study.load(folder / layout.STUDY_FILE, [f"data.interactions={place}"] if place else []), folder
