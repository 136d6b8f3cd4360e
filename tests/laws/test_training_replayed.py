"""What must hold for whole steps on a GPU: a fit has the weights, losses and counts of Lightning's loop.

Where there is no GPU, steps are taken whole but not recorded.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from pytorch_lightning import Callback, seed_everything

from tests.laws.test_training import BERT4REC, LOSSES, MODELS, SASREC, SEED
from tuner.models.build import build_model
from tuner.training.fast_paths import accelerate
from tuner.training.fast_paths.draws import draw_masks
from tuner.training.fast_paths.filled import _Sizes
from tuner.training.fast_paths.packed import PackedTokens
from tuner.training.fast_paths.replayed import ReplayedSteps

if TYPE_CHECKING:
    from rectools.models.nn.transformers.base import TransformerModelBase

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

REPLAYED = "replayed steps"
NAMES = list(MODELS)


class Unrecorded:
    """Takes a step as it comes."""

    def __init__(self, steps: ReplayedSteps) -> None:
        self.steps = steps

    def replay(self, prepared: Any) -> torch.Tensor:
        return self.steps._stepped(lambda: self.steps._loss(prepared.on(torch.device("cpu"))))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tuner.training.fast_paths.accelerate"]
    monkeypatch.setattr(module, "on_gpu", lambda trainer: True)
    monkeypatch.setattr("tuner.training.fast_paths.encoder.takes_ids_of_any_device", lambda net: True)
    monkeypatch.setattr(PackedTokens, "in_one_kernel", True)
    monkeypatch.setattr(ReplayedSteps, "_recorded", lambda self, prepared: Unrecorded(self))


class Counts(Callback):
    """Notes what Lightning knows of steps."""

    def __deepcopy__(self, _memo: dict[int, object]) -> Counts:
        return self

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.steps = trainer.global_step
        self.loss = float(trainer.callback_metrics["train_loss"])


def fitted(params: dict[str, Any], fold: Fold, *, whole: bool, **fast: bool) -> tuple[Any, Counts, list[str]]:
    seed_everything(SEED, verbose=False)
    model: TransformerModelBase[Any] = build_model(params)
    counts = Counts()
    model._trainer.callbacks.append(counts)
    paths = accelerate(model, **fast)
    if not whole:
        paths._replays = lambda *_: False
    train = fold.train
    model.fit(type(train)(train.user_id_map, train.item_id_map, train.interactions))
    assert not {"training_step", "backward", "optimizer_step"} & set(vars(model.lightning_model))
    return model.torch_model.state_dict(), counts, list(paths.step)


def assert_same_fit(params: dict[str, Any], fold: Fold, **fast: bool) -> None:
    ours, counts, applied = fitted(params, fold, whole=True, **fast)
    expected, of_lightning, _ = fitted(params, fold, whole=False, **fast)
    assert REPLAYED in applied
    assert counts.steps == of_lightning.steps > 0
    assert counts.loss == pytest.approx(of_lightning.loss, rel=1e-5)
    for name, values in ours.items():
        if name.endswith("in_proj_bias"):
            continue  # scores of attention do not change by the bias of keys: Adam makes steps of rounding
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_whole_steps_give_the_fit_of_lightnings_loop(name: str, loss: str, folds: list[Fold]) -> None:
    assert_same_fit({**MODELS[name], "loss": loss}, folds[0])


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_replayed_steps_give_the_fit_of_lightnings_loop(name: str, loss: str, folds: list[Fold]) -> None:
    """With the same dropout: random numbers go on from replay to replay as they do from step to step."""
    assert_same_fit({**MODELS[name], "loss": loss, "epochs": 4, "lr": 0.001}, folds[0])


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_replayed_unpadded_steps_learn(name: str, loss: str, folds: list[Fold]) -> None:
    params = {**MODELS[name], "loss": loss, "epochs": 6}
    _, ours, applied = fitted(params, folds[0], whole=True, unpadded=True)
    _, expected, _ = fitted(params, folds[0], whole=False)
    assert {REPLAYED, "unpadded encoder"} <= set(applied)
    assert ours.steps == expected.steps
    assert ours.loss == pytest.approx(expected.loss, rel=0.3)  # of few steps on a small shop


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("params", [SASREC, BERT4REC, MODELS["hstu"]], ids=["sasrec", "bert4rec", "hstu"])
def test_whole_steps_without_padding_are_the_same_without_dropout(
    params: dict[str, Any], loss: str, folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the numbers that are drawn elsewhere: so negatives are always the same, and masks RecTools'."""
    monkeypatch.setattr("tuner.training.fast_paths.batches.draw_masks_at_once", draw_masks)
    monkeypatch.setattr(
        ReplayedSteps, "_drawn", lambda self, n: torch.ones(n, 7, dtype=torch.int64) + torch.arange(7)
    )
    monkeypatch.setattr(
        "rectools.models.nn.transformers.negative_sampler.CatalogUniformSampler.get_negatives",
        lambda self, batch_dict, **_: (
            torch.ones(*batch_dict["x"].shape, 7, dtype=torch.int64) + torch.arange(7)
        ),
    )
    assert_same_fit({**params, "loss": loss, "dropout_rate": 0.0}, folds[0], unpadded=True)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_steps_that_cannot_be_recorded_run_as_they_come(
    folds: list[Fold], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def failing(self: ReplayedSteps, prepared: object) -> None:
        tries.append(1)
        raise RuntimeError("Cannot copy between CPU and CUDA tensors")

    monkeypatch.setattr(ReplayedSteps, "_recorded", failing)
    assert_same_fit({**SASREC, "loss": "softmax"}, folds[0])
    assert tries == [1]
    assert "steps run without a CUDA graph" in caplog.text


class Looks(Callback):
    """A user's, which looks at gradients."""

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        assert any(p.grad is not None for p in pl_module.parameters())


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("change", ["callback", "clipping", "accumulation"])
def test_who_looks_at_gradients_keeps_lightnings_loop(change: str, folds: list[Fold]) -> None:
    model = build_model({**SASREC, "loss": "softmax"})
    if change == "callback":
        model._trainer.callbacks.append(Looks())
    elif change == "clipping":
        model._trainer.gradient_clip_val = 1.0
    else:
        model._trainer.accumulate_grad_batches = 2
    paths = accelerate(model)
    model.fit(folds[0].train)
    assert REPLAYED not in paths.step


def test_few_sizes_serve_many_numbers() -> None:
    sizes = _Sizes()
    found = {n: sizes.at_least(n) for n in range(6000, 8000, 7)}
    assert all(n <= size <= 1.25 * n + 64 for n, size in found.items())
    assert len(set(found.values())) <= 4
    assert sizes.at_least(1) >= 1
