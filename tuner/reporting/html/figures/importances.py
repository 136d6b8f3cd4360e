"""Which params decided whether a trial became one of the best: PED-ANOVA, which knows conditional params.

Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces" (IJCAI 2023), as Optuna extends it to conditional spaces.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tuner.reporting.html.material import Material, so_far
from tuner.reporting.html.scales import Scale
from tuner.reporting.html.svg import Canvas, Figure, clipped
from tuner.reporting.leaderboard import short_key
from tuner.trials.objective import sort_key
from tuner.trials.status import TrialStatus

__all__ = ["Importances", "importances", "weigh"]

#: Fewer trials tell nothing; of those, so many are the top at least, as Optuna's documentation advises.
FEWEST, TOP = 20, 5
SHARE = 0.1
SHOWN = 14


@dataclass(frozen=True)
class Importances:
    """What PED-ANOVA says.

    Attributes
    ----------
    shares
        Param as the space names it -> share of the sum, largest first.
    n_trials, n_top
        How many trials were compared, and how many of them are the top.
    """

    shares: Mapping[str, float]
    n_trials: int
    n_top: int


@lru_cache(maxsize=1)  # several figures and forms ask
def weigh(material: Material) -> Importances:
    """Weigh the params of the space; with no shares where there are too few trials.

    PED-ANOVA asks only which trials are among the best, so a stopped trial counts as well: as one that is
    not. Left out it would hide what stopped trials had in common.
    """
    import optuna  # noqa: PLC0415  # its samplers take a while

    values = _values(material)
    n_complete = sum(row.record.name is None for row in material.done)
    n_top = max(TOP, math.ceil(SHARE * len(values)))
    if len(values) < FEWEST or n_complete < n_top:
        return Importances({}, len(values), n_top)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    optuna.logging.set_verbosity(verbosity)
    for number, value in values.items():
        point = material.points[number]
        study.add_trial(
            optuna.trial.create_trial(value=value, params=point.params, distributions=point.distributions)
        )
    with warnings.catch_warnings():  # of rare params, which weigh little in any case
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=n_top / len(values))
        found = evaluator.evaluate(study)
    total = sum(found.values())
    shares: dict[str, float] = {}
    for name, weight in found.items() if total > 0 else ():
        param = name.partition("[")[0]  # of a bound that names another param: one dimension for each value
        shares[param] = shares.get(param, 0.0) + weight / total
    return Importances(dict(sorted(shares.items(), key=lambda item: -item[1])), len(values), n_top)


def _values(material: Material) -> dict[int, float]:
    """Return a loss by trial number: of a complete trial its place, of a stopped one a place behind all."""
    places = [row.record.number for row in material.done if row.record.name is None]
    stopped = [
        record for record in material.records if record.name is None and record.status == TrialStatus.STOPPED
    ]
    reached = {record.number: so_far(record, material.objective, material.direction) for record in stopped}
    losses = {
        number: math.inf if value is None else sort_key(value, material.direction)
        for number, value in reached.items()
    }
    places += sorted(losses, key=losses.__getitem__)
    return {
        number: float(place)
        for place, number in enumerate(places)
        if number in material.points and material.points[number].params
    }


def importances(material: Material) -> Figure | None:
    """Draw the share of each param."""
    if not any(record.name is None for record in material.records):
        return None
    found = weigh(material)
    shown = [(name, share) for name, share in found.shares.items() if share >= 0.005][:SHOWN]  # noqa: PLR2004  # half a percent
    title = f"Which params decide who is among the best {found.n_top}"
    if not shown:
        caption = (
            f"Too few trials: {found.n_trials} can be compared, and at least {FEWEST} are needed, {TOP} of "
            "them complete, before importances say more than chance."
        )
        return Figure("importances", "Which params decide", caption, lambda _: "")
    caption = (
        f"PED-ANOVA over {found.n_trials} complete and stopped trials; the shares add up to 100 %. A param "
        "that exists only beside some choice (named after @) counts where it applies."
    )
    return Figure("importances", title, caption, lambda width: _draw(shown, width))


def _draw(shown: list[tuple[str, float]], width: int) -> str:
    row, left = 26, min(290.0, width * 0.5)
    canvas = Canvas(width, row * len(shown) + 8, "Share of each param's importance")
    scale = Scale(0, max(share for _, share in shown), left, width - 48)
    for index, (name, share) in enumerate(shown):
        y = row * index + 4
        key, _, beside = name.partition("@")
        words = short_key(key) + (f" @{beside}" if beside else "")
        canvas.text((left - 10, y + 16), clipped(words, left - 12), anchor="end", colour="ink")
        canvas.rect((left, y + 4), (scale(share) - left, row - 10), colour="c0")
        canvas.text((scale(share) + 8, y + 16), f"{share:.0%}")
    return canvas.render()
