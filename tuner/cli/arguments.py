"""Arguments that several commands have, and functions that read them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.cluster.connection import DEFAULT_ADDRESS

if TYPE_CHECKING:
    pass

__all__ = [
    "Commands",
    "add_address",
    "add_data",
    "add_results",
    "add_search_budgets",
    "add_study_file",
    "add_trial",
    "comma_separated",
    "overrides",
    "path",
    "positive",
    "results_folder",
    "shows_grey",
    "study_name",
    "terminal_width",
]

#: The class of `argparse` to which commands are added.
Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


def add_study_file(command: argparse.ArgumentParser) -> None:
    """Add the arguments for a study file and for changes to it."""
    command.add_argument("study", type=path, metavar="STUDY.yaml")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the study"
    )
    command.add_argument("--profile", metavar="NAME", help="use this profile of the study")


def add_search_budgets(command: argparse.ArgumentParser) -> None:
    """Add the arguments that change the budget of a search."""
    command.add_argument("--trials", metavar="N", help="trials that the sampler chooses, over all runs")
    command.add_argument("--time-budget", metavar="2h", help="start no trial after this time")


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Return all changes to the study, in the form of ``--set``."""
    changes = list(arguments.set)
    if arguments.trials is not None:
        changes.append(f"search.trials={arguments.trials}")
    if arguments.time_budget is not None:
        changes.append(f"search.time_budget={arguments.time_budget}")
    return changes


def add_address(command: argparse.ArgumentParser, *, default: str | None = DEFAULT_ADDRESS) -> None:
    """Add the argument for the address of a cluster."""
    note = f"; default: {default}, where `ray dashboard cluster.yaml` opens it" if default else ""
    command.add_argument("--address", default=default, metavar="URL", help=f"a cluster's dashboard{note}")
    command.set_defaults(default_address=default)


def study_name(text: str) -> str:
    """Return the name of a study, given its name, file or folder."""
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"}:
        return path.name
    from tuner.config import Study

    return Study.load(path).study


def add_results(command: argparse.ArgumentParser) -> None:
    """Add the arguments for a study's folder: it, or the study's name or file and the folder of results."""
    command.add_argument("study", type=path, metavar="DIR|STUDY.yaml")
    command.add_argument(
        "--output",
        type=path,
        default=layout.DEFAULT_OUTPUT,
        metavar="DIR",
        help="folder that has the results of STUDY.yaml, or of a study's name; default: studies",
    )


def add_data(command: argparse.ArgumentParser) -> None:
    """Add the argument for a new place of the study's data."""
    command.add_argument(
        "--interactions",
        metavar="FILE",
        help="path of the data now; default: the path that the search used",
    )


def add_trial(command: argparse.ArgumentParser, **options: Any) -> None:
    """Add the argument for trials of a study, with further options of `argparse`."""
    note = options.pop("note", "")
    text = "a number, a baseline's name, best, or best:FAMILY: searched, transformer, or a class of models"
    command.add_argument("trial", metavar="TRIAL", help=f"{text}{note}", **options)


def comma_separated(text: str) -> list[str]:
    """Read names that are separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        msg = f"must be names with commas between them, but got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return names


def path(text: str) -> Path:
    """Read a path."""
    if text:
        return Path(text)
    msg = "must be a path, but is empty; is a variable of the shell not set?"
    raise argparse.ArgumentTypeError(msg)


def positive(text: str) -> int:
    """Read a positive integer."""
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    msg = f"must be an integer of at least 1, but got {text!r}"
    raise argparse.ArgumentTypeError(msg)


def terminal_width() -> int | None:
    """Return the width of the terminal in characters; None in a pipe, where lines are not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def shows_grey() -> bool:
    """Whether stdout is a terminal whose user wants colours; see https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def results_folder(arguments: argparse.Namespace) -> Path:
    """Return the study's folder. The argument is this folder, the study's name, or the study file."""
    path: Path = arguments.study
    output: Path = arguments.output
    if path.suffix not in {".yaml", ".yml"}:
        from tuner.store import folder_named

        return folder_named(path, output)
    from tuner.config import Study

    return output / Study.load(path).study
