"""What commands share: their arguments, and how wide a line may be."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.spec import Study

__all__ = [
    "Commands",
    "add_data",
    "add_results",
    "add_study_file",
    "positive",
    "results_folder",
    "study_as_run",
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


def add_results(command: argparse.ArgumentParser) -> None:
    """Let a command take a study's folder, or its file and where it was run to."""
    command.add_argument("study", type=Path, metavar="DIR|STUDY.yaml")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("studies"),
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
    from tuner.spec import Study

    return arguments.output / Study.load(path).study  # type: ignore[no-any-return]  # argparse gives Any


def study_as_run(arguments: argparse.Namespace) -> tuple[Study, Path]:
    """Return the study as it was last run, with its data where the command says, and its folder.

    Modules of the user's are found beside the study file, if that is given.
    """
    from tuner.space.plain import see_modules
    from tuner.spec import Study
    from tuner.store import STUDY_FILE, check_exists

    folder = results_folder(arguments)
    check_exists(folder)
    if folder != arguments.study:
        see_modules(arguments.study.parent)
    place = arguments.interactions
    return Study.load(folder / STUDY_FILE, [f"data.interactions={place}"] if place else []), folder
