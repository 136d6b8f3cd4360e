"""Writes holdout looks, the fits that were measured on the holdout, and final judgements to the store."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study as OptunaStudy

from tuner.artifacts.user_values import read_final_users, write_final_users
from tuner.holdout import Final
from tuner.trials.records import Evaluation
from tuner.trials.schema import holdout_fit_key, holdout_look_key, holdout_looks, judgement_key

__all__ = ["Chosen", "Fit", "HoldoutLook", "HoldoutLooks"]


@dataclass(frozen=True)
class Chosen:
    """A trial to judge.

    Attributes
    ----------
    number
        Trial number.
    epoch
        Number of epochs to train; 0 for a model that has no epochs.
    seeds
        Seeds, one for each fit.
    """

    number: int
    epoch: int
    seeds: tuple[int, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"trial": self.number, "epoch": self.epoch, "seeds": list(self.seeds)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Chosen:
        """Return the trial of a dictionary that `to_plain` made."""
        return cls(plain["trial"], plain["epoch"], tuple(plain["seeds"]))


@dataclass(frozen=True)
class Fit:
    """Result of one fit: a trial trained on everything before the holdout and measured on the holdout.

    Attributes
    ----------
    evaluation
        Metrics on the holdout.
    by_user
        Values of each metric that is a mean over users, shape (n_users,).
    """

    evaluation: Evaluation
    by_user: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class HoldoutLook:
    """One viewing of holdout results.

    Attributes
    ----------
    number
        Number of the look, from 1.
    made, by
        When the look began (ISO 8601), and who made it, as user and host.
    chosen
        Trials that it judges.
    before
        When and by whom the earlier looks were made.
    """

    number: int
    made: str
    by: str
    chosen: tuple[Chosen, ...]
    before: tuple[str, ...] = ()


class HoldoutLooks:
    """The holdout looks of one study. Only the process that holds the study's lock may write them.

    Parameters
    ----------
    study
        Optuna study that stores them.
    folder
        The study's folder, for per-user values.
    """

    def __init__(self, study: OptunaStudy, folder: Path) -> None:
        self._study = study
        self.folder = folder

    def begin(self, chosen: Sequence[Chosen]) -> HoldoutLook:
        """Record a look before any result is shown.

        If the last look has all fits of `chosen`, no look is recorded, and the last look is returned with all
        its trials.
        """
        known = self._known()
        rows = [one.to_plain() for one in chosen]
        if known and _same(known[-1]["rows"], rows):
            number, plain = len(known), known[-1]
        else:
            number = len(known) + 1
            made = datetime.now().astimezone().isoformat(timespec="seconds")
            plain = {"made": made, "by": f"{_user()} on {socket.gethostname()}", "rows": rows}
            self._study.set_user_attr(holdout_look_key(number), plain)
        before = tuple(f"{one['made']} by {one['by']}" for one in known[: number - 1])
        seen = tuple(Chosen.from_plain(row) for row in plain["rows"])
        return HoldoutLook(number, plain["made"], plain["by"], seen, before)

    def _known(self) -> list[Mapping[str, Any]]:
        return list(holdout_looks(self._study.user_attrs).values())

    def read_fit(self, number: int, seed: int, n_users: int) -> Fit | None:
        """Return a stored fit, None if the fit or its per-user values are missing."""
        plain = self._study.user_attrs.get(holdout_fit_key(number, seed))
        by_user = read_final_users(self.folder, number, seed)
        if plain is None or by_user is None or any(len(values) != n_users for values in by_user.values()):
            return None
        return Fit(Evaluation.from_plain(plain), by_user)

    def write_fit(self, number: int, seed: int, fit: Fit) -> None:
        """Store a fit. Per-user values are written first, because a fit without them counts as missing."""
        write_final_users(self.folder, number, seed, fit.by_user)
        self._study.set_user_attr(holdout_fit_key(number, seed), fit.evaluation.to_plain())

    def write_final(self, final: Final) -> None:
        """Store the final judgement of a look."""
        self._study.set_user_attr(judgement_key(final.look), final.to_plain())


def _same(known: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a known look has all fits of `rows`."""

    def fits(plain: Sequence[Mapping[str, Any]]) -> set[tuple[int, int, int]]:
        return {(one["trial"], one["epoch"], seed) for one in plain for seed in one["seeds"]}

    return fits(rows) <= fits(known)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "somebody"
