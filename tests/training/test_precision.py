"""The arithmetic of a fit: what bf16 and tf32 change, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from pytorch_lightning import Trainer

from tuner.config import Metric
from tuner.errors import TrialError
from tuner.evaluation import Plan, evaluate_fold
from tuner.models.build import build_model
from tuner.training.precision import products_in, set_precision
from tuner.trials.records import Evaluation

if TYPE_CHECKING:
    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SASREC: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": 1,
    "n_heads": 2,
    "n_factors": 16,
    "session_max_len": 8,
    "batch_size": 16,
    "epochs": 2,
}


def evaluated(fold: Fold, *, params: dict[str, Any] = SASREC, **changes: Any) -> list[Evaluation]:
    plan = Plan((Metric("NDCG", 10, {}),), "NDCG@10", "maximize", filter_viewed=False, **changes)
    made: list[Evaluation] = []
    evaluate_fold(params, fold, plan, 60, made.append)
    return made


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("loss", ["softmax", "BCE"])
def test_bf16_trains_close_to_float32(folds: list[Fold], loss: str, fast: bool) -> None:
    params = {**SASREC, "loss": loss, "n_negatives": 4}
    exact = evaluated(folds[0], params=params, fast=fast)
    mixed = evaluated(folds[0], params=params, fast=fast, precision="bf16")
    assert [one.precision for one in (*exact, *mixed)] == ["float32"] * 2 + ["bf16"] * 2
    for one, other in zip(exact, mixed, strict=True):
        assert one.train_loss != other.train_loss, "another arithmetic"
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)  # bfloat16 has 8 bits: 0.4 %


def test_bf16_leaves_parameters_and_recommendations_in_float32(folds: list[Fold]) -> None:
    model = build_model(SASREC)
    assert set_precision(model, "bf16") == "bf16"
    model.fit(folds[0].train)
    assert model.fit_trainer.precision == "bf16-mixed"
    assert {p.dtype for p in model.torch_model.parameters()} == {torch.float32}
    fold = folds[0]
    known = model.data_preparator.transform_dataset_u2i(fold.train, fold.users)
    loader = model.data_preparator.get_dataloader_recommend(known, 16)
    users, items = model.lightning_model._get_user_item_embeddings(loader, "cpu")
    assert users.dtype == items.dtype == torch.float32


def test_tf32_has_no_effect_without_a_gpu(folds: list[Fold]) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    (*_, exact), (*_, other) = evaluated(folds[0]), evaluated(folds[0], precision="tf32")
    assert (exact.metrics, exact.train_loss) == (other.metrics, other.train_loss)
    assert other.precision == "tf32"


def test_the_mode_of_the_process_is_put_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with products_in("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
        with products_in("float32"):
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_a_model_that_is_not_trained_by_steps_computes_as_ever(folds: list[Fold]) -> None:
    (only,) = evaluated(folds[0], params={"cls": "PopularModel"}, precision="bf16")
    assert only.precision == "float32"


def double_trainer() -> Trainer:
    return Trainer(precision="64-true", max_epochs=1, logger=False, enable_checkpointing=False)


def test_a_trainer_of_the_users_with_another_precision_is_refused() -> None:
    model = build_model({**SASREC, "get_trainer_func": f"{__name__}.double_trainer"})
    with pytest.raises(TrialError, match="must leave 32-true, but has 64-true"):
        set_precision(model, "bf16")


@pytest.mark.gpu
def test_bf16_trains_on_a_gpu(folds: list[Fold]) -> None:
    mixed = evaluated(folds[0], precision="bf16")
    assert mixed[-1].train_loss == pytest.approx(evaluated(folds[0])[-1].train_loss, rel=0.02)
