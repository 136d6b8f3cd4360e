"""What must hold for `training.fast: unpadded`: without dropout it is RecTools' step, with it in the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.laws.test_training import CHANGED, LOSSES, PLAIN, TOLERANCES, assert_same_gradients, begun, step
from tests.laws.test_training_encoder import ENCODERS
from tuner.training.fast_paths import kernels
from tuner.training.fast_paths.encoder import encodes_unpadded
from tuner.training.fast_paths.step import target_only_step, unpadded_step

if TYPE_CHECKING:
    from rectools.models.nn.transformers.lightning import TransformerLightningModule

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: Draws of dropout over which means are compared.
N_DRAWS = 200


def assert_same(module: TransformerLightningModule, batch: dict[str, torch.Tensor]) -> None:
    assert encodes_unpadded(module.torch_model)
    of_loss, of_gradients = TOLERANCES[next(module.parameters()).dtype]
    loss, gradients = step(module, unpadded_step, batch)
    expected, expected_gradients = step(module, type(module).training_step, batch)
    assert loss == pytest.approx(expected, rel=of_loss, abs=0)
    assert_same_gradients(gradients, expected_gradients, of_gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ENCODERS)
def test_without_dropout_a_step_is_that_of_rectools(name: str, device: str, folds: list[Fold]) -> None:
    params = {**ENCODERS[name], "dropout_rate": 0.0}
    params.pop("transformer_layers_kwargs.attn_dropout_rate", None)
    model, batch = begun(params, folds[0], features=False, device=device)
    assert_same(model.lightning_model, batch)
    assert_same(model.lightning_model.double(), batch)


@pytest.fixture
def by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encode as on a GPU, with kernels in Triton's interpreter."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("a GPU runs the kernels itself")
    monkeypatch.setattr(kernels, "INTERPRETED", True)


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("name", ENCODERS)
def test_so_it_is_by_kernels(name: str, folds: list[Fold]) -> None:
    params = {**ENCODERS[name], "dropout_rate": 0.0}
    params.pop("transformer_layers_kwargs.attn_dropout_rate", None)
    model, batch = begun(params, folds[0])
    assert_same(model.lightning_model, {key: values[:4] for key, values in batch.items()})


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
def test_by_kernels_padding_within_a_session_is_left_out_too(name: str, folds: list[Fold]) -> None:
    model, batch = begun({**ENCODERS[name], "dropout_rate": 0.0}, folds[0])
    batch = {key: values[:4] for key, values in batch.items()}
    gaps = torch.rand(batch["x"].shape) < 0.3
    batch["x"][gaps] = 0
    batch["y"][gaps] = 0
    batch["x"][0] = batch["y"][0] = 0  # a session of nothing
    assert_same(model.lightning_model, batch)


@pytest.mark.parametrize("changes", [PLAIN, CHANGED], ids=["plain", "changed"])
@pytest.mark.parametrize("loss", LOSSES)
def test_so_it_is_with_each_loss(loss: str, changes: dict[str, Any], folds: list[Fold]) -> None:
    params = {**ENCODERS["bert4rec"], **changes, "loss": loss, "dropout_rate": 0.0}
    model, batch = begun(params, folds[0])
    assert_same(model.lightning_model.double(), batch)


@pytest.mark.parametrize(
    ("name", "causal"),
    [("sasrec", False), ("sasrec", True), ("bert4rec", False), ("bert4rec", True), ("HSTU", True)],
)
def test_padding_within_a_session_is_left_out_too(name: str, causal: bool, folds: list[Fold]) -> None:
    params = {**ENCODERS[name], "dropout_rate": 0.0, "use_causal_attn": causal}
    model, batch = begun(params, folds[0])
    gaps = torch.rand(batch["x"].shape) < 0.3
    batch["x"][gaps] = 0
    batch["y"][gaps] = 0
    batch["x"][0] = batch["y"][0] = 0  # a session of nothing
    assert_same(model.lightning_model.double(), batch)


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "LiGR", "alsasrec", "HSTU"])
def test_with_dropout_the_mean_loss_is_the_same(name: str, folds: list[Fold]) -> None:
    model, batch = begun({**ENCODERS[name], "dropout_rate": 0.3}, folds[0])
    module = model.lightning_model
    module.log = lambda *_args, **_kwargs: None
    losses = {}
    with torch.no_grad():
        for take in (unpadded_step, target_only_step):
            torch.manual_seed(5)
            losses[take] = torch.stack([take(module, batch, 0) for _ in range(N_DRAWS)])
    ours, expected = losses.values()
    assert ours.std() == pytest.approx(expected.std().item(), rel=0.4)
    error = ((ours.var() + expected.var()) / N_DRAWS).sqrt()
    assert abs(ours.mean() - expected.mean()) < 3 * error


def test_the_masks_are_those_of_the_seed(folds: list[Fold]) -> None:
    model, batch = begun(ENCODERS["sasrec"], folds[0])
    first, second = (step(model.lightning_model, unpadded_step, batch) for _ in range(2))
    assert first[0] == second[0]
    assert all(torch.equal(gradient, second[1][name]) for name, gradient in first[1].items())
