"""Whole training steps on a GPU, recorded as a CUDA graph and replayed, to save time of the CPU.

A step of RecTools starts some 350 kernels. Each start takes the CPU longer than the kernel takes the GPU. A
graph starts all of them at once: loss, gradients and the update of the parameters. Its shapes are fixed; see
`filled`. Random numbers continue from replay to replay as they would from step to step.

The first step of each shape runs without a graph, which also loads its kernels. The second step is recorded.
If torch cannot record it, all steps run without a graph.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler

from tuner.training.fast_paths.encoder import encode_unpadded
from tuner.training.fast_paths.filled import Filler, Prepared
from tuner.training.fast_paths.step import Batch, logged, loss_at_targets, step_loss
from tuner.training.fast_paths.table import all_embeddings, encode_sessions

__all__ = ["ReplayedSteps"]

_LOG = logging.getLogger(__name__)
#: Number of steps that the CPU may be ahead of the GPU. Their batches wait in memory.
_AHEAD = 16


class ReplayedSteps:
    """Runs the whole training steps of a fit, in place of Lightning's own work around the loss.

    Parameters
    ----------
    module
        A module on a GPU whose steps may be replayed; see `FastPaths`.
    optimizer
        The fused Adam optimizer of its parameters.
    unpadded
        Whether only real tokens are encoded. Negatives are then drawn on the GPU.
    """

    def __init__(
        self, module: TransformerLightningModule, optimizer: torch.optim.Optimizer, *, unpadded: bool
    ) -> None:
        self._module, self._optimizer, self._unpadded = module, optimizer, unpadded
        self._filler = Filler(module, unpadded=unpadded)
        self._graphs: dict[tuple[object, ...], _Graph | None] = {}
        self._pool: Any = None
        self._sent = Prepared((), {}, is_plain=True)
        self._done: deque[torch.cuda.Event] = deque()
        self._can_record = True

    def methods(self) -> dict[str, Callable[..., Any]]:
        """Return the functions that replace methods of the module during a fit."""
        return {
            "training_step": self.step,
            "on_before_batch_transfer": self.send,
            "transfer_batch_to_device": _as_it_is,
            "backward": _nothing,
            "optimizer_zero_grad": _nothing,
            "optimizer_step": _closure_alone,
        }

    def close(self) -> None:
        """Release the graphs, and the gradients in their memory."""
        self._graphs.clear()
        self._optimizer.zero_grad(set_to_none=True)

    def send(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002  # Lightning's `on_before_batch_transfer`
        """Take the next batch. The step sends what it needs of it, without waiting for the GPU."""
        self._wait_if_far_ahead()
        self._sent = self._filler.prepared(batch)
        return batch

    def step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Run a whole step with the latest batch: update the parameters, log the loss and return it."""
        loss = self._run(self._sent)
        results = self._module.trainer._results  # noqa: SLF001  # Lightning's `log` takes longer than the step
        name = f"training_step.{self._module.train_loss_name}"
        if not batch_idx or results is None or name not in results or results[name].has_reset:
            return logged(self._module, batch, loss)
        results.update_metrics(name, loss, len(batch["x"]))  # as `log` does once it has checked all again
        return loss

    def _run(self, sent: Prepared) -> torch.Tensor:
        device = self._module.device
        if not sent.is_plain:
            return self._stepped(lambda: self._as_rectools(sent.on(device)))
        key = (sent.layout, self._state())
        if key in self._graphs:
            graph = self._graphs[key]
            if graph is None and self._can_record:
                graph = self._graphs[key] = self._try_to_record(sent)
            if graph is not None:
                return graph.replay(sent)
        self._graphs.setdefault(key)
        return self._stepped(lambda: self._loss(sent.on(device)))

    def _try_to_record(self, sent: Prepared) -> _Graph | None:
        try:
            return self._recorded(sent)
        except RuntimeError as error:
            self._can_record = False
            _LOG.warning(
                "training steps run without a CUDA graph, because torch cannot record one: %s", error
            )
            return None

    def _wait_if_far_ahead(self) -> None:
        if self._module.device.type == "cpu":
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch does not type it
        event.record()
        self._done.append(event)
        if len(self._done) > _AHEAD:
            self._done.popleft().synchronize()

    def _state(self) -> tuple[object, ...]:
        """Return the state that a graph depends on: addresses of the parameters, and Adam's settings."""
        (group,) = self._optimizer.param_groups
        settings = tuple(group[name] for name in ("lr", "betas", "eps", "weight_decay"))
        return (*settings, *(p.data_ptr() for p in group["params"]))

    def _loss(self, sent: Batch) -> torch.Tensor:
        module = self._module
        backbone = module.torch_model
        table = all_embeddings(backbone.item_model)
        if self._unpadded:
            hidden = encode_unpadded(backbone, sent, table, sent["read"], sent["tokens"])
        else:
            hidden = encode_sessions(backbone, sent, table).flatten(0, 1).index_select(0, sent["read"])
        negatives = None
        if "negatives" in sent:
            negatives = sent["negatives"]
        elif module.loss != "softmax":
            negatives = self._drawn(len(sent["y"]))
        return loss_at_targets(module, hidden, table, sent["y"], sent["w"], negatives)

    def _drawn(self, n_targets: int) -> torch.Tensor:
        """Draw negatives as `CatalogUniformSampler` does, but from the GPU's generator."""
        preparator = self._module.data_preparator
        assert isinstance(preparator.negative_sampler, CatalogUniformSampler)
        shape = (n_targets, preparator.negative_sampler.n_negatives)
        low, high = preparator.n_item_extra_tokens, preparator.item_id_map.size
        return torch.randint(low, high, shape, device=self._module.device)

    def _as_rectools(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch without fixed shapes."""
        if self._module.loss != "softmax" and "negatives" not in batch:
            batch["negatives"] = self._drawn(int((batch["y"] != 0).sum()))
        return step_loss(self._module, batch)

    def _stepped(self, find: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Compute a loss, update the parameters with it, and return it."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = find()
        with torch.autocast("cuda", enabled=False):
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            self._optimizer.step()
        return loss.detach()

    def _recorded(self, prepared: Prepared) -> _Graph:
        """Record a step with a batch. Recording does not run the step."""
        sent = Prepared(
            prepared.layout,
            {dtype: values.to(self._module.device) for dtype, values in prepared.buffers.items()},
            is_plain=True,
        )
        graph = torch.cuda.CUDAGraph()
        (group,) = self._optimizer.param_groups
        self._optimizer.zero_grad(set_to_none=True)
        group["capturable"] = True  # torch requires it; fused Adam counts steps on the GPU anyway
        try:
            # Other threads may call CUDA meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                loss = self._stepped(lambda: self._loss(sent.on(self._module.device)))
        finally:
            group["capturable"] = False
        self._pool = self._pool or graph.pool()
        return _Graph(graph, sent, loss)


@dataclass(frozen=True)
class _Graph:
    """A recorded step, with the tensors that it reads and the tensor of its loss."""

    graph: torch.cuda.CUDAGraph
    sent: Prepared
    loss: torch.Tensor

    def replay(self, prepared: Prepared) -> torch.Tensor:
        """Run the step with other values."""
        for dtype, values in prepared.buffers.items():
            self.sent.buffers[dtype].copy_(values, non_blocking=True)
        self.graph.replay()
        return self.loss.clone()


def _as_it_is(batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG001  # Lightning's `transfer_batch_to_device`
    return batch


def _nothing(*_args: object, **_kwargs: object) -> None:
    """Do no work, because the whole step has done it already."""


def _closure_alone(
    epoch: int,  # noqa: ARG001  # Lightning's `optimizer_step`
    batch_idx: int,  # noqa: ARG001
    optimizer: object,  # noqa: ARG001
    optimizer_closure: Callable[[], Any] | None = None,
) -> None:
    if optimizer_closure is not None:
        optimizer_closure()
