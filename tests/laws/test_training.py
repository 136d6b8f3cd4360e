"""What must hold for the fast paths: losses, gradients, fits and the random stream are those of RecTools."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools.models import load_model
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers

from search_spaces.albert import AlbertLayers, AlbertSumConstructor
from tuner.config import Metric
from tuner.evaluation import Plan, evaluate_fold, recommend
from tuner.models.build import build_model
from tuner.training.fast_paths import accelerate
from tuner.training.fast_paths.eligible import allows_target_only_step
from tuner.training.fast_paths.replayed import ReplayedSteps
from tuner.training.fast_paths.step import TARGETS, TargetsAhead, target_only_step
from tuner.training.fast_paths.table import _Rows, all_embeddings, takes_ids_of_any_device

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from rectools.models.nn.transformers.base import TransformerModelBase

    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SEED = 77
SASREC: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": 2,
    "n_heads": 2,
    "n_factors": 16,
    "dropout_rate": 0.2,
    "session_max_len": 8,
    "batch_size": 16,
    "n_negatives": 7,
    "gbce_t": 0.4,
    "lr": 0.01,
    "epochs": 2,
    "recommend_torch_device": "cpu",
}
BERT4REC = {**SASREC, "cls": "BERT4RecModel", "mask_prob": 0.4}
NEXT_ACTION = {"lightning_module_type": "search_spaces.next_action.NextActionLightningModule"}
MODELS = {
    "sasrec": SASREC,
    "bert4rec": BERT4REC,
    "hstu": {**SASREC, "cls": "HSTUModel"},
    "ligr": {**SASREC, "transformer_layers_type": "rectools.models.nn.transformers.ligr.LiGRLayers"},
    "alsasrec": {
        **SASREC,
        "transformer_layers_type": AlbertLayers,
        "item_net_constructor_type": AlbertSumConstructor,
        "item_net_constructor_kwargs.emb_factors": 4,
    },
    "next_action": {
        **BERT4REC,
        **NEXT_ACTION,
        "data_preparator_type": "search_spaces.next_action.NextActionDataPreparator",
    },
    "shifted_next_action": {
        **SASREC,
        **NEXT_ACTION,
        "data_preparator_type": "search_spaces.next_action.ShiftedNextActionDataPreparator",
    },
}
LOSSES = ["softmax", "BCE", "gBCE", "sampled_softmax"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: Without and with what changes the scores: item features, cosine, a temperature.
PLAIN: dict[str, Any] = {}
CHANGED = {"similarity_module_kwargs.distance": "cosine", "lightning_module_kwargs.logits_t": 0.3}

Batch = dict[str, torch.Tensor]
Step = tuple[float, dict[str, torch.Tensor]]
#: Of the losses, relative; of a gradient, relative to the largest element of its tensor.
TOLERANCES = {torch.float32: (1e-6, 1e-5), torch.float64: (1e-10, 1e-10)}
#: RecTools sums the gradients of HSTU's biases in float32, in a model of float64 too.
OF_BIASES = 1e-6


# ####  --------------  One step  --------------  #### #


def begun(
    params: dict[str, Any], fold: Fold, *, features: bool = True, device: str = "cpu"
) -> tuple[TransformerModelBase, Batch]:
    """Return a model with new weights, and its first batch, as at the start of a fit."""
    seed_everything(SEED, verbose=False)
    model = build_model(params)
    dataset = fold.train
    if not features:
        dataset = type(dataset)(dataset.user_id_map, dataset.item_id_map, dataset.interactions)
    model._build_model_from_dataset(dataset)
    model.lightning_model.train().on_train_start()
    batch = next(iter(model.data_preparator.get_dataloader_train()))
    model.lightning_model.to(device)
    return model, {key: values.to(device) for key, values in batch.items()}


def step(
    module: TransformerLightningModule, training_step: Any, batch: Batch
) -> tuple[float, dict[str, Any]]:
    torch.manual_seed(SEED)  # the same dropout
    module.zero_grad()
    loss = training_step(module, batch, 0)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return loss.item(), gradients


def assert_same_gradients(
    gradients: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float
) -> None:
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        largest = expected[name].abs().max().item()
        error = (gradient - expected[name]).abs().max().item()
        allowed = max(tolerance, OF_BIASES) if "rel_attn" in name else tolerance
        assert error <= allowed * largest, f"{name}: {error} of {largest}"


def assert_same_step(module: TransformerLightningModule, batch: Batch, *, ours: Batch | None = None) -> None:
    of_loss, of_gradients = TOLERANCES[next(module.parameters()).dtype]
    loss, gradients = step(module, target_only_step, ours or batch)
    state = torch.get_rng_state()
    expected, expected_gradients = step(module, type(module).training_step, batch)
    assert torch.equal(state, torch.get_rng_state())
    assert loss == pytest.approx(expected, rel=of_loss, abs=0)
    assert_same_gradients(gradients, expected_gradients, of_gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("changes", [PLAIN, CHANGED], ids=["plain", "changed"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_has_the_loss_and_gradients_of_rectools(
    name: str, loss: str, changes: dict[str, Any], device: str, folds: list[Fold]
) -> None:
    params = {**MODELS[name], **changes, "loss": loss}
    model, batch = begun(params, folds[0], features=changes is CHANGED, device=device)
    module = model.lightning_model
    assert allows_target_only_step(module, model._trainer)
    assert len(batch["yw"].unique()) > 2, "weights differ"
    assert_same_step(module, batch)
    assert_same_step(module.double(), batch)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_targets_may_come_with_the_batch(loss: str, folds: list[Fold]) -> None:
    model, batch = begun({**SASREC, "loss": loss}, folds[0])
    targets = batch["y"].flatten().nonzero().squeeze(1)
    assert_same_step(model.lightning_model, batch, ours={**batch, TARGETS: targets})
    fewer, _ = step(model.lightning_model, target_only_step, {**batch, TARGETS: targets[1:]})
    assert fewer != step(model.lightning_model, target_only_step, batch)[0], "they are used"


class Onlooker(SASRecTransformerLayers):
    """A user's layers, which are given the batch."""

    keys: ClassVar[set[str]] = set()

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.keys.update(kwargs.get("batch") or {})
        return super().forward(*args, **kwargs)


@pytest.mark.parametrize("layers", [SASRecTransformerLayers, Onlooker])
def test_targets_found_ahead_change_nothing_that_others_see(
    layers: type, folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done for a GPU, done on a CPU."""

    def weights() -> dict[str, torch.Tensor]:
        seed_everything(SEED, verbose=False)
        model = build_model({**SASREC, "loss": "softmax", "transformer_layers_type": layers})
        accelerate(model)
        model.fit(folds[0].train)
        assert not {"training_step", "on_before_batch_transfer"} & set(vars(model.lightning_model))
        return model.torch_model.state_dict()

    found = []
    find = TargetsAhead.find
    expected = weights()
    module = sys.modules[
        "tuner.training.fast_paths.accelerate"
    ]  # the package's attribute is the function of that name
    monkeypatch.setattr(module, "on_gpu", lambda trainer: True)
    monkeypatch.setattr(TargetsAhead, "find", lambda *args: found.append(find(*args)) or found[-1])
    ours = weights()
    assert found, "they were found ahead"
    assert all(TARGETS not in batch for batch in found)
    assert all(torch.equal(values, expected[name]) for name, values in ours.items())
    assert layers is not Onlooker or "x" in Onlooker.keys
    assert TARGETS not in Onlooker.keys


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_on_a_gpu_waits_for_nothing(
    name: str, loss: str, folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the transfer of a batch to the update of the parameters the processor runs ahead of the GPU.

    Without item features, whose net asks for a number. Of a shape one step runs as it comes, one is recorded,
    which waits for the GPU once, and all others are replayed.
    """
    n_steps, train = 0, folds[0].train
    begin, record = ReplayedSteps.step, ReplayedSteps._recorded
    modes = torch.cuda.get_sync_debug_mode, torch.cuda.set_sync_debug_mode

    def watched(self: ReplayedSteps, *args: Any) -> Any:
        modes[1]("error")
        return begin(self, *args)

    class Unwatched(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            nonlocal n_steps
            n_steps += 1
            assert modes[0]() == 2
            modes[1]("default")

    def recorded(self: ReplayedSteps, *args: Any) -> Any:
        modes[1]("default")
        graph = record(self, *args)
        modes[1]("error")
        return graph

    monkeypatch.setattr(ReplayedSteps, "step", watched)
    monkeypatch.setattr(ReplayedSteps, "_recorded", recorded)
    model = build_model({**MODELS[name], "loss": loss, "epochs": 3})
    model._trainer.callbacks.append(Unwatched())
    accelerate(model)
    try:
        model.fit(type(train)(train.user_id_map, train.item_id_map, train.interactions))
    finally:
        modes[1]("default")
    assert n_steps


@pytest.mark.gpu
def test_on_a_gpu_batches_are_pinned_and_targets_found_ahead(
    folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    find = TargetsAhead.find
    monkeypatch.setattr(TargetsAhead, "find", lambda *args: found.append(find(*args)) or found[-1])
    model = build_model({**SASREC, "loss": "softmax"})
    paths = accelerate(model)
    paths._replays = lambda *_: False
    model.fit(folds[0].train)
    assert found
    assert all(batch["y"].is_pinned() for batch in found)


@pytest.mark.parametrize("name", MODELS)
def test_sessions_of_rows_are_those_of_the_table(name: str, folds: list[Fold]) -> None:
    """What a GPU encodes with, on a CPU: the same sessions, and the table's gradient but for rounding."""
    model, batch = begun(MODELS[name], folds[0])
    backbone = model.torch_model.eval()
    table = backbone.item_model.get_all_embeddings().detach().requires_grad_()
    ours, expected = (backbone.encode_sessions(batch, rows) for rows in (_Rows(table), table))
    assert torch.equal(ours, expected)
    weights = torch.randn_like(ours)
    (mine,), (theirs,) = (torch.autograd.grad((one * weights).sum(), table) for one in (ours, expected))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("name", MODELS)
def test_only_nets_that_say_so_are_given_ids_on_a_gpu(name: str, folds: list[Fold]) -> None:
    net = begun(MODELS[name], folds[0])[0].torch_model.item_model.eval()
    assert takes_ids_of_any_device(net)
    assert torch.equal(all_embeddings(net), net.get_all_embeddings())
    own = type("Own", (type(net),), {})
    net.__class__ = own
    assert not takes_ids_of_any_device(net), "a subclass of the user's may do as it likes"


@pytest.mark.parametrize("loss", LOSSES)
def test_row_0_and_only_row_0_gets_no_gradient(loss: str, folds: list[Fold]) -> None:
    """PAD and MASK are classes of the softmax; PAD's row is never trained."""
    model, batch = begun({**BERT4REC, "loss": loss}, folds[0], features=False)
    _, gradients = step(model.lightning_model, target_only_step, batch)
    (table,) = (gradient for name, gradient in gradients.items() if name.endswith("ids_emb.weight"))
    assert not table[0].any()
    assert table[1].any()
    if loss == "softmax":
        assert table.any(dim=1).sum() == len(table) - 1


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_without_weight_count_as_in_rectools(loss: str, folds: list[Fold]) -> None:
    """Softmax divides by the number of losses above 0, BCE by the number of targets."""
    model, batch = begun({**SASREC, "loss": loss}, folds[0])
    batch["yw"][::2] = 0
    assert_same_step(model.lightning_model, batch)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_targets_is_left_to_rectools(loss: str, folds: list[Fold]) -> None:
    """Its loss is nan, and its gradients are 0 or nan as they would be."""
    model, batch = begun({**SASREC, "loss": loss}, folds[0])
    batch["y"].zero_()
    ours, expected = (
        step(model.lightning_model, training_step, batch)
        for training_step in (target_only_step, TransformerLightningModule.training_step)
    )
    assert np.isnan([ours[0], expected[0]]).all()
    torch.testing.assert_close(ours[1], expected[1], rtol=0, atol=0, equal_nan=True)


# ####  --------------  Whole fits  --------------  #### #


def fit_and_recommend(
    params: dict[str, Any], fold: Fold, *, fast: bool
) -> tuple[pd.DataFrame, list[Any], tuple[str, ...]]:
    """Return the lists, the state of all random generators after the fit, and the paths taken."""
    model = build_model(params)
    taken = accelerate(model) if fast else None
    seed_everything(SEED, verbose=False)
    model.fit(fold.train)
    applied = taken.step if taken else ()
    keys, position = np.random.get_state()[1:3]  # noqa: NPY002  # the generator that RecTools draws from
    state = [random.getstate(), keys.tolist(), position, torch.get_rng_state().tolist()]
    return recommend(model, fold, 10, filter_viewed=True), state, applied


def paths(loss: str) -> tuple[str, ...]:
    """Return the paths of a step."""
    return (f"target-only {loss}", "encoder at targets", "fused Adam")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_gives_the_lists_and_the_random_stream_of_rectools(
    name: str, loss: str, folds: list[Fold]
) -> None:
    params = {**MODELS[name], "loss": loss}
    ours, state, applied = fit_and_recommend(params, folds[0], fast=True)
    expected, expected_state, _ = fit_and_recommend(params, folds[0], fast=False)
    assert applied == paths(loss)
    assert state == expected_state
    lists = ["user_id", "item_id", "rank"]
    assert ours[lists].equals(expected[lists])
    np.testing.assert_allclose(ours["score"], expected["score"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_a_trial_has_the_metrics_of_one_without_fast_paths(name: str, loss: str, folds: list[Fold]) -> None:
    metrics = tuple(Metric.parse(label) for label in ("NDCG@10", "HitRate@10", "MAP@10", "MRR@10"))
    reported: dict[bool, list[Evaluation]] = {True: [], False: []}
    for fast, evaluations in reported.items():
        plan = Plan(metrics, "NDCG@10", "maximize", filter_viewed=True, fast=fast)
        evaluate_fold({**MODELS[name], **CHANGED, "loss": loss}, folds[1], plan, SEED, evaluations.append)
    for ours, expected in zip(reported[True], reported[False], strict=True):
        assert ours.fast_paths[-len(paths(loss)) :] == paths(loss)
        assert expected.fast_paths == ()
        assert ours.metrics == expected.metrics
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-5)


def draw_weights_on_a_cpu(module: TransformerLightningModule) -> None:
    for weights in module.torch_model.parameters():
        if weights.dim() > 1:
            weights.data.copy_(torch.nn.init.xavier_normal_(torch.empty(weights.shape)))


def cpu_trainer() -> Trainer:
    """RecTools' own trainer, kept off a GPU."""
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_gives_the_metrics_of_a_cpu(
    name: str, loss: str, fast: bool, folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the same first weights, and no dropout: losses within 1e-4, metrics within one user's part.

    RecTools draws both where it trains, so that with one seed a GPU draws others than a CPU.
    """
    monkeypatch.setattr(TransformerLightningModule, "_xavier_normal_init", draw_weights_on_a_cpu)
    metrics = tuple(Metric.parse(label) for label in ("NDCG@10", "HitRate@10"))
    plan = Plan(metrics, "NDCG@10", "maximize", filter_viewed=True, fast=fast)
    params = {**MODELS[name], "loss": loss, "dropout_rate": 0.0, "recommend_torch_device": None}
    reported: dict[str, list[Evaluation]] = {"cpu": [], "cuda": []}
    for device, evaluations in reported.items():
        own = {"get_trainer_func": f"{__name__}.cpu_trainer"} if device == "cpu" else {}
        evaluate_fold({**params, **own}, folds[1], plan, SEED, evaluations.append)
    for ours, expected in zip(reported["cuda"], reported["cpu"], strict=True):
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        assert ours.metrics == pytest.approx(expected.metrics, abs=1 / len(folds[1].users))


@pytest.mark.parametrize("name", ["sasrec", "next_action"])
def test_a_fitted_model_is_plain_and_survives_saving(name: str, folds: list[Fold], tmp_path: Path) -> None:
    model = build_model(MODELS[name])
    before = model.get_params(simple_types=True)
    accelerate(model)
    model.fit(folds[0].train)
    module = model.lightning_model
    assert not {"training_step", "configure_optimizers"} & vars(module).keys()
    assert [group["fused"] for group in module.optimizer.param_groups] == [None]
    assert model.get_params(simple_types=True) == before
    model.save(tmp_path / "model.pkl")
    loaded = load_model(tmp_path / "model.pkl")
    assert type(loaded.lightning_model) is type(module)
    lists = [recommend(fitted, folds[0], 5, filter_viewed=True) for fitted in (model, loaded)]
    assert lists[0].equals(lists[1])
    loaded.fit_partial(folds[0].train, min_epochs=1, max_epochs=1)
    assert recommend(loaded, folds[0], 5, filter_viewed=True)["score"].notna().all()
