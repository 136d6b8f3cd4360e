"""The main law: a trial's metrics are those of `rectools.model_selection.cross_validate`, to the last digit.

For the same params and seed, on CPU, without the fast paths (whose own laws are in `test_training`), whether
a fold is measured after every epoch or only at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import rectools.metrics
import torch
from pytorch_lightning import seed_everything
from rectools.model_selection import (
    LastNSplitter,
    RandomSplitter,
    Splitter,
    TimeRangeSplitter,
    cross_validate,
)
from rectools.models import PopularModel, model_from_params
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from tuner.config import Data, Folds, Metric
from tuner.data.features import Features
from tuner.data.folds import development_dataset, make_folds
from tuner.data.source import Source
from tuner.evaluation import Plan, evaluate_fold, with_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rectools.dataset import Dataset, Interactions

    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::FutureWarning",
        "ignore::UserWarning",
        "ignore::DeprecationWarning",
        "ignore:OpenBLAS:RuntimeWarning",
    ),
    pytest.mark.usefixtures("one_thread"),
]

MOVIELENS = Path(__file__).parents[2].parent / "shared" / "data" / "ml-latest-small-2016"
SEED = 4242
EPOCHS = 3
NEVER = 1000

METRICS = (
    {"NDCG@10": {"divide_by_achievable": True}},
    "NDCG@5",
    "HitRate@1",
    "HitRate@10",
    {"MAP@10": {"divide_by_k": True}},
    "MRR@10",
    "Recall@3",
    "MCC@10",
    "PAP@10",
    "Serendipity@10",
    "MeanInvUserFreq@5",
    {"AvgRecPopularity@10": {"normalize": True}},
    "CatalogCoverage@10",
    "CoveredUsers@10",
    "SufficientReco@10",
    {"Intersection@10": {"ref_k": 5}},
)

SASREC: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": 2,
    "n_heads": 2,
    "n_factors": 16,
    "dropout_rate": 0.2,
    "session_max_len": 8,
    "batch_size": 16,
    "lr": 0.01,
    "epochs": EPOCHS,
    "recommend_torch_device": "cpu",
}
BERT4REC = {**SASREC, "cls": "BERT4RecModel", "mask_prob": 0.4}
NEXT_ACTION = {
    **SASREC,
    "cls": "BERT4RecModel",
    "data_preparator_type": "search_spaces.next_action.NextActionDataPreparator",
    "lightning_module_type": "search_spaces.next_action.NextActionLightningModule",
}
HSTU = {**SASREC, "cls": "HSTUModel", "n_blocks": 1}
ALBERT_LAYERS = {
    "transformer_layers_type": "search_spaces.albert.AlbertLayers",
    "transformer_layers_kwargs.n_hidden_groups": 2,
    "transformer_layers_kwargs.n_inner_groups": 2,
    "transformer_layers_kwargs.ff_factors_multiplier": 2,
}
ALBERT_ITEMS = {
    "item_net_constructor_type": "search_spaces.albert.AlbertSumConstructor",
    "item_net_constructor_kwargs.emb_factors": 4,
}

TIME_RANGE = {"split": "time_range", "size": "7D", "n_folds": 2, "holdout": 1}
LAST_N = {"split": "last_n", "size": 2, "n_folds": 2, "holdout": 1}
COLD = {**TIME_RANGE, "filter_cold_users": False, "filter_cold_items": False}
RANDOM = {"split": "random", "size": 0.2, "n_folds": 2, "holdout": 0, "seed": 11}


@dataclass(frozen=True)
class Case:
    """A model, and the folds it is evaluated on."""

    params: dict[str, Any]
    folds: dict[str, Any]
    filter_viewed: bool = True
    features: bool = False


CASES = {
    "sasrec-softmax": Case({**SASREC, "loss": "softmax"}, LAST_N),
    "sasrec-gbce": Case({**SASREC, "loss": "gBCE", "n_negatives": 5, "gbce_t": 0.4}, COLD, False),
    "sasrec-sampled": Case({**SASREC, "loss": "sampled_softmax", "n_negatives": 5}, RANDOM),
    "sasrec-features": Case({**SASREC, "loss": "BCE", "n_negatives": 3}, LAST_N, False, features=True),
    "hstu": Case({**HSTU, "loss": "softmax"}, TIME_RANGE),  # recommends with the time of the test
    "bert4rec-softmax": Case({**BERT4REC, "loss": "softmax"}, LAST_N, False),
    "bert4rec-bce": Case({**BERT4REC, "loss": "BCE", "n_negatives": 4}, TIME_RANGE),
    "bidirectional": Case({**NEXT_ACTION, "loss": "softmax"}, TIME_RANGE),
    "causal": Case({**NEXT_ACTION, "loss": "gBCE", "n_negatives": 5, "use_causal_attn": True}, RANDOM, False),
    "albert": Case({**BERT4REC, **ALBERT_LAYERS, **ALBERT_ITEMS, "loss": "sampled_softmax"}, LAST_N),
    "alsasrec": Case({**SASREC, **ALBERT_LAYERS, **ALBERT_ITEMS, "loss": "softmax"}, TIME_RANGE),
    "alsasrec-features": Case({**SASREC, **ALBERT_LAYERS, **ALBERT_ITEMS}, RANDOM, features=True),
}
CLASSIC = {
    "popular": Case({"cls": "PopularModel"}, LAST_N),
    "ease": Case({"cls": "EASEModel", "regularization": 50.0}, TIME_RANGE, False),
    "random": Case({"cls": "RandomModel", "random_state": 5}, RANDOM),
    "item_knn": Case(
        {"cls": "ImplicitItemKNNWrapperModel", "model.cls": "TFIDFRecommender", "model.K": 9}, LAST_N
    ),
    "ials": Case(
        {
            "cls": "ImplicitALSWrapperModel",
            "model.factors": 4,
            "model.iterations": 3,
            "model.random_state": 1,
        },
        TIME_RANGE,
    ),
}


@dataclass(frozen=True)
class Prepared:
    """A case with its data: what RecTools gets, and what the tuner gets."""

    dataset: Dataset
    folds: list[Fold]
    plan: Plan


Prepare = Callable[[Case], Prepared]


def prepare_on(interactions: pd.DataFrame, features: pd.DataFrame | None, case: Case) -> Prepared:
    section = Folds(**case.folds, filter_viewed=case.filter_viewed)
    source = Source(interactions, Features(features) if case.features else None, "", 0, 0)
    dataset = development_dataset(source, Data(interactions="shop.csv"), section)
    plan = Plan(
        metrics=tuple(Metric.parse(metric) for metric in METRICS),
        objective="NDCG@10",
        direction="maximize",
        filter_viewed=case.filter_viewed,
        fast=False,
    )
    folds = with_reference(make_folds(dataset, section), {"cls": "PopularModel"}, plan, seed=0)
    return Prepared(dataset, folds, plan)


@pytest.fixture(scope="module")
def prepare(interactions: pd.DataFrame, item_features: pd.DataFrame) -> Prepare:
    made: dict[int, Prepared] = {}

    def prepared(case: Case) -> Prepared:
        if id(case) not in made:
            made[id(case)] = prepare_on(interactions, item_features, case)
        return made[id(case)]

    return prepared


def evaluate(
    params: dict[str, Any],
    prepared: Prepared,
    fold: int,
    *,
    evaluate_every: int = 1,
    seed: int = SEED,
    fast: bool = False,
) -> list[Evaluation]:
    reported: list[Evaluation] = []
    plan = replace(prepared.plan, evaluate_every=evaluate_every, fast=fast)
    evaluate_fold(params, prepared.folds[fold], plan, seed, reported.append)
    return reported


@pytest.fixture(scope="module")
def run(prepare: Prepare) -> Callable[..., list[Evaluation]]:
    """Evaluate a case by name; the same run is made once."""

    @cache
    def cached(name: str, fold: int, evaluate_every: int, **changes: Any) -> list[Evaluation]:
        case = {**CASES, **CLASSIC}[name]
        return evaluate({**case.params, **changes}, prepare(case), fold, evaluate_every=evaluate_every)

    return cached


class OneFold(Splitter):
    """Another splitter's fold, alone, so that each fold of `cross_validate` can have its seed."""

    def __init__(self, splitter: Splitter, index: int) -> None:
        super().__init__()
        self.splitter, self.index = splitter, index

    def split(self, interactions: Interactions, collect_fold_stats: bool = False) -> Iterator[Any]:
        yield list(self.splitter.split(interactions, collect_fold_stats))[self.index]


def rectools_splitter(case: Case) -> Splitter:
    """Return RecTools' splitter of a case, written out and not by way of the tuner."""
    section = case.folds
    filters = {
        "filter_already_seen": case.filter_viewed,
        "filter_cold_users": section.get("filter_cold_users", True),
        "filter_cold_items": section.get("filter_cold_items", True),
    }
    if section["split"] == "time_range":
        return TimeRangeSplitter(section["size"], section["n_folds"], **filters)
    if section["split"] == "last_n":
        return LastNSplitter(section["size"], section["n_folds"], **filters)
    return RandomSplitter(section["size"], section["n_folds"], random_state=section["seed"], **filters)


def rectools_metrics() -> dict[str, Any]:
    built = {}
    for metric in METRICS:
        label, options = (metric, {}) if isinstance(metric, str) else next(iter(metric.items()))
        name, k = label.split("@")
        built[label] = getattr(rectools.metrics, name)(k=int(k), **options)
    return built


def cross_validated(case: Case, prepared: Prepared, fold: int) -> dict[str, float]:
    """Return what RecTools says of one fold."""
    models = {"popular": PopularModel(), "trial": model_from_params(case.params)}
    splitter = OneFold(rectools_splitter(case), fold)
    seed_everything(SEED, workers=True, verbose=False)
    (row,) = cross_validate(
        prepared.dataset,
        splitter,
        rectools_metrics(),
        models,
        k=10,
        filter_viewed=case.filter_viewed,
        ref_models=["popular"],
    )["metrics"]
    metrics = {label: value for label, value in row.items() if label not in {"model", "i_split"}}
    metrics["Intersection@10"] = metrics.pop("Intersection@10_popular")
    return metrics


# ####  --------------  Equal to cross_validate  --------------  #### #


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_of_cross_validate(name: str, fold: int, prepare: Prepare, run) -> None:
    expected = cross_validated(CASES[name], prepare(CASES[name]), fold)
    assert len(expected) == len(METRICS)
    every_epoch, at_the_end = run(name, fold, 1), run(name, fold, NEVER)
    assert [evaluation.epoch for evaluation in every_epoch] == [1, 2, 3]
    assert [evaluation.epoch for evaluation in at_the_end] == [3]
    assert dict(every_epoch[-1].metrics) == expected
    assert dict(at_the_end[-1].metrics) == expected


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_metrics_by_the_fast_paths_are_the_same_here(name: str, fold: int, prepare: Prepare, run) -> None:
    """Losses are the same up to rounding, which leaves the lists of these data as they were."""
    case = CASES[name]
    every_epoch = evaluate(case.params, prepare(case), fold, fast=True)
    assert all(evaluation.fast_paths for evaluation in every_epoch)
    assert [point.metrics for point in every_epoch] == [point.metrics for point in run(name, fold, 1)]


@pytest.mark.parametrize("name", CLASSIC)
def test_metrics_of_classic_models_are_those_of_cross_validate(name: str, prepare: Prepare, run) -> None:
    for fold in (0, 1):
        (evaluation,) = run(name, fold, 1)
        assert evaluation.epoch == 0
        assert dict(evaluation.metrics) == cross_validated(CLASSIC[name], prepare(CLASSIC[name]), fold)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("name", CLASSIC)
def test_metrics_of_classic_models_by_the_fast_paths_are_the_same_here(
    name: str, fold: int, prepare: Prepare, run
) -> None:
    case = CLASSIC[name]
    (evaluation,) = evaluate(case.params, prepare(case), fold, fast=True)
    assert bool(evaluation.fast_paths) == (name == "ease")
    assert evaluation.metrics == run(name, fold, 1)[0].metrics


def test_the_law_is_not_empty(run) -> None:
    """Models differ, epochs differ and seeds matter, or equality would say nothing."""
    finals = [tuple(run(name, 0, 1)[-1].metrics.values()) for name in (*CASES, *CLASSIC)]
    assert len(set(finals)) == len(finals)
    assert len({tuple(evaluation.metrics.values()) for evaluation in run("sasrec-softmax", 0, 1)}) == EPOCHS
    assert all(run(name, 0, 1)[-1].metrics["Serendipity@10"] > 0 for name in ("sasrec-softmax", "ease"))
    assert run("sasrec-gbce", 0, 1)[-1].metrics["CoveredUsers@10"] < 1, "cold users are kept there"


def test_another_seed_gives_other_metrics(prepare: Prepare, run) -> None:
    case = CASES["sasrec-softmax"]
    other = evaluate(case.params, prepare(case), 0, evaluate_every=NEVER, seed=SEED + 1)
    assert other[-1].train_loss != run("sasrec-softmax", 0, NEVER)[-1].train_loss


@pytest.mark.skipif(not MOVIELENS.is_dir(), reason="the MovieLens slice is not beside the repository")
@pytest.mark.parametrize("params", [SASREC, BERT4REC], ids=["sasrec", "bert4rec"])
def test_metrics_are_those_of_cross_validate_on_movielens(params: dict[str, Any]) -> None:
    ratings = pd.read_parquet(MOVIELENS / "interactions.parquet")
    first = ratings[ratings["user_id"].isin(ratings["user_id"].unique()[:80])]
    features = pd.read_parquet(MOVIELENS / "item_features.parquet")
    case = Case({**params, "epochs": 2, "batch_size": 32, "session_max_len": 20}, LAST_N, features=True)
    prepared = prepare_on(first, features, case)
    assert len(prepared.folds[0].users) > 70
    for fold in (0, 1):
        evaluations = evaluate(case.params, prepared, fold)
        assert dict(evaluations[-1].metrics) == cross_validated(case, prepared, fold)


# ####  --------------  Measuring changes nothing  --------------  #### #


@pytest.mark.parametrize("name", CASES)
def test_measuring_every_epoch_or_at_the_end_gives_the_same(name: str, run) -> None:
    every_epoch, at_the_end = run(name, 0, 1)[-1], run(name, 0, NEVER)[-1]
    assert every_epoch.metrics == at_the_end.metrics
    assert every_epoch.train_loss is not None
    assert every_epoch.train_loss == at_the_end.train_loss
    assert every_epoch.n_parameters == at_the_end.n_parameters


@pytest.mark.parametrize("name", ["sasrec-sampled", "bert4rec-softmax", "causal"])
def test_epoch_n_of_a_run_is_the_end_of_a_run_of_n_epochs(name: str, run) -> None:
    """So the best epoch of a trial's curve can be trained again by setting `epochs` to it."""
    for epoch in (1, 2):
        of_the_curve, alone = run(name, 0, 1)[epoch - 1], run(name, 0, NEVER, epochs=epoch)[-1]
        assert of_the_curve.epoch == alone.epoch == epoch
        assert of_the_curve.metrics == alone.metrics
        assert of_the_curve.train_loss == alone.train_loss


class TracingModule(TransformerLightningModule):
    """Notes all that an evaluation could disturb, at each batch; freezes one part, as a user might."""

    trace: ClassVar[list[tuple[object, ...]]] = []

    def on_train_start(self) -> None:
        super().on_train_start()
        self.torch_model.item_model.eval()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._note()

    def on_train_epoch_end(self) -> None:
        self._note()

    def _note(self) -> None:
        keys, position = np.random.get_state()[1:3]  # noqa: NPY002  # the generator that RecTools draws from
        TracingModule.trace.append(
            (
                random.getstate(),
                (keys.tobytes(), position),
                torch.get_rng_state().numpy().tobytes(),
                tuple(module.training for module in self.modules()),
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
                tuple(parameter.requires_grad for parameter in self.parameters()),
            )
        )


def test_measuring_leaves_no_trace(prepare: Prepare) -> None:
    case = CASES["sasrec-sampled"]
    params = {**case.params, "lightning_module_type": TracingModule}
    fold, plan = prepare(case).folds[0], prepare(case).plan

    def disturb(_evaluation: Evaluation) -> None:
        random.random()
        np.random.random()  # noqa: NPY002  # as in `_note`
        torch.rand(3)

    traces = []
    for evaluate_every in (1, NEVER):
        TracingModule.trace.clear()
        evaluate_fold(params, fold, replace(plan, evaluate_every=evaluate_every), SEED, disturb)
        traces.append(TracingModule.trace.copy())
    disturbed, quiet = traces
    assert len(quiet) > 2 * EPOCHS
    assert len({note[2] for note in quiet}) > EPOCHS, "the generator moves on between batches"
    assert True in quiet[0][3]
    assert False in quiet[0][3]
    assert disturbed == quiet
