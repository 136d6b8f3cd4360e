"""What cannot work is refused by name, and its nearest neighbours that can are not."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import optuna
import pytest
import torch
from rectools.models import SASRecModel
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.net_blocks import TransformerLayersBase
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator, SASRecTransformerLayers

from search_spaces.guide import space as guide
from tuner.config import Metric
from tuner.evaluation import Plan, evaluate_fold
from tuner.models.build import CLASSIC_BASELINES, complete_params
from tuner.models.feasibility import infeasible
from tuner.trials.records import Evaluation

if TYPE_CHECKING:
    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::FutureWarning",
        "ignore::UserWarning",
        "ignore::DeprecationWarning",
        "ignore:OpenBLAS:RuntimeWarning",
    ),
    pytest.mark.usefixtures("one_thread"),
]

Params = dict[str, Any]

NN = "rectools.models.nn.transformers"
SMALL: Params = {
    "n_blocks": 2,
    "n_heads": 2,
    "n_factors": 8,
    "session_max_len": 6,
    "batch_size": 32,
    "epochs": 1,
    "recommend_torch_device": "cpu",
}
SASREC: Params = {**SMALL, "cls": "SASRecModel"}
BERT4REC: Params = {**SMALL, "cls": "BERT4RecModel"}
HSTU: Params = {**SMALL, "cls": "HSTUModel"}
ALS: Params = {"cls": "ImplicitALSWrapperModel", "model.factors": 4, "model.iterations": 2}
BPR: Params = {**ALS, "cls": "ImplicitBPRWrapperModel"}
KNN: Params = {"cls": "ImplicitItemKNNWrapperModel", "model.cls": "CosineRecommender"}
SVD: Params = {"cls": "PureSVDModel", "factors": 4}

PRE_LN: Params = {"transformer_layers_type": f"{NN}.net_blocks.PreLNTransformerLayers"}
LIGR: Params = {"transformer_layers_type": f"{NN}.ligr.LiGRLayers"}
ALBERT: Params = {"transformer_layers_type": "search_spaces.albert.AlbertLayers"}
SHIFTED: Params = {"data_preparator_type": f"{NN}.sasrec.SASRecDataPreparator"}
MASKED: Params = {"data_preparator_type": f"{NN}.bert4rec.BERT4RecDataPreparator"}
NEXT_ACTION: Params = {
    "data_preparator_type": "search_spaces.next_action.NextActionDataPreparator",
    "lightning_module_type": "search_spaces.next_action.NextActionLightningModule",
}
ALBERT_ITEMS: Params = {"item_net_constructor_type": "search_spaces.albert.AlbertSumConstructor"}


def kwargs_of(owner: str, **kwargs: Any) -> Params:
    return {f"{owner}_kwargs.{name}": value for name, value in kwargs.items()}


def layers(**kwargs: Any) -> Params:
    return kwargs_of("transformer_layers", **kwargs)


STU: Params = {
    "transformer_layers_type": f"{NN}.hstu.STULayers",
    **layers(linear_hidden_dim=4, attention_dim=4, session_max_len=6),
    **layers(relative_time_attention=False, relative_pos_attention=False),
}
LAYERS_LENGTH = "transformer_layers_kwargs.session_max_len"
LOGITS = "lightning_module_kwargs.logits_t"
DISTANCE = "similarity_module_kwargs.distance"

#: (base, the change that cannot work, key named, text in the rule, changes nearest to it that can)
CASES: dict[str, tuple[Params, Params, str, str, list[Params]]] = {
    "heads": (SASREC, {"n_heads": 3}, "n_heads", "n_factors=8, n_heads=3", [{"n_heads": 4}, {"n_heads": 1}]),
    "heads-factors": (SASREC, {"n_factors": 9}, "n_heads", "n_factors=9", [{"n_factors": 10}]),
    "heads-ligr": ({**SASREC, **LIGR}, {"n_heads": 3}, "n_heads", "n_heads=3", [{"n_heads": 8}]),
    "heads-hstu": (HSTU, {"n_heads": 3}, "n_heads", "n_heads=3", [{"n_heads": 4}]),
    "heads-none": (BERT4REC, {"n_heads": 0}, "n_heads", "got 0", [{"n_heads": 1}]),
    "factors": (SASREC, {"n_factors": 0}, "n_factors", "got 0", [{"n_factors": 1, "n_heads": 1}]),
    "blocks": (SASREC, {"n_blocks": -1}, "n_blocks", "got -1", [{"n_blocks": 0}, {"n_blocks": 1}]),
    "blocks-fraction": (SASREC, {"n_blocks": 1.5}, "n_blocks", "got 1.5", [{"n_blocks": 1.0}]),
    "blocks-masked": (BERT4REC, {"n_blocks": 0}, "n_blocks", "got 0", [{"n_blocks": 1}]),
    "batch": (SASREC, {"batch_size": 0}, "batch_size", "got 0", [{"batch_size": 1}]),
    "recommend-batch": (SASREC, {"recommend_batch_size": 0}, "recommend_batch_size", "got 0", []),
    "workers": (SASREC, {"dataloader_num_workers": -1}, "dataloader_num_workers", "got -1", []),
    "length": (SASREC, {"session_max_len": 0}, "session_max_len", "got 0", [{"session_max_len": 1}]),
    "length-mask": (BERT4REC, {"session_max_len": 1}, "session_max_len", "got 1", [{"session_max_len": 2}]),
    "length-hstu": (
        HSTU,
        {"session_max_len": 1},
        "session_max_len",
        "got 1",
        [{"session_max_len": 2}, {"session_max_len": 1, "relative_pos_attention": False}],
    ),
    "epochs": (SASREC, {"epochs": 0}, "epochs", "got 0", [{}]),
    "epochs-endless": (SASREC, {"epochs": -1}, "epochs", "got -1", []),
    "train-users": (
        SASREC,
        {"train_min_user_interactions": 1},
        "train_min_user_interactions",
        "got 1",
        [{"train_min_user_interactions": 2}, {"train_min_user_interactions": 1, **MASKED}],
    ),
    "dropout": (SASREC, {"dropout_rate": 1.0}, "dropout_rate", "got 1.0", [{"dropout_rate": 0.99}]),
    "dropout-negative": (SASREC, {"dropout_rate": -0.1}, "dropout_rate", "got -0.1", [{"dropout_rate": 0.0}]),
    "lr": (SASREC, {"lr": 0.0}, "lr", "got 0.0", [{"lr": 1e-8}]),
    "lr-nan": (SASREC, {"lr": math.nan}, "lr", "got nan", []),
    "loss": (SASREC, {"loss": "gbce"}, "loss", "got 'gbce'", [{"loss": "gBCE"}, {"loss": "softmax"}]),
    "loss-next-action": ({**BERT4REC, **NEXT_ACTION}, {"loss": "x"}, "loss", "got 'x'", [{"loss": "BCE"}]),
    "negatives-bce": (SASREC, {"loss": "BCE", "n_negatives": 0}, "n_negatives", "got 0", [{"loss": "BCE"}]),
    "negatives-gbce": (
        SASREC,
        {"loss": "gBCE", "n_negatives": 0},
        "n_negatives",
        "got 0",
        [{"loss": "gBCE", "n_negatives": 1}, {"loss": "softmax", "n_negatives": 0}],
    ),
    "negatives-sampled": (
        SASREC,
        {"loss": "sampled_softmax", "n_negatives": -1},
        "n_negatives",
        "got -1",
        [{"loss": "sampled_softmax", "n_negatives": 1}],
    ),
    "gbce-t": (
        SASREC,
        {"loss": "gBCE", "gbce_t": 1.2},
        "gbce_t",
        "got 1.2",
        [{"loss": "gBCE", "gbce_t": 1.0}, {"loss": "gBCE", "gbce_t": 0.0}, {"gbce_t": 1.2}],
    ),
    "mask-none": (BERT4REC, {"mask_prob": 0.0}, "mask_prob", "got 0.0", [{"mask_prob": 0.1}]),
    "mask-all": (
        BERT4REC,
        {"mask_prob": 1.0},
        "mask_prob",
        "got 1.0",
        [{"mask_prob": 0.9}, {"mask_prob": 1.0, **NEXT_ACTION}],
    ),
    "mask-elsewhere": (
        {**SASREC, **MASKED, "use_causal_attn": False},
        kwargs_of("data_preparator", mask_prob=0.0),
        "data_preparator_kwargs.mask_prob",
        "got 0.0",
        [kwargs_of("data_preparator", mask_prob=0.3)],
    ),
    "mask-twice": (
        BERT4REC,
        kwargs_of("data_preparator", mask_prob=0.3),
        "data_preparator_kwargs.mask_prob",
        "multiple values",
        [{"mask_prob": 0.3}],
    ),
    "leak": (SASREC, {"use_causal_attn": False}, "use_causal_attn", "got False", [{"use_causal_attn": True}]),
    "leak-bert4rec": (
        BERT4REC,
        SHIFTED,
        "use_causal_attn",
        "got False",
        [{**SHIFTED, "use_causal_attn": True}, {"use_causal_attn": True}],
    ),
    "leak-hstu": (
        {**HSTU, **PRE_LN},
        {"use_causal_attn": False},
        "use_causal_attn",
        "got False",
        [{}, {"use_causal_attn": False, **MASKED}],
    ),
    "hstu-ligr": (HSTU, LIGR, "transformer_layers_type", "unexpected keyword", [PRE_LN]),
    "hstu-albert": (HSTU, ALBERT, "transformer_layers_type", "unexpected keyword", []),
    "hstu-masked": (
        HSTU,
        MASKED,
        "relative_time_attention",
        "got True",
        [{**MASKED, "relative_time_attention": False}, {**MASKED, **PRE_LN}],
    ),
    "hstu-next-action": (HSTU, NEXT_ACTION, "relative_time_attention", "got True", []),
    "hstu-causal": (HSTU, {"use_causal_attn": False}, "use_causal_attn", "got False", [{}]),
    "hstu-doubled": (
        HSTU,
        layers(attention_dim=4),
        "transformer_layers_kwargs.attention_dim",
        "multiple values",
        [layers(attn_dropout_rate=0.1)],
    ),
    "hstu-epsilon": (HSTU, layers(epsilon=0.0), "transformer_layers_kwargs.epsilon", "got 0.0", []),
    "hstu-attention-dropout": (
        HSTU,
        layers(attn_dropout_rate=1.5),
        "transformer_layers_type",
        "between 0 and 1",
        [layers(attn_dropout_rate=0.5)],
    ),
    "stu-kwargs": (
        SASREC,
        {"transformer_layers_type": STU["transformer_layers_type"]},
        "transformer_layers_type",
        "missing 5 required",
        [STU, {**STU, "n_heads": 3}],
    ),
    "stu-length": (SASREC, {**STU, LAYERS_LENGTH: 7}, LAYERS_LENGTH, "got 7 and 6", [STU]),
    "stu-padding": (
        {**SASREC, **STU},
        {"use_key_padding_mask": True},
        "use_key_padding_mask",
        "got True",
        [{"use_key_padding_mask": True, **PRE_LN, **layers(session_max_len=6)}],
    ),
    "stu-time": (
        {**SASREC, **STU},
        layers(relative_time_attention=True),
        "transformer_layers_kwargs.relative_time_attention",
        "got True",
        [layers(relative_pos_attention=True)],
    ),
    "time-without-context": (
        SASREC,
        kwargs_of("data_preparator", add_unix_ts=True),
        "data_preparator_kwargs.add_unix_ts",
        "got True",
        [kwargs_of("data_preparator", add_unix_ts=False)],
    ),
    "distance": (SASREC, {DISTANCE: "euclid"}, DISTANCE, "got 'euclid'", [{DISTANCE: "cosine"}]),
    "none-beside": (
        SASREC,
        {"similarity_module_kwargs": None, DISTANCE: "dot"},
        "similarity_module_kwargs",
        "got None",
        [{"similarity_module_kwargs": None}, {DISTANCE: "dot"}],
    ),
    "logits": (SASREC, {LOGITS: 0.0}, LOGITS, "got 0.0", [{LOGITS: 0.1}]),
    "logits-inverted": (SASREC, {LOGITS: -1.0}, LOGITS, "got -1.0", []),
    "albert-groups": (
        {**SASREC, **ALBERT},
        layers(n_hidden_groups=3),
        "transformer_layers_kwargs.n_hidden_groups",
        "n_blocks=2, n_hidden_groups=3",
        [layers(n_hidden_groups=2), {**layers(n_hidden_groups=3), "n_blocks": 3}],
    ),
    "albert-heads": ({**SASREC, **ALBERT}, {"n_heads": 3}, "transformer_layers_type", "embed_dim", [{}]),
    "albert-items": (
        SASREC,
        ALBERT_ITEMS,
        "item_net_constructor_type",
        "emb_factors",
        [{**ALBERT_ITEMS, **kwargs_of("item_net_constructor", emb_factors=4)}],
    ),
    "ligr-kwarg": (
        {**SASREC, **LIGR},
        layers(ff_activation="silu"),
        "transformer_layers_kwargs.ff_activation",
        "silu",
        [layers(ff_activation="gelu")],
    ),
    "item-nets": (SASREC, {"item_net_block_types": ()}, "item_net_block_types", "got none", []),
    "als-factors": (ALS, {"model.factors": 0}, "model.factors", "got 0", [{"model.factors": 1}]),
    "als-alpha": (ALS, {"model.alpha": 0.0}, "model.alpha", "got 0.0", [{"model.alpha": 0.5}]),
    "bpr-factors": (BPR, {"model.factors": 0}, "model.factors", "got 0", [{"model.factors": 1}]),
    "bpr-lr": (BPR, {"model.learning_rate": 0.0}, "model.learning_rate", "got 0.0", []),
    "knn": (KNN, {"model.K": 0}, "model.K", "got 0", [{"model.K": 2}]),
    "svd": (SVD, {"factors": 0}, "factors", "got 0", [{"factors": 1}]),
    "svd-tol": (SVD, {"tol": -1.0}, "tol", "got -1.0", [{"tol": 0.0}]),
    "ease": ({"cls": "EASEModel"}, {"regularization": -1.0}, "regularization", "got -1.0", [{}]),
}
NEIGHBOURS = {
    f"{name}-{index}": {**base, **change}
    for name, (base, _, _, _, neighbours) in CASES.items()
    for index, change in enumerate(neighbours)
}


class OwnLayers(SASRecTransformerLayers):
    """Sees one way only, whatever the mask says, and refuses wide dropout; does not build on meta."""

    def __init__(
        self, n_blocks: int, n_factors: int, n_heads: int, dropout_rate: float, depth: int = 1
    ) -> None:
        super().__init__(n_blocks, n_factors, n_heads, dropout_rate)
        self.rates = torch.linspace(0, dropout_rate, n_blocks).tolist()
        if depth > 2:
            raise RuntimeError("depth must be at most 2")

    def forward(self, seqs, *args: Any, **kwargs: Any):
        return seqs


class Recurrent(TransformerLayersBase):
    def __init__(self, n_factors: int, **kwargs: Any) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(n_factors, n_factors, batch_first=True)


class OwnLoss(TransformerLightningModule):
    def get_loss_calculator(self):
        return self._calc_softmax_loss


class OwnTask(SASRecDataPreparator):
    def _collate_fn_train(self, batch):
        return super()._collate_fn_train(batch)


class OwnMasking(BERT4RecDataPreparator):
    def _mask_session(self, ses, *args: Any, **kwargs: Any):
        return super()._mask_session(ses)


class OwnSampler(CatalogUniformSampler):
    def get_negatives(self, *args: Any, **kwargs: Any):
        return super().get_negatives(*args, **kwargs)


class OwnModel(SASRecModel):
    pass


def own(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_work_is_refused_by_name(name):
    base, change, key, text, _ = CASES[name]
    assert infeasible(base) == []
    problems = infeasible({**base, **change})
    rules = {problem.where: problem.rule for problem in problems}
    assert key in rules
    assert "must" in rules[key]
    assert "but got" in rules[key]
    assert text in rules[key]
    assert all(problem.hint for problem in problems)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_are_not_refused(name):
    assert infeasible(NEIGHBOURS[name]) == []


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_fit(name, folds: list[Fold]):
    metric = Metric.parse("NDCG@10")
    reported: list[Evaluation] = []
    plan = Plan((metric,), metric.label, "maximize", filter_viewed=True)
    evaluate_fold(NEIGHBOURS[name], folds[0], plan, 17, reported.append)
    assert reported


@pytest.mark.parametrize(
    "changes",
    [
        {"transformer_layers_type": OwnLayers},
        {"transformer_layers_type": OwnLayers, "use_causal_attn": False},
        {"transformer_layers_type": Recurrent, "use_causal_attn": False, "n_heads": 3},
        {"lightning_module_type": OwnLoss, "loss": "mine"},
        {"data_preparator_type": OwnTask, "use_causal_attn": False, "train_min_user_interactions": 1},
        {"data_preparator_type": OwnMasking, "data_preparator_kwargs.mask_prob": 0.0},
        {"negative_sampler_type": OwnSampler, "loss": "BCE", "n_negatives": 0},
        {"cls": OwnModel, "n_heads": 3},
        {"cls": "no.such.Model", "n_heads": 3},
        {"transformer_layers_type": "no.such.Layers"},
    ],
    ids=str,
)
def test_classes_of_the_user_are_not_judged(changes, monkeypatch):
    found = {own(value): value for value in changes.values() if isinstance(value, type)}
    params = {key: own(value) if isinstance(value, type) else value for key, value in changes.items()}
    monkeypatch.setattr("tuner.models.feasibility.case.imported", found.get)
    assert infeasible({**SASREC, **params}) == []


def test_constructors_of_the_user_speak_for_themselves(monkeypatch):
    monkeypatch.setattr("tuner.models.feasibility.case.imported", lambda _: OwnLayers)
    (problem,) = infeasible({**SASREC, "transformer_layers_type": "mine.OwnLayers", **layers(depth=3)})
    assert problem.where == "transformer_layers_kwargs.depth"
    assert "RuntimeError: depth must be at most 2" in problem.rule
    assert infeasible({**SASREC, "transformer_layers_type": "mine.OwnLayers", **layers(depth=2)}) == []


class Narrow(SASRecTransformerLayers):
    def __init__(self, n_blocks, n_factors):
        super().__init__(n_blocks, n_factors, 1, 0.0)


def test_a_class_of_ones_own_is_asked_to_take_what_the_model_gives(monkeypatch):
    monkeypatch.setattr("tuner.models.feasibility.case.imported", lambda _: Narrow)
    (problem,) = infeasible({**SASREC, "transformer_layers_type": "mine.Narrow"})
    assert "but got TypeError" in problem.rule
    assert problem.hint == "let `__init__` of Narrow accept these arguments"


@pytest.mark.parametrize(
    "key",
    [
        "transformer_layers_kwargs.n_factors",
        "pos_encoding_kwargs.n_factors",
        "data_preparator_kwargs.batch_size",
        "item_net_constructor_kwargs.n_factors",
        "lightning_module_kwargs.lr",
    ],
)
def test_a_kwarg_that_the_model_gives_is_to_be_left_out(key):
    (problem,) = infeasible({**SASREC, key: 3})
    assert problem.where == key
    assert "inspect" not in problem.rule
    assert problem.hint == f"leave `{key}` out: the model gives {key.partition('.')[2]}"


def test_all_problems_at_once():
    problems = infeasible({**SASREC, "lr": 0.0, "n_heads": 3, "dropout_rate": 1.5})
    assert {problem.where for problem in problems} == {"lr", "n_heads", "dropout_rate"}


def test_whole_numbers_may_be_floats_as_in_the_config():
    assert infeasible({**SASREC, **ALBERT, "n_factors": 8.0, "n_blocks": 2.0}) == []
    assert infeasible({**SASREC, "n_factors": 8.0, "n_heads": 3.0})[0].where == "n_heads"


def test_a_trainer_of_ones_own_decides_the_epochs():
    assert infeasible({**SASREC, "epochs": 0, "get_trainer_func": "my.trainer"}) == []


def test_the_guide_is_feasible_and_asking_is_fast():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seconds = []
    for params in [guide.suggest(study.ask()) for _ in range(300)]:
        start = time.perf_counter()
        problems = infeasible(params)
        seconds.append(time.perf_counter() - start)
        assert problems == []
    assert sorted(seconds)[150] < 0.01  # about 0.5 ms on a quiet machine


@pytest.mark.parametrize("name", [*guide.baselines, *CLASSIC_BASELINES])
def test_baselines_are_feasible(name):
    params = {**CLASSIC_BASELINES, **guide.baselines}[name]
    assert infeasible(params) == []
    assert infeasible(complete_params(params)) == []


def test_random_numbers_and_device_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    infeasible({**SASREC, **ALBERT, **layers(n_hidden_groups=7)})
    assert torch.equal(torch.rand(3), expected)
    assert torch.empty(1).device.type == "cpu"
