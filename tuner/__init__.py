"""Distributed hyperparameter search for RecTools models.

    from tuner import Study, run
    board = run(Study.load("shop.yaml"))
    board.best.params

Each command of the command line is a function here.

Names are imported when they are first used, so that ``import tuner`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.cluster.commands import attach as attach
    from tuner.cluster.commands import fetch as fetch
    from tuner.cluster.commands import stop as stop
    from tuner.cluster.commands import submit as submit
    from tuner.config import Study as Study
    from tuner.reporting.leaderboard import Leaderboard as Leaderboard
    from tuner.reporting.studies import list_studies as list_studies
    from tuner.space import AtMost as AtMost
    from tuner.space import Choice as Choice
    from tuner.space import Divides as Divides
    from tuner.space import Fixed as Fixed
    from tuner.space import Float as Float
    from tuner.space import Int as Int
    from tuner.space import Space as Space
    from tuner.space import Subset as Subset
    from tuner.space import SumAtMost as SumAtMost
    from tuner.workflows.commands import check as check
    from tuner.workflows.commands import compare as compare
    from tuner.workflows.commands import init as init
    from tuner.workflows.commands import judge as judge
    from tuner.workflows.commands import load_study as load_study
    from tuner.workflows.commands import report as report
    from tuner.workflows.model_commands import export as export
    from tuner.workflows.model_commands import load_model as load_model
    from tuner.workflows.model_commands import recommend as recommend
    from tuner.workflows.model_commands import reproduce as reproduce
    from tuner.workflows.run import run as run
    from tuner.workflows.steering import add_trial as add_trial
    from tuner.workflows.steering import exclude_trial as exclude_trial
    from tuner.workflows.steering import stop_trial as stop_trial

_HOMES = {
    "AtMost": "tuner.space",
    "Choice": "tuner.space",
    "Divides": "tuner.space",
    "Fixed": "tuner.space",
    "Float": "tuner.space",
    "Int": "tuner.space",
    "Leaderboard": "tuner.reporting.leaderboard",
    "Space": "tuner.space",
    "Study": "tuner.config",
    "Subset": "tuner.space",
    "SumAtMost": "tuner.space",
    "add_trial": "tuner.workflows.steering",
    "exclude_trial": "tuner.workflows.steering",
    "attach": "tuner.cluster.commands",
    "check": "tuner.workflows.commands",
    "compare": "tuner.workflows.commands",
    "export": "tuner.workflows.model_commands",
    "fetch": "tuner.cluster.commands",
    "init": "tuner.workflows.commands",
    "judge": "tuner.workflows.commands",
    "list_studies": "tuner.reporting.studies",
    "load_model": "tuner.workflows.model_commands",
    "load_study": "tuner.workflows.commands",
    "recommend": "tuner.workflows.model_commands",
    "report": "tuner.workflows.commands",
    "reproduce": "tuner.workflows.model_commands",
    "stop": "tuner.cluster.commands",
    "submit": "tuner.cluster.commands",
    "run": "tuner.workflows.run",
    "stop_trial": "tuner.workflows.steering",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # a list of str, as it must be


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        msg = f"module 'tuner' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
