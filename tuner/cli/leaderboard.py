"""The command `tuner leaderboard`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tuner.cli.arguments import (
    Commands,
    add_address,
    add_results,
    comma_separated,
    positive,
    results_folder,
    shows_grey,
    study_name,
    terminal_width,
)

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    board = commands.add_parser(
        "leaderboard",
        help="print the leaderboard of a study",
        description="Print the leaderboard of a study, also while the study runs.",
    )
    add_results(board)
    board.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    board.add_argument("--top", type=positive, metavar="N", help="only the first N rows")
    board.add_argument(
        "--sort", metavar="METRIC", help="rank by another metric, in the objective's direction"
    )
    board.add_argument(
        "--columns",
        type=comma_separated,
        metavar="NAMES",
        help="columns and params to show in a table or in Markdown, such as model,state,NDCG@10,lr",
    )
    board.add_argument(
        "--segments",
        action="store_true",
        help="show the objective by segment of users instead, such as users with a short history: on "
        "validation, and of the final judgement",
    )
    board.add_argument(
        "--best",
        metavar="FAMILY",
        help="only the best row of a family: searched, transformer, or a class such as SASRecModel",
    )
    add_address(board, default=None)
    board.set_defaults(command=_leaderboard)


def _leaderboard(arguments: argparse.Namespace) -> None:
    if arguments.segments:
        print(_segments(arguments))
        return
    if arguments.address is not None:
        print(_from_cluster(arguments), end="")
        return
    from tuner.reporting.find import find_row
    from tuner.reporting.formats import render
    from tuner.reporting.leaderboard import load_leaderboard

    with _no_garbage_collection():
        board = whole = load_leaderboard(results_folder(arguments), sort=arguments.sort, curves=False)
        if arguments.best is not None:
            board = replace(board, rows=(find_row(board, f"best:{arguments.best}", "--best"),))
        print(
            render(
                board,
                arguments.format,
                top=arguments.top,
                width=terminal_width(),
                columns=arguments.columns,
                whole=whole,
                grey=shows_grey(),
            )
        )
    if board.run_by is not None:
        sys.stdout.flush()
        print(board.run_by, file=sys.stderr)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off to save time: the records of a study have no reference cycles."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _segments(arguments: argparse.Namespace) -> str:
    """Return the objective by segment of users: on validation, and on the holdout once it was judged."""
    from tuner.errors import Problem, StoreError, UserError
    from tuner.formatting import cut
    from tuner.holdout.segment_text import render_segments
    from tuner.holdout.text import worse_lines
    from tuner.reporting.leaderboard import load_leaderboard
    from tuner.reporting.segments import segment_lines, validation_segments

    given = {
        "--format": arguments.format != "table",
        "--sort": arguments.sort,
        "--columns": arguments.columns,
        "--best": arguments.best,
        "--top": arguments.top,
        "--address": arguments.address,
    }
    problems = [
        Problem(option, "must be left out with --segments, which prints a text without it")
        for option, is_given in given.items()
        if is_given
    ]
    if problems:
        raise UserError("leaderboard", problems)
    folder = results_folder(arguments)
    if arguments.address is not None:
        rule = "needs the study on this machine, because the values of users are not sent with a leaderboard"
        raise StoreError(str(folder), [Problem("--segments", rule, "`tuner fetch` copies it from a cluster")])
    board = load_leaderboard(folder, sort=arguments.sort, curves=False)
    table = validation_segments(board, folder, arguments.top)
    final = board.final
    if not table and (final is None or not final.segments):
        rule = "needs a complete trial, an objective that is a mean over users, and users that differ"
        hint = "a study of an earlier version gets its segments when `tuner run` continues it"
        raise StoreError(str(folder), [Problem("--segments", rule, hint)])
    parts = []
    if table:
        lines = [f"validation: {line}" for line in segment_lines(board, folder)]
        title = f"{board.objective} on validation, mean over folds"
        parts += [title, cut(table, terminal_width()), "\n".join(lines)]
    if final is not None and final.segments:
        lines = [f"final: {line}" for line in worse_lines(final)]
        parts += ["on the holdout", cut(render_segments(final), terminal_width()), "\n".join(lines)]
    return "\n\n".join(filter(None, parts))


def _from_cluster(arguments: argparse.Namespace) -> str:
    from tuner.cluster.connection import connect
    from tuner.cluster.queries import ask
    from tuner.cluster.submit import find_job
    from tuner.formatting import cut

    client = connect(arguments.address)
    job = find_job(client, study_name(str(arguments.study)), with_results=True)
    columns = None if arguments.columns is None else ",".join(arguments.columns)
    given = (
        ("--format", arguments.format),
        ("--top", arguments.top),
        ("--sort", arguments.sort),
        ("--columns", columns),
        ("--best", arguments.best),
    )
    options = [str(part) for option, value in given if value is not None for part in (option, value)]
    text = ask(client, "leaderboard", f"{job.results}/{job.study}", *options)
    return cut(text, terminal_width()) if arguments.format == "table" else text
