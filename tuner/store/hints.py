"""Hints what to do if a study cannot be opened, run or continued, in the words of who calls."""

from __future__ import annotations

from tuner.errors.caller import argument, hint

__all__ = ["goes_on", "how_to_share", "lists_infeasible", "reads", "start_anew"]


def goes_on() -> str:
    """Return how a search continues after an error of its store."""
    again = hint(command="run the same command again", python="call run(study) again")
    return f"then {again}: it continues the search, and no recorded result is lost"


def start_anew() -> str:
    """Return how another study is begun, if this one began with something else."""
    return f"to start a new study, give it another name or another {argument('--output')}"


def reads() -> str:
    """Return what reads a study while another process runs it."""
    return hint(command="`tuner leaderboard`", python="load_study(...)")


def lists_infeasible() -> str:
    """Return what to do about points that are infeasible."""
    checks = hint(command="`tuner check`", python="check(study)")
    return f"{checks} lists such regions; give the params in them a `when`"


def how_to_share(*, together: bool) -> str:
    """Return how several drivers share a study that is busy.

    Parameters
    ----------
    together
        Whether drivers run it that share it. Otherwise a single one does.
    """
    shares = hint(command="`tuner run --share`", python="a study with share=True")
    if together:
        return f"{shares} joins it; {reads()} works at the same time"
    return f"it does not share the study: wait for it, or stop it and start each with {shares}"
