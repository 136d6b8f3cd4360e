"""The contenders of `benchmarks.search_quality`: our search, each of its rules on and off, and others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.one_epoch import OneEpoch
from benchmarks.recording import Table
from benchmarks.replay import Contender, Ours, RandomOrder, Stock
from tuner.config import Halving, Race, Sampler, Stopping
from tuner.space import Space

__all__ = ["COMPARED", "CONTENDERS", "STOCK"]

_HALVING, _RACE = Halving(), Race()
#: Makes a contender from a table, its space, a seed, and the number of trials (None: all rows).
Make = Callable[[Table, Space, int, int | None], Contender]


def _random(table: Table, _space: Space, seed: int, trials: int | None) -> Contender:
    return RandomOrder(table, seed, trials)


def _one_epoch(table: Table, _space: Space, seed: int, _trials: int | None) -> Contender:
    return OneEpoch(table, seed)


def _stock(table: Table, space: Space, seed: int, trials: int | None, *, lockstep: bool) -> Contender:
    return Stock(table, space, seed, lockstep=lockstep, trials=trials)


def _ours(
    halving: Halving | None = _HALVING,
    race: Race | None = _RACE,
    *,
    use: str = "tpe",
    prior: bool = True,
    folds_in_turn: bool = False,
) -> Make:
    def make(table: Table, space: Space, seed: int, trials: int | None) -> Contender:
        return Ours(
            table,
            space,
            seed,
            stopping=Stopping(halving=halving, race=race),
            sampler=Sampler(use=use, prior=prior),
            folds_in_turn=folds_in_turn,
            trials=trials,
        )

    return make


#: Contenders by name; `stock` is Ray's OptunaSearch with ASHA. The prior of a table is made without it.
CONTENDERS: dict[str, Make] = {
    "random": _random,
    "1-Epoch": _one_epoch,
    "stock, fold by fold": partial(_stock, lockstep=False),
    "stock, folds in lockstep": partial(_stock, lockstep=True),
    "ours": _ours(),
    "ours, no prior": _ours(prior=False),
    "ours, no hold": _ours(Halving(hold=0)),
    "ours, no leaders": _ours(Halving(leaders=False)),
    "ours, no hold, leaders or prior": _ours(Halving(hold=0, leaders=False), prior=False),
    "ours, folds in turn": _ours(Halving(leaders=False), folds_in_turn=True),
    "ours, no race": _ours(race=None),
    "ours, no halving": _ours(None),
    "ours, random": _ours(use="random"),
    "ours, model": _ours(use="model"),
    "ours, model, no prior": _ours(use="model", prior=False),
}
STOCK = tuple(name for name in CONTENDERS if name.startswith("stock"))
#: Contenders of the ratios.
COMPARED = ("ours", "random", "1-Epoch", *STOCK)
