"""What must hold for the optimisation as kwargs: RecTools' results by default, torch's schedules, pauses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from pytorch_lightning import Callback, seed_everything
from rectools.models import load_model
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from search_spaces.optimisation import OptimisedLightningModule, learning_rate_factor
from tests.laws.test_training import BERT4REC, MODELS, SASREC
from tuner.config import Metric
from tuner.evaluation import Plan, evaluate_fold
from tuner.models.build import build_model, refit_params
from tuner.training.checkpoints import read_checkpoint
from tuner.training.fast_paths import accelerate

if TYPE_CHECKING:
    from pathlib import Path

    from rectools.models.nn.transformers.base import TransformerModelBase

    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

OURS = {"lightning_module_type": OptimisedLightningModule}
PLAN = Plan((Metric.parse("NDCG@5"),), "NDCG@5", "maximize", filter_viewed=True)
ALL_OF_IT = {
    "lightning_module_kwargs.optimizer": "AdamW",
    "lightning_module_kwargs.weight_decay": 0.05,
    "lightning_module_kwargs.betas": (0.9, 0.999),
    "lightning_module_kwargs.schedule": "cosine",
    "lightning_module_kwargs.warmup": 0.2,
    "lightning_module_kwargs.clip_by": "norm",
    "lightning_module_kwargs.clip": 0.5,
}


def fitted(params: dict[str, Any], fold: Fold, *, fast: bool = False) -> TransformerModelBase:
    model = build_model(params)
    paths = accelerate(model) if fast else None
    seed_everything(5, verbose=False)
    model.fit(fold.train)
    if paths is not None:
        paths.leave(model)
    return model


def weights(model: TransformerModelBase) -> dict[str, torch.Tensor]:
    return dict(model.torch_model.state_dict())


def assert_same(one: TransformerModelBase, other: TransformerModelBase) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, values in left.items():
        assert torch.equal(values, right[name]), name


# ####  --------------  The defaults are RecTools'  --------------  #### #


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "next_action", "shifted_next_action", "alsasrec"])
def test_the_defaults_equal_rectools_to_the_last_digit(name: str, fast: bool, folds: list[Fold]):
    params = {**MODELS[name], "loss": "sampled_softmax" if name == "bert4rec" else "softmax", "epochs": 1}
    assert_same(fitted(params, folds[0], fast=fast), fitted({**params, **OURS}, folds[0], fast=fast))


@pytest.mark.parametrize("name", ["sasrec", "next_action"])
def test_the_defaults_take_the_fast_paths_of_rectools(name: str, folds: list[Fold]):
    used = []
    for params in (MODELS[name], {**MODELS[name], **OURS}):
        model = build_model({**params, "epochs": 1})
        paths = accelerate(model)
        model.fit(folds[0].train)
        used.append(paths.applied)
    assert used[0] == used[1]
    assert "fused Adam" in used[0]


def test_the_fast_paths_give_the_same_results_with_all_kwargs(folds: list[Fold]):
    params = {**SASREC, **OURS, **ALL_OF_IT, "loss": "gBCE"}
    plain, fast = fitted(params, folds[0]), fitted(params, folds[0], fast=True)
    for name, values in weights(plain).items():
        if (
            "in_proj_bias" not in name
        ):  # the gradient of a key's bias is 0 but for rounding; Adam scales it up
            assert torch.allclose(values, weights(fast)[name], atol=1e-4), name


# ####  --------------  Schedules  --------------  #### #


def rates(scheduler: Any, optimizer: torch.optim.Optimizer, n: int) -> list[float]:
    made = []
    for _ in range(n):
        made.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return made


def test_one_cycle_and_cosine_are_those_of_torch():
    n = 50
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    cycle = OneCycleLR(optimizer, max_lr=0.1, total_steps=n, pct_start=0.3, cycle_momentum=False)
    ours = [0.1 * learning_rate_factor("one_cycle", step, n, 15) for step in range(n)]
    assert ours == pytest.approx([*rates(cycle, optimizer, n - 1), 0.1 / 25e4], abs=1e-12)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    ours = [0.1 * learning_rate_factor("cosine", step, n, 0) for step in range(n)]
    assert ours == pytest.approx(rates(CosineAnnealingLR(optimizer, n), optimizer, n), abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "inverse_sqrt"])
def test_a_warm_up_rises_to_1_and_the_rest_follows_its_equation(schedule: str):
    n, n_warmup = 40, 8
    factors = [learning_rate_factor(schedule, step, n, n_warmup) for step in range(n + 1)]
    assert factors[:n_warmup] == [(step + 1) / n_warmup for step in range(n_warmup)]
    for step in range(n_warmup, n):
        passed = (step - n_warmup) / (n - n_warmup)
        expected = {
            "constant": 1,
            "linear": 1 - passed,
            "cosine": 0.5 + 0.5 * math.cos(math.pi * passed),
            "inverse_sqrt": (n_warmup / step) ** 0.5,
        }[schedule]
        assert factors[step] == pytest.approx(expected)
    assert min(factors) >= 0


def test_a_fit_follows_the_schedule_over_its_steps(folds: list[Fold]):
    model = build_model({**SASREC, **OURS, **ALL_OF_IT, "epochs": 3})
    seen: list[float] = []
    model._trainer.callbacks.append(_Rates(seen))
    model.fit(folds[0].train)
    n = len(seen)
    expected = [SASREC["lr"] * learning_rate_factor("cosine", s, n, round(0.2 * n)) for s in range(n)]
    assert seen == pytest.approx(expected)


class _Rates(Callback):
    def __init__(self, seen: list[float]) -> None:
        self.seen = seen

    def __deepcopy__(self, _memo: object) -> _Rates:
        return self

    def on_before_optimizer_step(self, _trainer: Any, _module: Any, optimizer: torch.optim.Optimizer) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


def test_a_refit_for_fewer_epochs_keeps_the_schedule_of_the_trial(folds: list[Fold]):
    params = {**SASREC, **OURS, **ALL_OF_IT, "epochs": 4}
    params["lightning_module_type"] = "search_spaces.optimisation.OptimisedLightningModule"
    again = refit_params(params, 2)
    assert again["epochs"] == 2
    assert again["lightning_module_kwargs.schedule_epochs"] == 4
    assert refit_params(again, 1)["lightning_module_kwargs.schedule_epochs"] == 4
    assert refit_params({**SASREC, "epochs": 4}, 2) == {**SASREC, "epochs": 2}
    of_trial: list[float] = []
    of_refit: list[float] = []
    for given, seen in ((params, of_trial), (again, of_refit)):
        model = build_model(given)
        model._trainer.callbacks.append(_Rates(seen))
        model.fit(folds[0].train)
    assert of_refit == of_trial[: len(of_refit)]
    assert len(of_refit) == len(of_trial) / 2


# ####  --------------  Weight decay, clipping, names  --------------  #### #


def optimizer_of(fold: Fold, **kwargs: Any) -> torch.optim.Optimizer:
    own = {f"lightning_module_kwargs.{name}": value for name, value in kwargs.items()}
    model = build_model({**BERT4REC, **OURS, **own})
    model._build_model_from_dataset(fold.train)
    optimizer = model.lightning_model.configure_optimizers()
    optimizer.names = {id(p): name for name, p in model.torch_model.named_parameters()}
    return optimizer


def test_biases_norms_and_embeddings_do_not_decay(folds: list[Fold]):
    optimizer = optimizer_of(folds[0], optimizer="AdamW", weight_decay=0.1)
    decays, stays = ([optimizer.names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert sorted(decays + stays) == sorted(optimizer.names.values())
    assert all(name.endswith("weight") and "norm" not in name and "emb" not in name for name in decays)
    assert any("ids_emb" in name for name in stays)
    assert any("pos_emb" in name for name in stays)
    assert {name for name in optimizer.names.values() if "bias" in name or "norm" in name} <= set(stays)
    (group,) = optimizer_of(folds[0], optimizer="AdamW", weight_decay=0.1, decay_all=True).param_groups
    assert group["weight_decay"] == 0.1
    (group,) = optimizer_of(folds[0], optimizer="AdamW").param_groups
    assert group["weight_decay"] == 0


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Adafactor"])
def test_every_optimizer_of_torch_has_its_name(name: str, folds: list[Fold]):
    assert type(optimizer_of(folds[0], optimizer=name, weight_decay=0.1)).__name__ == name


@pytest.mark.parametrize("clip_by", ["norm", "value"])
def test_gradients_are_clipped(clip_by: str, folds: list[Fold]):
    params = {**SASREC, **OURS, "lightning_module_kwargs.clip_by": clip_by, "epochs": 1}
    model = build_model({**params, "lightning_module_kwargs.clip": 1e-3})
    seen: list[float] = []

    class Norms(_Rates):
        def on_before_zero_grad(self, _trainer: Any, module: Any, _optimizer: Any) -> None:
            grads = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
            if grads:
                every = torch.cat(grads)
                self.seen.append(float(every.norm() if clip_by == "norm" else every.abs().max()))

        def on_before_optimizer_step(self, *_: Any) -> None:
            """See the gradients after they are clipped, not before."""

    model._trainer.callbacks.append(Norms(seen))
    model.fit(folds[0].train)
    assert seen
    assert max(seen) == pytest.approx(1e-3, rel=1e-3)
    assert model._trainer.gradient_clip_val is None, "the model's trainer is as before"


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "Adamw"}, {"schedule": "step"}, {"warmup": 1.5}, {"clip_by": "all"}, {"clip": 0.0}],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], folds: list[Fold]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        optimizer_of(folds[0], **wrong)


# ####  --------------  Pauses and copies  --------------  #### #


class PulledPlugError(BaseException):
    """Ends a trial as suddenly as SIGKILL."""


@pytest.mark.parametrize("fast", [True, False])
def test_a_pause_in_the_middle_of_a_schedule_equals_an_unbroken_fit(
    fast: bool, folds: list[Fold], tmp_path: Path
):
    params = {**SASREC, **OURS, **ALL_OF_IT, "epochs": 4}
    plan = replace(PLAN, fast=fast)

    def run(stop_after: int = 99, continued: bool = True) -> list[tuple[Any, ...]]:
        made: list[tuple[Any, ...]] = []

        def report(one: Evaluation) -> None:
            made.append((one.epoch, one.metrics, one.train_loss, one.learning_rate))
            if len(made) == stop_after:
                raise PulledPlugError

        checkpoint = read_checkpoint(tmp_path / f"{fast}.ckpt", every=0) if continued else None
        evaluate_fold(params, folds[0], plan, 3, report, checkpoint=checkpoint)
        return made

    whole = run(continued=False)
    with pytest.raises(PulledPlugError):
        run(stop_after=2)
    again = run()
    assert [epoch for epoch, *_ in again] == [2, 3, 4] or [epoch for epoch, *_ in again] == [3, 4]
    assert again == whole[-len(again) :]
    assert len({rate for *_, rate in whole}) > 2


def test_a_saved_model_continues_with_its_optimizer(folds: list[Fold], tmp_path: Path):
    model = fitted({**SASREC, **OURS, **ALL_OF_IT}, folds[0])
    model.save(tmp_path / "model.pickle")
    loaded = load_model(tmp_path / "model.pickle")
    assert_same(model, loaded)
    assert loaded.get_params(simple_types=True) == model.get_params(simple_types=True)
    loaded.fit_partial(folds[0].train, min_epochs=1, max_epochs=1)


def test_a_trainer_that_clips_by_itself_is_refused(folds: list[Fold]):
    params = {**SASREC, **OURS, **ALL_OF_IT}
    model = build_model(params)
    model._trainer.gradient_clip_val = 3.0
    with pytest.raises(ValueError, match="clip"):
        model.fit(folds[0].train)
