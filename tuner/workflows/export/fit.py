"""Fits the model of a trial on all data, as the trial was fitted on its folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.evaluation import boundary, to_cpu
from tuner.formatting import duration
from tuner.models.build import build_model, refit_params
from tuner.space import Value
from tuner.training.fast_paths import accelerate
from tuner.training.precision import products_in, set_precision
from tuner.trials.stored import TrialRecord

__all__ = ["Fitted", "fit_trial"]

Say = Callable[[str], None]

#: Seconds between two lines about a fit.
EVERY = 15.0


@dataclass(frozen=True)
class Fitted:
    """A model fitted on all data.

    Attributes
    ----------
    model
        RecTools' plain model, on the CPU.
    params
        Flat params of the model.
    seed, epochs, threads
        Seed, number of epochs and number of threads of the fit. `epochs` is None for a model without epochs.
    fast_paths, precision
        Fast paths and precision of the fit.
    seconds
        Wall time of the fit in seconds.
    """

    model: ModelBase[Any]
    params: Mapping[str, Value]
    seed: int
    epochs: int | None
    threads: int
    fast_paths: tuple[str, ...]
    precision: str
    seconds: float


def fit_trial(record: TrialRecord, dataset: Dataset, *, epoch: int, seed: int, say: Say) -> Fitted:
    """Fit the model of a complete trial.

    Parameters
    ----------
    record
        The trial. It gives the precision, and says whether fast paths were used.
    dataset
        Data to fit on.
    epoch
        Number of epochs to train, if the model has epochs.
    seed
        Seed for Python, NumPy and torch, set just before the fit.
    say
        Function that shows a line about the progress.

    Raises
    ------
    TrialError
        If RecTools or a user's class fails.
    """
    assert record.summary is not None, "only a complete trial has an epoch"
    params = refit_params(record.params, epoch) if "epochs" in record.params else dict(record.params)
    model = build_model(params)
    precision = set_precision(model, record.summary.precision)  # type: ignore[arg-type]  # one of them, as recorded
    summary = record.summary
    paths = accelerate(model, unpadded=summary.unpadded) if summary.fast_paths else None
    if isinstance(model, TransformerModelBase):
        callbacks = model._trainer.callbacks  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
        callbacks.append(_ProgressLines(epoch, model.train_loss_name, say))
    seed_everything(seed, workers=True, verbose=False)
    began = time.perf_counter()
    with boundary("the fit on all data"), products_in(precision):
        model.fit(dataset)
    seconds = time.perf_counter() - began
    if paths is not None:
        paths.leave(model)
    to_cpu(model)
    return Fitted(
        model=model,
        params=params,
        seed=seed,
        epochs=epoch if isinstance(model, TransformerModelBase) else None,
        threads=torch.get_num_threads(),
        fast_paths=paths.applied if paths is not None else (),
        precision=precision,
        seconds=seconds,
    )


class _ProgressLines(Callback):
    """Shows the progress of a fit every `EVERY` seconds."""

    def __init__(self, epochs: int, loss: str, say: Say) -> None:
        self.epochs = epochs
        self.loss = loss
        self.say = say
        self._began = self._said = time.monotonic()

    def __deepcopy__(self, _memo: dict[int, object]) -> _ProgressLines:
        """Return itself: RecTools copies its trainer at each fit, and the copy must share these times."""
        return self

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Show a line if the last line is old enough, or if this is the last epoch."""
        done, now = trainer.current_epoch + 1, time.monotonic()
        if now - self._said < EVERY and done < self.epochs:
            return
        self._said = now
        loss = trainer.callback_metrics.get(self.loss)
        loss_text = "" if loss is None else f", loss {float(loss):.4f}"
        self.say(f"epoch {done} of {self.epochs}{loss_text}, {duration(now - self._began)}")
