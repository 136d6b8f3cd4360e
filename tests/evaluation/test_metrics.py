"""Metrics of a study: RecTools' debiased and diversity metrics, and classes of the user's own."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import rectools.metrics
from rectools.metrics import DebiasConfig, IntraListDiversity, SparsePairwiseHammingDistanceCalculator
from rectools.models import PopularModel

from tuner.config import Metric
from tuner.config.metrics import _DEBIASABLE, METRICS
from tuner.errors import TrialError
from tuner.evaluation import (
    Plan,
    build_metric,
    evaluate_fold,
    is_per_user,
    metric_problems,
    recommend,
    values_by_user,
)
from tuner.evaluation.metrics import calculate, mean_over_users
from tuner.evaluation.per_user import series_by_user

if TYPE_CHECKING:
    from pathlib import Path

    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation, Users

OWN = """
    import numpy as np
    import pandas as pd

    class Share:
        '''The share of recommendations that are among some items.'''

        def __init__(self, k, of=()):
            self.k, self.of = k, set(of)

        def calc(self, reco):
            return reco.loc[reco["rank"] <= self.k, "item_id"].isin(self.of).mean()

    class OwnHit:
        '''HitRate, written anew.'''

        def __init__(self, k):
            self.k = k

        def calc_per_user(self, reco, interactions):
            top = reco[reco["rank"] <= self.k]
            hits = interactions.merge(top, on=["user_id", "item_id"])["user_id"].unique()
            users = pd.Index(interactions["user_id"].unique())
            return pd.Series(users.isin(hits).astype(float), index=users)

    class Forgetful(OwnHit):
        def calc_per_user(self, reco, interactions):
            return super().calc_per_user(reco, interactions).iloc[1:]

    class Broken(OwnHit):
        def calc_per_user(self, reco):
            raise ZeroDivisionError("no luck")

    class WrongName(OwnHit):
        def calc_per_user(self, recos, interactions):
            return super().calc_per_user(recos, interactions)

    class NoK:
        def calc(self, reco):
            return 0.5

    class Returns:
        def __init__(self, k, what):
            self.what = what

        def calc(self, reco):
            values = {"none": None, "text": "0.5", "flag": True, "series": reco["rank"]}
            return values.get(self.what, np.float32(0.5))

    class Listed(OwnHit):
        def calc_per_user(self, reco, interactions):
            return super().calc_per_user(reco, interactions).tolist()

    class Written(OwnHit):
        def calc_per_user(self, reco, interactions):
            return super().calc_per_user(reco, interactions).astype(str)

    class Nothing:
        def __init__(self, k):
            self.k = k

    def function(k):
        return k
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a module of the user's metrics on the path, and return its name."""
    (tmp_path / "own_metrics_here.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_metrics_here"
    sys.modules.pop("own_metrics_here", None)


@pytest.fixture(scope="module")
def recommended(folds: list[Fold]) -> pd.DataFrame:
    return recommend(PopularModel().fit(folds[0].train), folds[0], 10, filter_viewed=True)


def value(label: Any, recommended: pd.DataFrame, fold: Fold) -> float:
    metric = Metric.parse(label)
    (found,) = calculate({metric.label: build_metric(metric, fold)}, recommended, fold).values()
    return found


def real(metric: Any, recommended: pd.DataFrame, fold: Fold) -> float:
    tables = {"interactions": fold.test, "prev_interactions": fold.seen, "catalog": fold.catalog}
    return rectools.metrics.calc_metrics({"m": metric}, reco=recommended, **tables)["m"]


@pytest.mark.parametrize("name", sorted(name for name in METRICS if Metric.parse(f"{name}@5").per_user))
def test_a_mean_over_users_is_the_metric_to_the_last_digit(
    name: str, folds: list[Fold], recommended: pd.DataFrame
):
    """So the objective of a trial is calculated once, by user."""
    metric = build_metric(Metric.parse(f"{name}@5"), folds[0])
    by_user = series_by_user(metric, recommended, folds[0])
    assert mean_over_users(metric, by_user) == value(f"{name}@5", recommended, folds[0])


@pytest.mark.parametrize("name", sorted(_DEBIASABLE))
def test_debiased_metrics_equal_rectools(name: str, folds: list[Fold], recommended: pd.DataFrame):
    config = DebiasConfig(iqr_coef=0.5, random_state=0)
    expected = real(getattr(rectools.metrics, name)(k=5, debias_config=config), recommended, folds[0])
    assert value({f"Debiased{name}@5": {"iqr_coef": 0.5}}, recommended, folds[0]) == expected
    assert (
        value({f"Debiased{name}@5": {"iqr_coef": 0.5, "random_state": 0}}, recommended, folds[0]) == expected
    )
    assert not is_per_user(Metric.parse(f"Debiased{name}@5"))


def test_debiasing_changes_the_value_and_keeps_the_options_of_the_metric(
    folds: list[Fold], recommended: pd.DataFrame
):
    debiased = {"DebiasedNDCG@5": {"iqr_coef": 0.0, "divide_by_achievable": True}}
    assert Metric.parse(debiased).label == "DebiasedNDCG@5"
    plain = {"NDCG@5": {"divide_by_achievable": True}}
    assert value(debiased, recommended, folds[0]) != value(plain, recommended, folds[0])


def test_the_diversity_of_lists_takes_the_item_features_of_the_data(
    folds: list[Fold], recommended: pd.DataFrame
):
    train = folds[0].train
    distances = SparsePairwiseHammingDistanceCalculator(train.item_features, train.item_id_map)
    expected = real(IntraListDiversity(5, distance_calculator=distances), recommended, folds[0])
    assert expected > 0
    assert value("IntraListDiversity@5", recommended, folds[0]) == expected
    (problem,) = metric_problems([Metric.parse("IntraListDiversity@5")], item_features=False)
    assert "needs categorical item features" in problem.rule


def test_a_metric_of_the_user_has_its_label_its_options_and_its_value(
    own: str, folds: list[Fold], recommended: pd.DataFrame
):
    plain = {f"{own}.Share@5": {"of": [1000, 1001]}}
    metric = Metric.parse(plain)
    assert metric.label == "Share@5"
    assert metric.plain() == plain
    assert Metric.parse(metric.plain()) == metric
    assert not is_per_user(metric)
    top = recommended[recommended["rank"] <= 5]
    assert value(plain, recommended, folds[0]) == top["item_id"].isin([1000, 1001]).mean()


def test_values_by_user_of_the_users_metric_serve_the_race(own: str, folds: list[Fold]):
    metrics = (Metric.parse(f"{own}.OwnHit@5"), Metric.parse("HitRate@5"))
    assert is_per_user(metrics[0])
    reported: list[Evaluation] = []
    kept: list[Users] = []
    plan = Plan(metrics, "OwnHit@5", "maximize", filter_viewed=True)
    evaluate_fold({"cls": "PopularModel"}, folds[0], plan, 1, reported.append, report_users=kept.append)
    assert reported[-1].metrics["OwnHit@5"] == reported[-1].metrics["HitRate@5"]
    hits = values_by_user(
        build_metric(metrics[1], folds[0]),
        recommend(PopularModel().fit(folds[0].train), folds[0], 5, filter_viewed=True),
        folds[0],
    )
    assert np.array_equal(kept[0].values[0], hits)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Forgetful", "a number for each test user"),
        ("Broken", "ZeroDivisionError: no luck"),
        ("Listed", r"Listed.calc_per_user must return a series of numbers, but got list"),
        ("Written", r"Written.calc_per_user must return a series of numbers, but got one of other values"),
    ],
)
def test_a_metric_of_the_user_that_fails_says_why(
    name: str, message: str, own: str, folds: list[Fold], recommended: pd.DataFrame
):
    with pytest.raises(TrialError, match=message):
        value(f"{own}.{name}@5", recommended, folds[0])


@pytest.mark.parametrize(
    ("what", "got"), [("none", "None"), ("text", "'0.5'"), ("flag", "True"), ("series", "a Series")]
)
def test_a_metric_of_the_user_returns_a_number(
    what: str, got: str, own: str, folds: list[Fold], recommended: pd.DataFrame
):
    with pytest.raises(TrialError, match=f"^calc of Returns@5 must return a number, but got {got}$"):
        value({f"{own}.Returns@5": {"what": what}}, recommended, folds[0])
    assert value({f"{own}.Returns@5": {"what": "number"}}, recommended, folds[0]) == 0.5


@pytest.mark.parametrize(
    ("label", "rule"),
    [
        (
            "{own}.WrongName@5",
            "calc_per_user of '{own}.WrongName' must take arguments of the names reco, interactions, "
            "prev_interactions, catalog, ref_reco, but got 'recos'",
        ),
        (
            "{own}.NoK@5",
            "'{own}.NoK' must accept k and its options, but has an unexpected keyword argument 'k'",
        ),
        ("no_such_module.Share@5", "must be importable"),
        ("{own}.Missing@5", "must be importable"),
        ("{own}.function@5", "must be a class"),
        ("{own}.Nothing@5", "must have the method calc or calc_per_user"),
        ({"{own}.Share@5": {"off": 1}}, "must accept k and its options"),
    ],
)
def test_what_cannot_measure_is_found_before_the_search(label: Any, rule: str, own: str):
    plain = (
        label.format(own=own)
        if isinstance(label, str)
        else {key.format(own=own): options for key, options in label.items()}
    )
    (problem,) = metric_problems([Metric.parse(plain)], item_features=True)
    assert rule.format(own=own) in problem.rule


def test_a_class_named_as_a_metric_of_rectools_is_refused():
    with pytest.raises(ValueError, match="must have another name than a metric of RecTools"):
        Metric.parse("own_metrics_here.NDCG@5")


def test_the_message_for_an_unknown_name_says_how_to_name_ones_own():
    with pytest.raises(ValueError, match=r"import path of your own class, as my_metrics.Novelty@10"):
        Metric.parse("Novelty@10")


def test_a_class_instead_of_an_object_is_refused_with_the_object():
    with pytest.raises(ValueError, match=r"but got the class NDCG; give an object: NDCG\(k=10\)"):
        Metric.parse(rectools.metrics.NDCG)
