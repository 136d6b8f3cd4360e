"""What must hold for the objectives, samplers and similarities of `search_spaces`: their equations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.models import load_model
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator
from scipy.stats import chisquare

from search_spaces.all_action import AllActionDataPreparator, DenseAllActionDataPreparator
from search_spaces.negatives import MixedNegativeSampler, Popularity
from search_spaces.objectives import IN_BATCH, ObjectiveLightningModule
from search_spaces.similarity import MLPSimilarityModule, TwoTowerSimilarityModule
from tests.laws.test_training import BERT4REC, LOSSES, MODELS, SASREC, begun
from tuner.evaluation import recommend
from tuner.models.build import build_model
from tuner.training.fast_paths import accelerate
from tuner.training.fast_paths.eligible import allows_target_only_step
from tuner.training.fast_paths.step import step_loss

if TYPE_CHECKING:
    from pathlib import Path

    from rectools.models.nn.transformers.base import TransformerModelBase

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

OURS = {"lightning_module_type": ObjectiveLightningModule}
ALL_ACTION = {"data_preparator_type": AllActionDataPreparator, "data_preparator_kwargs.window": 3}
DENSE = {"data_preparator_type": DenseAllActionDataPreparator, "data_preparator_kwargs.window": 3}
DAYS = {"data_preparator_kwargs.unit": "days", "data_preparator_kwargs.window": 7}
SIMILARITIES = {
    "towers": {"similarity_module_type": TwoTowerSimilarityModule},
    "pairs": {"similarity_module_type": MLPSimilarityModule},
}
TEMPERATURE = {"lightning_module_kwargs.logits_t": 0.7}
DAY = 24 * 60 * 60


def begun_in_float64(params: dict[str, Any], fold: Fold) -> tuple[TransformerModelBase, dict[str, Any]]:
    model, batch = begun({**params, "dropout_rate": 0.0, **OURS}, fold)
    model.lightning_model.double()
    return model, {key: v.double() if v.is_floating_point() else v for key, v in batch.items()}


def encoded(model: TransformerModelBase, batch: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the session of each target cell, and the table of items."""
    backbone = model.torch_model
    table = backbone.item_model.get_all_embeddings()
    sessions = backbone.encode_sessions(batch, table)
    return sessions.detach().numpy(), table.detach().numpy()


def targets_of(batch: dict[str, Any]) -> list[tuple[int, int, int, float]]:
    """Return row, column, item and weight of each target."""
    return [
        (row, column, int(batch["y"][row, column]), float(batch["yw"][row, column]))
        for row in range(len(batch["y"]))
        for column in range(batch["y"].shape[1])
        if batch["y"][row, column]
    ]


def gelu(values: np.ndarray) -> np.ndarray:
    return np.array([value / 2 * (1 + math.erf(value / math.sqrt(2))) for value in values])


def score(model: TransformerModelBase, hidden: np.ndarray, item: np.ndarray) -> float:
    """Score one pair by the equations of the similarities."""
    similarity = model.torch_model.similarity_module
    weights = {name: p.detach().numpy() for name, p in similarity.named_parameters()}

    def tower(name: str, values: np.ndarray) -> np.ndarray:
        inner = gelu(weights[f"{name}.0.weight"] @ values + weights[f"{name}.0.bias"])
        return values + weights[f"{name}.2.weight"] @ inner + weights[f"{name}.2.bias"]

    if isinstance(similarity, TwoTowerSimilarityModule):
        hidden, item = tower("session_tower", hidden), tower("item_tower", item)
    found = float(hidden @ item)
    if similarity.distance == "cosine":
        found /= float(np.linalg.norm(hidden) * np.linalg.norm(item))
    if isinstance(similarity, MLPSimilarityModule):
        inner = weights["of_session.weight"] @ hidden + weights["of_session.bias"]
        found += float(weights["output.weight"][0] @ gelu(inner + weights["of_item.weight"] @ item))
    return found / model.lightning_model.logits_t


# ####  --------------  Losses  --------------  #### #


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("base", ["sasrec", "bert4rec", "next_action", "towers"])
def test_in_batch_softmax_is_its_equation(base: str, correct: bool, folds: list[Fold]):
    params = {**(MODELS.get(base) or {**SASREC, **SIMILARITIES[base]}), **TEMPERATURE, "loss": IN_BATCH}
    params["lightning_module_kwargs.correct_log_q"] = correct
    model, batch = begun_in_float64(params, folds[0])
    loss = float(model.lightning_model._calc_custom_loss(batch, 0))
    sessions, table = encoded(model, batch)
    items = model.data_preparator.train_dataset.interactions.df[Columns.Item].to_numpy()
    last = batch["y"].shape[1] < batch["x"].shape[1]
    targets = targets_of(batch)
    total = 0.0
    for row, column, own, weight in targets:
        hidden = sessions[row, -1 if last else column]

        def z(item: int, hidden: np.ndarray = hidden) -> float:
            q = (items == item).mean()
            return score(model, hidden, table[item]) - (math.log(q) if correct else 0)

        others = sum(math.exp(z(item)) for _, _, item, _ in targets if item != own)
        total -= weight * math.log(math.exp(z(own)) / (math.exp(z(own)) + others))
    assert loss == pytest.approx(total / len(targets), abs=1e-10)


@pytest.mark.parametrize("kind", ["towers", "pairs"])
@pytest.mark.parametrize("distance", ["dot", "cosine"])
def test_the_similarities_are_their_equations(kind: str, distance: str, folds: list[Fold]):
    params = {**SASREC, **SIMILARITIES[kind], **TEMPERATURE, "loss": "BCE"}
    params["similarity_module_kwargs.distance"] = distance
    model, batch = begun_in_float64(params, folds[0])
    sessions, table = encoded(model, batch)
    logits = model.lightning_model.get_batch_logits(batch).detach()
    whole = model.torch_model(batch=batch).detach() / 0.7
    candidates = torch.cat([batch["y"][:, :, None], batch["negatives"]], dim=2)
    for row, column, rank in [(0, -1, 0), (1, -1, 3), (2, -2, 7)]:
        item = int(candidates[row, column, rank])
        expected = score(model, sessions[row, column], table[item])
        assert float(logits[row, column, rank]) == pytest.approx(expected, abs=1e-10)
        assert float(whole[row, column, item]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("loss", ["softmax", "BCE", "sampled_softmax"])
def test_all_action_is_the_mean_over_the_window(loss: str, folds: list[Fold]):
    model, batch = begun_in_float64({**SASREC, **ALL_ACTION, **TEMPERATURE, "loss": loss}, folds[0])
    assert 1 < batch["y"].shape[1] <= 3
    sessions, table = encoded(model, batch)
    targets, total = targets_of(batch), 0.0
    for row, column, own, weight in targets:
        hidden = sessions[row, -1]
        if loss == "softmax":
            scores = [score(model, hidden, item) for item in table]
            total += weight * (math.log(sum(map(math.exp, scores))) - scores[own])
            continue
        negatives = batch["negatives"][row, column].tolist()
        positive, *others = (score(model, hidden, table[item]) for item in (own, *negatives))
        if loss == "BCE":
            terms = [math.log1p(math.exp(-positive)), *(math.log1p(math.exp(other)) for other in others)]
            total += weight * sum(terms) / len(terms)
        else:
            total += weight * (math.log(sum(map(math.exp, (positive, *others)))) - positive)
    stock = model.lightning_model.loss_calculator(
        model.lightning_model.get_batch_logits(batch), batch["y"], batch["yw"]
    )
    assert float(stock) == pytest.approx(total / len(targets), abs=1e-10)
    assert float(step_loss(model.lightning_model, batch)) == pytest.approx(total / len(targets), abs=1e-10)


# ####  --------------  Fast paths  --------------  #### #


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("extra", ["all_action", "dense", "towers", "pairs"])
def test_the_fast_step_gives_the_loss_and_the_gradients(extra: str, loss: str, folds: list[Fold]):
    more = {"all_action": ALL_ACTION, "dense": DENSE, **SIMILARITIES}[extra]
    model, batch = begun_in_float64({**SASREC, **more, **TEMPERATURE, "loss": loss}, folds[0])
    module = model.lightning_model
    model._trainer.strategy._lightning_module = module
    assert allows_target_only_step(module, model._trainer)
    found = []
    for take in (
        lambda: module.loss_calculator(module.get_batch_logits(batch), batch["y"], batch["yw"]),
        lambda: step_loss(module, batch),
    ):
        module.zero_grad()
        value = take()
        value.backward()
        found.append(
            (value.item(), {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None})
        )
    (stock, of_stock), (ours, of_ours) = found
    assert ours == pytest.approx(stock, abs=1e-10)
    assert of_stock.keys() == of_ours.keys()
    for name, grad in of_stock.items():
        grad[0] = of_ours[name][0] if "ids_emb" in name else grad[0]  # padding
        assert torch.allclose(of_ours[name], grad, atol=1e-10), name


def test_a_similarity_of_the_users_own_keeps_its_own_path(folds: list[Fold]):
    class Louder(TwoTowerSimilarityModule):
        def forward(self, *args: Any) -> torch.Tensor:
            return 2 * super().forward(*args)

    model, _ = begun({**SASREC, **OURS, "similarity_module_type": Louder}, folds[0])
    assert not allows_target_only_step(model.lightning_model, model._trainer)


@pytest.mark.parametrize("kind", ["towers", "pairs"])
def test_recommendations_rank_by_the_similarity(kind: str, folds: list[Fold], tmp_path: Path):
    model = build_model({**SASREC, **OURS, **SIMILARITIES[kind], "epochs": 1, "loss": "BCE"})
    paths = accelerate(model)
    seed_everything(1, verbose=False)
    model.fit(folds[0].train)
    fast = recommend(model, folds[0], 5, filter_viewed=True)
    paths.leave(model)
    plain = recommend(model, folds[0], 5, filter_viewed=True)
    assert fast[[Columns.User, Columns.Item]].equals(plain[[Columns.User, Columns.Item]])
    user = plain[Columns.User].iloc[0]
    viewed = set(folds[0].seen.loc[folds[0].seen[Columns.User] == user, Columns.Item])
    lists = plain[plain[Columns.User] == user]
    assert len(lists) == 5
    assert not viewed & set(lists[Columns.Item])
    of_user = _scores(model, folds[0], user)
    best = sorted((item for item in of_user if item not in viewed), key=lambda item: -of_user[item])[:5]
    assert best == lists[Columns.Item].tolist()
    model.save(tmp_path / "model.pickle")
    again = recommend(load_model(tmp_path / "model.pickle"), folds[0], 5, filter_viewed=True)
    assert again.equals(plain)


def _scores(model: TransformerModelBase, fold: Fold, user: Any) -> dict[Any, float]:
    preparator = model.data_preparator
    dataset = preparator.transform_dataset_u2i(fold.train, [user])
    batch = next(iter(preparator.get_dataloader_recommend(dataset, 1)))
    model.torch_model.eval()
    with torch.no_grad():
        sessions, table = encoded(model, batch)
    items = preparator.item_id_map.external_ids
    return {items[i]: score(model, sessions[0, -1], table[i]) for i in range(1, len(items))}


# ####  --------------  Windows  --------------  #### #

SESSIONS = [[1, 2], [4, 3, 8], [5, 1, 2, 6, 7]]
TIMES = [[0, 9], [0, 1, 5], [0, 0, 2, 3, 8]]


def preparator_of(kind: type[SASRecDataPreparator], **kwargs: Any) -> SASRecDataPreparator:
    preparator = kind(session_max_len=4, batch_size=3, dataloader_num_workers=0, **kwargs)
    preparator.item_id_map = type("Items", (), {"size": 9})()
    return preparator


def batch_of(kind: type[SASRecDataPreparator], **kwargs: Any) -> dict[str, torch.Tensor]:
    sessions = [
        (items, [float(item) for item in items], {"unix_ts": (np.array(days) * DAY).tolist()})
        for items, days in zip(SESSIONS, TIMES, strict=True)
    ]
    return preparator_of(kind, **kwargs)._collate_fn_train(sessions)


def test_the_window_of_all_action_in_actions_and_in_days():
    batch = batch_of(AllActionDataPreparator, window=2)
    assert batch["x"].tolist() == [[0, 0, 0, 1], [0, 0, 0, 4], [0, 5, 1, 2]]
    assert batch["y"].tolist() == [[2, 0], [3, 8], [6, 7]]
    assert batch["yw"].tolist() == [[2.0, 0.0], [3.0, 8.0], [6.0, 7.0]]
    batch = batch_of(AllActionDataPreparator, window=5, unit="days")
    assert batch["x"].tolist() == [[0, 0, 0, 1], [0, 0, 0, 4], [5, 1, 2, 6]]
    assert batch["y"].tolist() == [[2, 0], [3, 8], [7, 0]]
    wide = batch_of(AllActionDataPreparator, window=50)
    assert wide["y"].shape[1] == 3, "fewer targets than positions"


def test_a_window_of_one_item_is_the_known_task():
    sasrec = batch_of(SASRecDataPreparator)
    one = batch_of(DenseAllActionDataPreparator, window=1)
    assert all(torch.equal(one[key], sasrec[key]) for key in ("x", "y", "yw"))
    last = batch_of(AllActionDataPreparator, window=1)
    assert torch.equal(last["x"], sasrec["x"])
    assert torch.equal(last["y"], sasrec["y"][:, -1:])


@pytest.mark.parametrize(
    ("kwargs", "windows"),
    [
        ({"window": 2}, {5: {1, 2}, 1: {2, 6}, 2: {6, 7}, 6: {7}}),
        ({"window": 2.5, "unit": "days"}, {5: {1, 2}, 1: {2}, 2: {6}, 6: {7}}),
    ],
)
def test_dense_all_action_draws_uniformly_from_each_window(
    kwargs: dict[str, Any], windows: dict[int, set[int]]
):
    torch.manual_seed(3)
    n = 400
    drawn: dict[int, list[int]] = {item: [] for item in windows}
    for _ in range(n):
        batch = batch_of(DenseAllActionDataPreparator, **kwargs)
        assert batch["x"].tolist()[2] == [5, 1, 2, 6]
        assert torch.equal(batch["y"].float(), batch["yw"]), "a target keeps its weight"
        for item, target in zip(batch["x"][2].tolist(), batch["y"][2].tolist(), strict=True):
            drawn[item].append(target)
    for item, window in windows.items():
        assert set(drawn[item]) == window
        if len(window) > 1:
            assert chisquare([drawn[item].count(target) for target in sorted(window)]).pvalue > 1e-3


def test_times_reach_the_window_in_days_through_a_fit(folds: list[Fold]):
    for kind in (ALL_ACTION, DENSE):
        model = build_model({**SASREC, **OURS, **kind, **DAYS, "epochs": 1})
        model.fit(folds[0].train)
        extras = model.data_preparator.train_dataset.interactions.df
        assert "unix_ts" in extras
        assert extras["unix_ts"].max() == folds[0].train.interactions.df[Columns.Datetime].max().timestamp()
        assert not recommend(model, folds[0], 5, filter_viewed=True).empty


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": 1.5}, {"unit": "hours"}])
def test_a_window_that_cannot_be_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="window > 0"):
        preparator_of(AllActionDataPreparator, **wrong)


# ####  --------------  Negatives  --------------  #### #


@pytest.mark.parametrize(
    ("popular", "in_batch"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.3, 0.5), (0.5, 0.0)]
)
def test_negatives_have_the_mixed_distribution(popular: float, in_batch: float):
    torch.manual_seed(11)
    shares = torch.tensor([0, 0.4, 0.3, 0.0, 0.2, 0.1], dtype=torch.float64)
    y = torch.tensor([[0, 1, 5], [0, 0, 5], [2, 5, 4]])
    sampler = MixedNegativeSampler(40, popular_share=popular, in_batch_share=in_batch)
    sampler.popularity = _Known(shares)
    drawn = sampler.get_negatives({"x": torch.zeros(3, 200), "y": y}, lowest_id=1, highest_id=6)
    assert drawn.shape == (3, 200, 40)
    in_this_batch = torch.tensor([0, 1, 1, 0, 1, 3]).double() / 6
    uniform = torch.tensor([0, 1, 1, 1, 1, 1]).double() / 5
    expected = (1 - popular - in_batch) * uniform + popular * shares + in_batch * in_this_batch
    counts = torch.bincount(drawn.flatten(), minlength=6).numpy()
    possible = (expected > 0).numpy()
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible], expected.numpy()[possible] * counts.sum()).pvalue > 1e-3
    assert sampler.get_negatives({"x": y, "y": y[:, -1:]}, 1, 6, session_len_limit=1).shape == (3, 1, 40)


class _Known(Popularity):
    def __init__(self, shares: torch.Tensor) -> None:
        self._shares = shares

    def shares(self) -> torch.Tensor:
        return self._shares


def test_the_lightning_module_tells_the_sampler_the_popularity(folds: list[Fold]):
    mixed = {"negative_sampler_type": MixedNegativeSampler, "negative_sampler_kwargs.popular_share": 0.5}
    model, _ = begun({**SASREC, **OURS, **mixed, "loss": "BCE"}, folds[0])
    items = model.data_preparator.train_dataset.interactions.df[Columns.Item]
    shares = model.data_preparator.negative_sampler.popularity.shares()
    assert float(shares.sum()) == pytest.approx(1)
    assert float(shares[5]) == pytest.approx((items == 5).mean())
    with pytest.raises(RuntimeError, match="ObjectiveLightningModule"):
        begun({**SASREC, **mixed, "loss": "BCE"}, folds[0])


def test_without_shares_the_sampler_is_rectools(folds: list[Fold]):
    plain, of_plain = begun({**BERT4REC, "loss": "BCE"}, folds[0])
    mixed, of_mixed = begun(
        {**BERT4REC, "loss": "BCE", "negative_sampler_type": MixedNegativeSampler}, folds[0]
    )
    assert type(plain.data_preparator.negative_sampler) is not type(mixed.data_preparator.negative_sampler)
    assert torch.equal(of_plain["negatives"], of_mixed["negatives"])


@pytest.mark.parametrize("wrong", [{"popular_share": -0.1}, {"popular_share": 0.6, "in_batch_share": 0.6}])
def test_shares_that_cannot_be_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="popular_share"):
        MixedNegativeSampler(4, **wrong)


def test_a_loss_that_is_unknown_is_refused(folds: list[Fold]):
    from tuner.models.feasibility import infeasible

    wrong = {
        **SASREC,
        "loss": "softmx",
        "lightning_module_type": "search_spaces.objectives.ObjectiveLightningModule",
    }
    assert "in_batch_softmax" in infeasible(wrong)[0].rule
    assert infeasible({**wrong, "loss": IN_BATCH}) == []
    (problem,) = infeasible({**wrong, "loss": "softmax", "use_causal_attn": False})
    assert problem.where == "use_causal_attn"
    with pytest.raises(ValueError, match="in_batch_softmax"):
        begun({**SASREC, **OURS, "loss": "softmx"}, folds[0])
