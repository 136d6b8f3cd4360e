"""The parser of the command line: its usage errors name the command, and the word that was probably meant."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

__all__ = ["Parser"]

#: A value of an argument that is not among its choices, and these choices, as argparse writes them.
_NO_CHOICE = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<choices>.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser of a command. Its subcommands have parsers of this class."""

    def parse_known_args(  # type: ignore[override]  # argparse has an overload for each type of namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments, and refuse unknown ones here: argparse would print the usage of `tuner`.

        Raises
        ------
        SystemExit
            If arguments are wrong.
        """
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown and "_ARGCOMPLETE" not in os.environ:
            # The values of an unknown option are unknown as well, or were taken for other arguments.
            options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(options or unknown)}{self._meant(options)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, with the choice that was probably meant, and end with code 2.

        Raises
        ------
        SystemExit
            Always.
        """
        found = _NO_CHOICE.search(message)
        if found is not None:
            choices = [choice.strip(" '") for choice in found["choices"].split(",")]
            message += _did_you_mean([found["word"]], choices)
        super().error(message)

    def _meant(self, options: Sequence[str]) -> str:
        own = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        return _did_you_mean(options, own)


def _did_you_mean(words: Sequence[str], valid: Sequence[str]) -> str:
    near = [match for word in words for match in get_close_matches(word, valid, n=1)]
    return f"; did you mean {' '.join(near)}?" if near else ""
