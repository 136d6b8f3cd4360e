"""Completion in a shell: the words that may come next on a command line, by argcomplete.

At each Tab the shell runs `tuner` with the variable `_ARGCOMPLETE`. The command line imports this module only
then. It imports neither Ray nor torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import argcomplete
from argcomplete.completers import BaseCompleter, DirectoriesCompleter, FilesCompleter

from tuner.artifacts import layout
from tuner.errors import TunerError

if TYPE_CHECKING:
    from tuner.reporting.leaderboard import Leaderboard

__all__ = ["answer"]

#: The words that may come next, where possible with a description, which zsh and fish show.
Offers: TypeAlias = "Collection[str] | Mapping[str, str]"
_YAML = FilesCompleter(("yaml", "yml"))


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell which words may come next, and end the process."""
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=_Completer())


class _Completer(BaseCompleter):
    """Completes the values of arguments without choices of their own."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,  # noqa: ARG002  # argcomplete passes it
        parsed_args: argparse.Namespace,
    ) -> Offers:
        """Return what may stand where a value of an argument begins with `prefix`."""
        what = "number" if (action.dest, action.type) == ("trial", int) else action.dest
        offer = _OFFERS.get(what) or _OFFERS.get(str(action.metavar))
        with suppress(TunerError, OSError):
            return offer(prefix, parsed_args) if offer else ()
        return ()


def _study_files(prefix: str, _: argparse.Namespace) -> Offers:
    return _YAML(prefix)


def _files(prefix: str, _: argparse.Namespace) -> Offers:
    return FilesCompleter()(prefix)


def _folders(prefix: str, _: argparse.Namespace) -> Offers:
    return list(DirectoriesCompleter()(prefix))


def _studies(prefix: str, arguments: argparse.Namespace) -> Offers:
    """Return folders of results, then study files and other folders."""
    found = [*map(str, _results(prefix, arguments))]
    return [*found, *(one for one in _study_files(prefix, arguments) if one.rstrip("/") not in found)]


def _names(prefix: str, arguments: argparse.Namespace) -> Offers:
    """Return names of studies, then study files."""
    return [*(folder.name for folder in _results("", arguments)), *_study_files(prefix, arguments)]


def _results(prefix: str, arguments: argparse.Namespace) -> list[Path]:
    """Return the folders of studies in the folder that is being typed, or in the folder of results."""
    typed = [Path(prefix.rpartition("/")[0] or "/")] if "/" in prefix else []
    folders = typed or [_output(arguments), Path()]
    found = [one for folder in folders if folder.is_dir() for one in sorted(folder.iterdir())]
    files = (layout.STUDY_FILE, layout.JOURNAL)
    return [folder for folder in found if any((folder / name).is_file() for name in files)]


def _trials(_: str, arguments: argparse.Namespace) -> Offers:
    """Return the trials of the study that was named: the best ones, the baselines, and all numbers."""
    board = _board(arguments)
    names = [one.record.name for one in board.rows if one.record.name]
    best = ["best", *(f"best:{family}" for family in board.families)]
    return dict.fromkeys([*best, *names], "") | _numbers(board)


def _numbers(board: Leaderboard) -> dict[str, str]:
    """Return the numbers of all trials, with model and state."""
    return {str(one.record.number): f"{one.record.label}, {one.status.value}" for one in board.rows}


def _metrics(_: str, arguments: argparse.Namespace) -> Offers:
    return _board(arguments).metrics


def _families(_: str, arguments: argparse.Namespace) -> Offers:
    return _board(arguments).families


def _board(arguments: argparse.Namespace) -> Leaderboard:
    """Read the study that was named on the command line."""
    from tuner.reporting.leaderboard import load_leaderboard
    from tuner.workflows.results import find_results

    return load_leaderboard(find_results(arguments.study, _output(arguments)).folder, curves=False)


def _output(arguments: argparse.Namespace) -> Path:
    """Return the folder of results."""
    return Path(getattr(arguments, "output", None) or layout.DEFAULT_OUTPUT)


def _keys(prefix: str, _: argparse.Namespace) -> Offers:
    """Return the keys of a study file with ``=``, or after it the values of a key."""
    from tuner.config.keys import settable_keys

    keys = settable_keys()
    key, equals = prefix.partition("=")[:2]
    return [f"{key}={value}" for value in keys.get(key, ())] if equals else [f"{one}=" for one in keys]


def _profiles(_: str, arguments: argparse.Namespace) -> Offers:
    """Return the profiles of the study file that was named."""
    import yaml

    with suppress(yaml.YAMLError):
        read = yaml.safe_load(arguments.study.read_text(encoding="utf-8"))
        return [str(name) for name in read.get("profiles") or ()] if isinstance(read, dict) else ()
    return ()


#: Destination of an argument, or what its help shows for its value -> the words that may come next.
_OFFERS: Mapping[str, Callable[[str, argparse.Namespace], Offers]] = {
    "trial": _trials,
    "number": lambda _, arguments: _numbers(_board(arguments)),
    "profile": _profiles,
    "KEY=VALUE": _keys,
    "STUDY.yaml": _study_files,
    "SPACE|STUDY.yaml": _study_files,
    "DIR|STUDY.yaml": _studies,
    "first": _studies,
    "others": _studies,
    "source": _studies,
    "STUDY": _names,
    "METRIC": _metrics,
    "FAMILY": _families,
    "DIR": _folders,
    "MODEL": _folders,
    "DATA": _files,
    "FILE": _files,
}
