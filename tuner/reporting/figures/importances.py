"""Figure of param importances by PED-ANOVA: which params decide whether a trial is among the best.

The method is by Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces" (IJCAI 2023). Optuna extends it to conditional params.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import altair as alt

from tuner.formatting import visible
from tuner.reporting.distinguish import short_key
from tuner.reporting.figures.figure import Chart, Fact, Figure, fitted, layered, names_axis
from tuner.reporting.figures.palette import paint
from tuner.reporting.report_data import ReportData, so_far
from tuner.trials.objective import sort_key
from tuner.trials.status import TrialStatus

__all__ = ["Importances", "importances", "weigh"]

#: Least number of trials, and least number of them that are the top, as Optuna's documentation advises.
FEWEST, TOP = 20, 5
SHARE = 0.1
SHOWN = 14


@dataclass(frozen=True)
class Importances:
    """Result of PED-ANOVA.

    Attributes
    ----------
    shares
        Param as the space names it -> share of the sum of all importances, largest first.
    n_trials, n_top
        Number of compared trials, and number of them that are the top.
    """

    shares: Mapping[str, float]
    n_trials: int
    n_top: int


@lru_cache(maxsize=1)  # several figures and formats need it
def weigh(report: ReportData) -> Importances:
    """Return the importance of each param of the space; no shares if there are too few trials.

    PED-ANOVA needs to know only which trials are among the best. So a stopped trial counts as well, as one
    that is not among the best. Without stopped trials, their common params would seem unimportant.
    """
    import optuna  # noqa: PLC0415  # its samplers take time to import

    values = _values(report)
    n_complete = sum(row.record.name is None for row in report.done)
    n_top = max(TOP, math.ceil(SHARE * len(values)))
    if len(values) < FEWEST or n_complete < n_top:
        return Importances({}, len(values), n_top)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    optuna.logging.set_verbosity(verbosity)
    for number, value in values.items():
        point = report.points[number]
        study.add_trial(
            optuna.trial.create_trial(value=value, params=point.params, distributions=point.distributions)
        )
    with warnings.catch_warnings():  # it warns about rare params, whose importance is low anyway
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=n_top / len(values))
        found = evaluator.evaluate(study)
    total = sum(found.values())
    shares: dict[str, float] = {}
    for name, weight in found.items() if total > 0 else ():
        param = name.partition("[")[0]  # a bound that depends on a param gives one dimension for each value
        shares[param] = shares.get(param, 0.0) + weight / total
    return Importances(dict(sorted(shares.items(), key=lambda item: -item[1])), len(values), n_top)


def _values(report: ReportData) -> dict[int, float]:
    """Return a loss by trial number: the place of a trial, where stopped trials follow all complete ones."""
    places = [row.record.number for row in report.done if row.record.name is None]
    stopped = [
        record for record in report.records if record.name is None and record.status == TrialStatus.STOPPED
    ]
    reached = {record.number: so_far(record, report.objective, report.direction) for record in stopped}
    losses = {
        number: math.inf if value is None else sort_key(value, report.direction)
        for number, value in reached.items()
    }
    places += sorted(losses, key=losses.__getitem__)
    return {
        number: float(place)
        for place, number in enumerate(places)
        if number in report.points and report.points[number].params
    }


def importances(report: ReportData) -> Figure | None:
    """Draw the share of each param."""
    if not any(record.name is None for record in report.records):
        return None
    found = weigh(report)
    shown = [(name, share) for name, share in found.shares.items() if share >= 0.005][:SHOWN]  # noqa: PLR2004  # less than half a percent
    if not shown:
        caption = (
            f"There are too few trials: {found.n_trials} can be compared. Importances need at least {FEWEST} "
            f"trials, and {TOP} of them must be complete."
        )
        return Figure("importances", "Which params decide", caption, None)
    caption = (
        f"PED-ANOVA over {found.n_trials} complete and stopped trials; the shares add up to 100 %. A param "
        "that applies only with a certain option (written after @) counts only in trials with that option."
    )
    title = f"Which params decide whether a trial is among the best {found.n_top}"
    rows = [{"param": _label(name), "share": round(share, 4)} for name, share in shown]
    return Figure("importances", title, caption, partial(_draw, rows), {"importances": rows})


def _label(name: str) -> str:
    key, _, condition = name.partition("@")
    return visible(short_key(key) + (f" @{condition}" if condition else ""))


def _draw(rows: Sequence[Fact], width: int) -> Chart:
    names = [row["param"] for row in rows]
    x = alt.X("share:Q", axis=None, scale=alt.Scale(domain=[0, rows[0]["share"]], nice=False))
    y = alt.Y("param:N", sort=names, axis=names_axis(min(290.0, width * 0.5)))
    told = [alt.Tooltip("param:N"), alt.Tooltip("share:Q", format=".1%")]
    base = alt.Chart(alt.NamedData("importances")).encode(x=x, y=y, tooltip=told)
    bars = base.mark_bar(color=paint("c0"), height=16, cornerRadius=2)
    shares = base.mark_text(align="left", dx=8, color=paint("muted"))
    return layered(
        bars,
        shares.encode(text=alt.Text("share:Q", format=".0%")),
        height=26 * len(rows),
        **fitted(width),
    )
