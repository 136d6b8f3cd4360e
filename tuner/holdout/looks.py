"""Writes finals to the store: looks at the holdout, the fits that were judged on it, what it came to."""

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
from tuner.holdout.read import JUDGED
from tuner.trials.records import Evaluation

__all__ = ["Chosen", "Fit", "Look", "Looks"]

#: Begin of the attributes of a look, its number follows; and of a fit, its trial and seed follow.
LOOK, FIT = "final:look:", "final:fit:"


@dataclass(frozen=True)
class Chosen:
    """A trial that is to be judged.

    Attributes
    ----------
    number
        Of the trial.
    epoch
        That it is trained for; 0 for a model that is not trained by epochs.
    seeds
        One for each fit.
    """

    number: int
    epoch: int
    seeds: tuple[int, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"trial": self.number, "epoch": self.epoch, "seeds": list(self.seeds)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Chosen:
        """Read what `to_plain` gave."""
        return cls(plain["trial"], plain["epoch"], tuple(plain["seeds"]))


@dataclass(frozen=True)
class Fit:
    """A trial fitted on everything before the holdout, and measured on it.

    Attributes
    ----------
    evaluation
        On the holdout.
    by_user
        Values of each metric that is a mean over users, shape (n_users,).
    """

    evaluation: Evaluation
    by_user: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Look:
    """A look at the holdout.

    Attributes
    ----------
    number
        From 1.
    made, by
        When it began (ISO 8601), and who looked, as user and host.
    chosen
        What it looks at.
    before
        When and by whom the looks before it were.
    """

    number: int
    made: str
    by: str
    chosen: tuple[Chosen, ...]
    before: tuple[str, ...] = ()


class Looks:
    """The looks at the holdout of one study, written by the process that holds it.

    Parameters
    ----------
    study
        Where they are written.
    folder
        Of the study, for values by user.
    """

    def __init__(self, study: OptunaStudy, folder: Path) -> None:
        self._study = study
        self.folder = folder

    def begin(self, chosen: Sequence[Chosen]) -> Look:
        """Record a look before anything is seen.

        Looking again at fits of the last look, or at some of them, is that look, with all that it looks at.
        """
        known = self._known()
        rows = [one.to_plain() for one in chosen]
        if known and _same(known[-1]["rows"], rows):
            number, plain = len(known), known[-1]
        else:
            number = len(known) + 1
            made = datetime.now().astimezone().isoformat(timespec="seconds")
            plain = {"made": made, "by": f"{_user()} on {socket.gethostname()}", "rows": rows}
            self._study.set_user_attr(f"{LOOK}{number}", plain)
        before = tuple(f"{one['made']} by {one['by']}" for one in known[: number - 1])
        seen = tuple(Chosen.from_plain(row) for row in plain["rows"])
        return Look(number, plain["made"], plain["by"], seen, before)

    def _known(self) -> list[Mapping[str, Any]]:
        attributes = self._study.user_attrs
        keys = [key for key in attributes if key.startswith(LOOK)]
        return [attributes[key] for key in sorted(keys, key=lambda key: int(key.removeprefix(LOOK)))]

    def fit(self, number: int, seed: int, n_users: int) -> Fit | None:
        """Return a fit that was made, None if it is missing or its values by user are."""
        plain = self._study.user_attrs.get(f"{FIT}{number}:{seed}")
        by_user = read_final_users(self.folder, number, seed)
        if plain is None or by_user is None or any(len(values) != n_users for values in by_user.values()):
            return None
        return Fit(Evaluation.from_plain(plain), by_user)

    def keep(self, number: int, seed: int, fit: Fit) -> None:
        """Keep a fit; the values by user first, for without them it counts as missing."""
        write_final_users(self.folder, number, seed, fit.by_user)
        self._study.set_user_attr(f"{FIT}{number}:{seed}", fit.evaluation.to_plain())

    def judged(self, final: Final) -> None:
        """Keep what a look came to."""
        self._study.set_user_attr(f"{JUDGED}{final.look}", final.to_plain())


def _same(known: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all fits that are to be seen were seen before."""

    def fits(plain: Sequence[Mapping[str, Any]]) -> set[tuple[int, int, int]]:
        return {(one["trial"], one["epoch"], seed) for one in plain for seed in one["seeds"]}

    return fits(rows) <= fits(known)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "somebody"
