"""The optimisation of a transformer as params: optimizer, weight decay, schedule, warm-up and clipping.

RecTools trains each transformer with Adam at a constant learning rate. `OptimisedLightningModule` makes the
rest of the optimisation a matter of kwargs. With its defaults, a fit equals RecTools' own to the last digit.
It works with every model, objective and loss of `search_spaces`:

    SASRecModel(
        lightning_module_type=OptimisedLightningModule,
        lightning_module_kwargs={"optimizer": "AdamW", "weight_decay": 0.01, "schedule": "cosine"},
    )

The learning rate of step ``s`` (from 0) is ``lr * f(s)``. A fit has ``n`` steps, of which the first
``w = round(warmup * n)`` are the warm-up. With ``p = (s - w) / (n - w)``:

- ``constant``: ``f = 1``
- ``linear``: ``f = 1 - p``
- ``cosine``: ``f = (1 + cos(pi * p)) / 2``
- ``inverse_sqrt``: ``f = sqrt(v / (v + s - w))`` with ``v = max(w, 1)``
- ``one_cycle``: half a cosine from 1/25 up to 1 in the warm-up, then one from 1 down to 1/250,000. This is
  torch's `OneCycleLR` without its cycle of the momentum.

In the warm-up of all others ``f = (s + 1) / w``, which reaches 1 at its last step.

References
----------
Loshchilov and Hutter, "Decoupled Weight Decay Regularization", https://arxiv.org/abs/1711.05101 (AdamW).
Vaswani et al., "Attention Is All You Need", equation 3, https://arxiv.org/abs/1706.03762 (``inverse_sqrt``).
Smith and Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120 (``one_cycle``).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pytorch_lightning.utilities import GradClipAlgorithmType
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from torch.optim.lr_scheduler import LambdaLR

from tuner.space import Choice, Float

__all__ = ["OPTIMISATION", "OptimisedLightningModule", "learning_rate_factor"]

_SCHEDULES = ("constant", "linear", "cosine", "one_cycle", "inverse_sqrt")
_CLIPPING = ("norm", "value")
#: The first and the last factor of the one-cycle schedule, the defaults of torch's `OneCycleLR`.
_CYCLE_BEGINS, _CYCLE_ENDS = 1 / 25, 1 / 25e4
#: Modules whose weights do not decay by default, beside all biases and other vectors.
_EMBEDDINGS = (torch.nn.Embedding, torch.nn.EmbeddingBag)

_warmup = {"lightning_module_kwargs.warmup": Float(0.0, 0.3)}

#: Dimensions of the optimisation, for a space whose `lightning_module_type` is an `OptimisedLightningModule`.
OPTIMISATION: dict[str, Any] = {
    "lightning_module_kwargs.optimizer": Choice(
        {"Adam": {}, "AdamW": {"lightning_module_kwargs.weight_decay": Float(1e-4, 1.0, log=True)}}
    ),
    "lightning_module_kwargs.betas": Choice((0.9, 0.98), (0.9, 0.999)),
    "lightning_module_kwargs.schedule": Choice(
        {
            "constant": _warmup,
            "linear": _warmup,
            "cosine": _warmup,
            "one_cycle": {"lightning_module_kwargs.warmup": Float(0.1, 0.5)},
            "inverse_sqrt": {"lightning_module_kwargs.warmup": Float(0.01, 0.3)},
        }
    ),
    "lightning_module_kwargs.clip_by": Choice(
        {
            None: {},
            "norm": {"lightning_module_kwargs.clip": Float(0.1, 10.0, log=True)},
            "value": {"lightning_module_kwargs.clip": Float(1e-3, 1.0, log=True)},
        }
    ),
}


def learning_rate_factor(schedule: str, step: int, n_steps: int, n_warmup: int) -> float:
    """Return the factor of the learning rate at a step; see the module.

    Parameters
    ----------
    schedule
        ``constant``, ``linear``, ``cosine``, ``one_cycle`` or ``inverse_sqrt``.
    step
        Number of steps before this one.
    n_steps
        Number of steps of the whole schedule. After them, the factor stays at its last value.
    n_warmup
        Number of steps of the warm-up.
    """
    if schedule == "one_cycle":
        return _one_cycle(step, n_steps, n_warmup)
    if step < n_warmup:
        return (step + 1) / n_warmup
    if schedule == "inverse_sqrt":
        begins = max(n_warmup, 1)
        return math.sqrt(begins / (begins + step - n_warmup))
    passed = min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))
    return {
        "constant": 1.0,
        "linear": 1 - passed,
        "cosine": (1 + math.cos(math.pi * passed)) / 2,
    }[schedule]


def _one_cycle(step: int, n_steps: int, n_warmup: int) -> float:
    top, end = n_warmup - 1, n_steps - 1
    if step < top:
        return _half_cosine(_CYCLE_BEGINS, 1.0, step / top)
    return _half_cosine(1.0, _CYCLE_ENDS, min(1.0, (step - top) / max(1, end - top)))


def _half_cosine(first: float, last: float, passed: float) -> float:
    return last + (first - last) / 2 * (1 + math.cos(math.pi * passed))


@dataclass
class _Factor:
    """The factor of the learning rate, by step. Lightning's checkpoints contain its attributes."""

    schedule: str
    n_steps: int
    n_warmup: int

    def __call__(self, step: int) -> float:
        return learning_rate_factor(self.schedule, step, self.n_steps, self.n_warmup)


class OptimisedLightningModule(TransformerLightningModule):
    """Lightning module with the optimisation as kwargs, for every objective.

    It scores all positions if each position may have a target, as in SASRec and BERT4Rec. If a session has
    fewer targets than positions, as in next-action training, it scores only the last position. Everything
    else is as in `TransformerLightningModule`.

    Parameters
    ----------
    optimizer : default "Adam"
        Name of a class of `torch.optim`.
    weight_decay : default 0
        Weight decay, as the optimizer defines it. Biases, weights of norms and embeddings do not decay.
    decay_all : default False
        Whether biases, weights of norms and embeddings decay too.
    betas : default (0.9, 0.98)
        Two coefficients, for optimizers that have them. They replace RecTools' `adam_betas`.
    schedule : default "constant"
        Schedule of the learning rate: ``constant``, ``linear``, ``cosine``, ``one_cycle``, ``inverse_sqrt``.
    warmup : default 0
        Share of all steps in which the learning rate rises, from 0 to 1.
    schedule_epochs : optional
        Number of epochs of the whole schedule. The default is that of the fit. The tuner sets it where it
        fits the model of a trial for fewer epochs, so that the schedule stays that of the trial.
    clip_by : optional
        ``norm`` to scale the gradients of all parameters down to a norm of at most `clip`, ``value`` to limit
        each of their elements to ``-clip`` and ``clip``, and None not to clip.
    clip : default 1
        The limit, above 0.
    **kwargs
        Arguments of `TransformerLightningModule`.

    Raises
    ------
    ValueError
        If an argument is out of its bounds, or a name is unknown.
    """

    #: Lets fused Adam and AdamW run.
    configures_torch_optimizers: ClassVar[bool] = True
    #: Methods here that do the same as RecTools' for RecTools' own losses.
    extends: ClassVar[frozenset[str]] = frozenset({"__init__", "get_batch_logits", "configure_optimizers"})
    #: Lets the paths of `tuner.training.fast_paths` run.
    scored_positions: ClassVar[str] = "by width"

    def __init__(
        self,
        *,
        optimizer: str = "Adam",
        weight_decay: float = 0.0,
        decay_all: bool = False,
        betas: Sequence[float] = (0.9, 0.98),
        schedule: str = "constant",
        warmup: float = 0.0,
        schedule_epochs: int | None = None,
        clip_by: str | None = None,
        clip: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_name("schedule", schedule, _SCHEDULES)
        _check_name("clip_by", clip_by, (None, *_CLIPPING))
        if not 0 <= warmup <= 1 or weight_decay < 0 or clip <= 0:
            msg = (
                "`0 <= warmup <= 1`, `weight_decay >= 0` and `clip > 0` must hold, but got "
                f"warmup={warmup}, weight_decay={weight_decay}, clip={clip}"
            )
            raise ValueError(msg)
        self.optimizer_class = _optimizer_class(optimizer)
        self.weight_decay, self.decay_all = weight_decay, decay_all
        self.adam_betas = (float(betas[0]), float(betas[1]))
        self.schedule, self.warmup, self.schedule_epochs = schedule, warmup, schedule_epochs
        self.clip_by, self.clip = clip_by, clip

    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Score candidate items at the positions of the targets.

        Parameters
        ----------
        batch
            "x" of shape (batch_size, session_max_len), "y" of shape (batch_size, n_targets) and, for losses
            with negatives, "negatives" of shape (batch_size, n_targets, n_negatives).

        Returns
        -------
        torch.Tensor
            Logits divided by `logits_t`. Shape (batch_size, n_targets, 1 + n_negatives) for losses with
            negatives, the target first; otherwise (batch_size, n_targets, n_items), extra tokens included.
        """
        x, y = batch["x"], batch["y"]
        if y.shape[1] >= x.shape[1]:
            logits: torch.Tensor = super().get_batch_logits(batch)
            return logits
        candidates = None
        if self._requires_negatives:
            candidates = torch.cat([y.unsqueeze(-1), batch["negatives"]], dim=-1)
        item_embs = self.torch_model.item_model.get_all_embeddings()  # (n_items, n_factors)
        last = self.torch_model.encode_sessions(batch, item_embs)[:, -1:]  # (batch_size, 1, n_factors)
        if candidates is not None:
            last = last.expand(-1, y.shape[1], -1)
        logits = self.torch_model.similarity_module(last, item_embs, candidates) / self.logits_t
        return logits.expand(-1, y.shape[1], -1)

    def setup(self, stage: str) -> None:
        """Let Lightning clip the gradients, if the kwargs ask for it.

        Raises
        ------
        ValueError
            If the trainer already clips them.
        """
        super().setup(stage)
        if self.clip_by is None:
            return
        already = self.trainer.gradient_clip_val
        if already not in {None, self.clip}:
            msg = f"the trainer must not clip gradients beside `clip_by`, but got {already}"
            raise ValueError(msg)
        self.trainer.gradient_clip_val = self.clip
        self.trainer.gradient_clip_algorithm = GradClipAlgorithmType(self.clip_by)

    def configure_optimizers(self) -> Any:  # noqa: ANN401  # Lightning takes an optimizer or a dict
        """Return the optimizer, with the schedule of its learning rate if that is not constant.

        A second fit of the same model keeps the optimizer, as in RecTools, and begins a new schedule.
        """
        if self.optimizer is None:
            self.optimizer = self._new_optimizer()  # type: ignore[assignment]  # RecTools declares Adam
        if self.schedule == "constant" and self.warmup == 0:
            return self.optimizer
        n_steps = self._count_steps()
        factor = _Factor(self.schedule, n_steps, round(self.warmup * n_steps))
        scheduler = LambdaLR(self.optimizer, factor)  # type: ignore[arg-type]  # it has just been set
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _new_optimizer(self) -> torch.optim.Optimizer:
        accepted = inspect.signature(self.optimizer_class).parameters
        kwargs: dict[str, Any] = {"lr": self.lr}
        if "betas" in accepted:
            kwargs["betas"] = self.adam_betas
        if "weight_decay" in accepted:  # the default of AdamW is not 0
            kwargs["weight_decay"] = self.weight_decay
        elif self.weight_decay:
            msg = f"`weight_decay` must be 0 for {self.optimizer_class.__name__}, but got {self.weight_decay}"
            raise ValueError(msg)
        decays_in_part = self.weight_decay and not self.decay_all
        parameters = list(self._groups()) if decays_in_part else self.torch_model.parameters()
        return self.optimizer_class(parameters, **kwargs)

    def _groups(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters that decay, and those that do not."""
        embeddings = {
            id(parameter)
            for module in self.torch_model.modules()
            if isinstance(module, _EMBEDDINGS)
            for parameter in module.parameters(recurse=False)
        }
        parameters = list(self.torch_model.parameters())
        decays = [parameter.ndim > 1 and id(parameter) not in embeddings for parameter in parameters]
        for chosen, decay in ((True, self.weight_decay), (False, 0.0)):
            of_group = [parameter for parameter, its in zip(parameters, decays, strict=True) if its is chosen]
            if of_group:
                yield {"params": of_group, "weight_decay": decay}

    def _count_steps(self) -> int:
        """Return the number of steps of the whole schedule, at least 1."""
        self.trainer.fit_loop.setup_data()
        batches = self.trainer.num_training_batches
        if not math.isfinite(batches):
            msg = "a schedule needs a known number of batches, but the data loader has none"
            raise ValueError(msg)
        in_epoch = math.ceil(batches / self.trainer.accumulate_grad_batches)
        left = (self.trainer.max_epochs or 0) - self.trainer.current_epoch
        return max(1, in_epoch * (self.schedule_epochs or left))


def _check_name(key: str, name: str | None, known: Sequence[str | None]) -> None:
    if name not in known:
        msg = f"`{key}` must be one of {', '.join(map(str, known))}, but got {name!r}"
        raise ValueError(msg)


def _optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    known = {
        key: value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and value is not torch.optim.Optimizer
    }
    _check_name("optimizer", name, tuple(known))
    return known[name]
