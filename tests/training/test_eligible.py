"""Where fast paths are taken, and where a class of the user's keeps its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from pytorch_lightning import Trainer
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone

from search_spaces.next_action import NextActionLightningModule
from tuner.models.build import build_model
from tuner.training.fast_paths import accelerate

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
    "n_factors": 8,
    "session_max_len": 6,
    "batch_size": 64,
    "n_negatives": 3,
    "epochs": 1,
}
ADAM = "fused Adam"
ENCODER = "encoder at targets"


def fitted(fold: Fold, **changes: Any) -> tuple[tuple[str, ...], Any]:
    """Return the paths taken by a fit, and the model."""
    model = build_model({**SASREC, **changes})
    paths = accelerate(model)
    model.fit(fold.train)
    return paths.step, model


class Unchanged(TransformerLightningModule):
    """A subclass that has nothing to do with training."""

    def on_train_end(self) -> None:
        super().on_train_end()
        self.seen = True


class OwnStep(TransformerLightningModule):
    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.own_steps = getattr(self, "own_steps", 0) + 1
        return super().training_step(batch, batch_idx)


class OwnLogits(TransformerLightningModule):
    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().get_batch_logits(batch) * 2


class OwnSoftmax(TransformerLightningModule):
    @classmethod
    def _calc_softmax_loss(cls, logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return super()._calc_softmax_loss(logits, y, w) * 2


class OwnBce(TransformerLightningModule):
    @classmethod
    def _calc_bce_loss(cls, logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return super()._calc_bce_loss(logits, y, w) * 2


class OwnCalculator(TransformerLightningModule):
    def get_loss_calculator(self) -> Any:
        return self._calc_twice

    def _calc_twice(self, logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return self._calc_softmax_loss(logits, y, w) * 2


class CustomLoss(TransformerLightningModule):
    def _calc_custom_loss(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.get_batch_logits(batch).square().mean()


class OwnOptimizer(TransformerLightningModule):
    def configure_optimizers(self) -> torch.optim.Adam:
        self.optimizer = torch.optim.Adam(self.torch_model.parameters(), lr=0.1)
        return self.optimizer


class OwnSimilarity(DistanceSimilarityModule):
    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().forward(*args, **kwargs) * 2


class OwnBackbone(TransformerTorchBackbone):
    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().forward(*args, **kwargs) * 2


class OwnEncoder(TransformerTorchBackbone):
    """What encodes the sessions is called as ever, whoever wrote it."""

    def encode_sessions(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().encode_sessions(*args, **kwargs) * 2


class Hooked(TransformerTorchBackbone):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_forward_hook(lambda module, args, output: output * 2)


class LastInWord(NextActionLightningModule):
    """Inherits the word, but scores in its own way."""

    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().get_batch_logits(batch) * 2


class OwnAttribute(TransformerLightningModule):
    """Replaces a method on the instance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = self.get_batch_logits
        self.get_batch_logits = lambda batch: own(batch) * 2  # type: ignore[method-assign]


def half_precision(**kwargs: Any) -> Trainer:
    return Trainer(precision="bf16-mixed", max_epochs=1, logger=False, enable_checkpointing=False, **kwargs)


MODULE, NEXT_ACTION = "lightning_module_type", "search_spaces.next_action.ShiftedNextActionDataPreparator"


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({MODULE: Unchanged}, "softmax"),
        ({MODULE: OwnSoftmax}, "BCE"),
        ({MODULE: OwnBce}, "sampled_softmax"),
        ({MODULE: OwnOptimizer}, "softmax"),
        ({MODULE: NextActionLightningModule, "data_preparator_type": NEXT_ACTION}, "gBCE"),
        ({"backbone_type": OwnEncoder}, "softmax"),
    ],
)
def test_a_path_is_taken_where_all_it_replaces_is_rectools(
    changes: dict[str, Any], loss: str, folds: list[Fold]
) -> None:
    applied, _ = fitted(folds[0], loss=loss, **changes)
    assert f"target-only {loss}" in applied


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({MODULE: OwnStep}, "softmax"),
        ({MODULE: OwnLogits}, "softmax"),
        ({MODULE: OwnSoftmax}, "softmax"),
        ({MODULE: OwnSoftmax}, "sampled_softmax"),
        ({MODULE: OwnBce}, "BCE"),
        ({MODULE: OwnBce}, "gBCE"),
        ({MODULE: OwnCalculator}, "softmax"),
        ({MODULE: CustomLoss}, "squares"),
        ({MODULE: OwnAttribute}, "softmax"),
        ({MODULE: LastInWord, "data_preparator_type": NEXT_ACTION}, "softmax"),
        ({"similarity_module_type": OwnSimilarity}, "softmax"),
        ({"backbone_type": OwnBackbone}, "softmax"),
        ({"backbone_type": Hooked}, "softmax"),
    ],
)
def test_a_class_with_its_own_keeps_it(changes: dict[str, Any], loss: str, folds: list[Fold]) -> None:
    applied, _ = fitted(folds[0], loss=loss, **changes)
    assert applied == (ADAM,)


def test_a_step_of_the_users_own_is_called(folds: list[Fold]) -> None:
    _, model = fitted(folds[0], lightning_module_type=OwnStep)
    assert model.lightning_model.own_steps == 1


def test_an_optimizer_of_the_users_own_is_left_alone(folds: list[Fold]) -> None:
    applied, model = fitted(folds[0], lightning_module_type=OwnOptimizer)
    assert applied == ("target-only softmax", ENCODER)
    assert model.lightning_model.optimizer.param_groups[0]["lr"] == 0.1


def test_mixed_precision_takes_all_paths(folds: list[Fold]) -> None:
    applied, _ = fitted(folds[0], get_trainer_func=half_precision)
    assert applied == ("target-only softmax", ENCODER, ADAM)


def test_another_model_is_left_alone(folds: list[Fold]) -> None:
    model = build_model({"cls": "PopularModel"})
    paths = accelerate(model)
    model.fit(folds[0].train)
    assert paths.step == ()
    assert vars(model).keys() == vars(build_model({"cls": "PopularModel"})).keys() | {"popularity_list"}


class Breaking(TransformerLightningModule):
    def on_train_batch_end(self, *args: Any) -> None:
        raise RuntimeError("the fit breaks off")


def test_a_fit_that_breaks_off_leaves_a_plain_module(folds: list[Fold]) -> None:
    model = build_model({**SASREC, "lightning_module_type": Breaking})
    paths = accelerate(model)
    with pytest.raises(RuntimeError, match="the fit breaks off"):
        model.fit(folds[0].train)
    assert paths.step == ("target-only softmax", ENCODER, ADAM)
    assert "training_step" not in vars(model.lightning_model)
    assert [group["fused"] for group in model.lightning_model.optimizer.param_groups] == [None]


def test_each_fit_takes_the_paths_anew(folds: list[Fold]) -> None:
    model: Any = build_model(SASREC)
    paths = accelerate(model)
    for _ in range(2):
        model.fit(folds[0].train)
        assert paths.step == ("target-only softmax", ENCODER, ADAM)
        assert "training_step" not in vars(model.lightning_model)
    model.fit_partial(folds[0].train, min_epochs=1, max_epochs=1)
    assert paths.step == ("target-only softmax", ENCODER), "an optimizer that has begun goes on as it is"
