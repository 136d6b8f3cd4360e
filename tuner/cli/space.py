"""The command `tuner space`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, positive

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    space = commands.add_parser(
        "space",
        help="print a space as a tree",
        description="Print a space as a tree, with its conditions, its size and a few random points.",
    )
    space.add_argument("space", metavar="SPACE|STUDY.yaml", help="import path of a space, or a study file")
    space.add_argument(
        "--samples", type=positive, default=3, metavar="N", help="number of random points; default: 3"
    )
    space.set_defaults(command=_space)


def _space(arguments: argparse.Namespace) -> None:
    from tuner.formatting import visible
    from tuner.space import load_space
    from tuner.space.describe import draw_tree

    if arguments.space.endswith((".yaml", ".yml")):
        from tuner.preparation.further import read_study
        from tuner.preparation.prepare import study_space

        space = study_space(read_study(arguments.space))
    else:
        space = load_space(arguments.space)
    print(visible(draw_tree(space, samples=arguments.samples)))
