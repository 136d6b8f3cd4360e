"""All-action and dense all-action training: the targets are all items of a window, not only the next one.

Let a session have the items ``i_1, ..., i_n``. The window of a position has the items after it: the next
`window` items, or all items of the next `window` days. The next item is always in the window.

- All-action: the position before the session's last window predicts each item of this window. Its loss is
  the mean over them. With a window of one item this is next-action training.
- Dense all-action: each position predicts one item of its own window, drawn uniformly anew in each epoch. Its
  expectation is the mean over the window. With a window of one item this is SASRec's task.

Both work with `SASRecModel` and `HSTUModel`, and with the Lightning modules of `search_spaces.optimisation`
and `search_spaces.objectives`.

References
----------
Pancha et al., "PinnerFormer: Sequence Modeling for User Representation at Pinterest", section 3.4,
https://arxiv.org/abs/2205.04507
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rectools import Columns
from rectools.models.nn.transformers.data_preparator import BatchElement
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

__all__ = ["AllActionDataPreparator", "DenseAllActionDataPreparator"]

_SECONDS = 24 * 60 * 60
_TIME = "unix_ts"


class _WindowDataPreparator(SASRecDataPreparator):
    """Data preparator of SASRec with a window, in actions or in days.

    Parameters
    ----------
    window : default 10
        Length of the window, above 0.
    unit : default "actions"
        ``actions`` or ``days``.
    **kwargs
        Arguments of `SASRecDataPreparator`.

    Raises
    ------
    ValueError
        If `window` is not above 0, or `unit` is unknown.
    """

    def __init__(self, *, window: float = 10, unit: str = "actions", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if unit not in {"actions", "days"} or window <= 0 or (unit == "actions" and window != int(window)):
            msg = (
                "`window > 0` must hold, whole for actions, and `unit` must be actions or days, but got "
                f"window={window}, unit={unit!r}"
            )
            raise ValueError(msg)
        self.window, self.unit = window, unit

    def _filter_train_interactions(self, train_interactions: pd.DataFrame) -> pd.DataFrame:
        """Filter train interactions as RecTools does, and add their times if the window needs them."""
        kept: pd.DataFrame = super()._filter_train_interactions(train_interactions)
        if self.unit == "days" and _TIME not in kept:
            times = kept[Columns.Datetime].to_numpy().astype("datetime64[s]").astype(np.int64)
            kept = kept.assign(**{_TIME: times})
        return kept


class AllActionDataPreparator(_WindowDataPreparator):
    """Data preparator that makes the items of the session's last window the targets of the position before.

    Validation and recommendation are SASRec's. See `_WindowDataPreparator` for the parameters.
    """

    def _collate_fn_train(self, batch: list[BatchElement]) -> dict[str, torch.Tensor]:
        """Split sessions into inputs and targets.

        Parameters
        ----------
        batch : (items, weights, extras) of each session
            Sessions in order of time, of at least two and at most `session_max_len` + 1 items.

        Returns
        -------
        dict of str to torch.Tensor
            - "x", shape (batch_size, session_max_len): the items before the window, padded on the left;
            - "y" and "yw", shape (batch_size, n_targets): items and weights of the window, padded on the
              right. There are fewer targets than positions, and one if there is only one position;
            - "negatives", shape (batch_size, n_targets, n_negatives): only for losses that need them;
            - "unix_ts", shape (batch_size, session_max_len + 1): only if the model asks for it.
        """
        cuts = [self._n_inputs(items, extras) for items, _, extras in batch]
        shown = [_first(session, cut + 1) for session, cut in zip(batch, cuts, strict=True)]
        batch_dict: dict[str, torch.Tensor] = super()._collate_fn_train(shown)
        n_targets = max(len(items) - cut for (items, _, _), cut in zip(batch, cuts, strict=True))
        y = np.zeros((len(batch), n_targets), dtype=np.int64)
        weights_of_y = np.zeros((len(batch), n_targets), dtype=np.float32)
        for row, ((items, weights, _), cut) in enumerate(zip(batch, cuts, strict=True)):
            y[row, : len(items) - cut] = items[cut:]
            weights_of_y[row, : len(items) - cut] = weights[cut:]
        batch_dict |= {"y": torch.from_numpy(y), "yw": torch.from_numpy(weights_of_y)}
        if "negatives" in batch_dict:
            batch_dict["negatives"] = batch_dict["negatives"][:, :n_targets]
        return batch_dict

    def _n_inputs(self, items: Sequence[int], extras: dict[str, Any]) -> int:
        """Return the number of items before the session's last window, at least 1."""
        most = max(1, self.session_max_len - 1)
        if self.unit == "actions":
            return max(1, len(items) - min(int(self.window), most))
        times = np.asarray(extras[_TIME])
        before = int(np.searchsorted(times, times[-1] - self.window * _SECONDS, side="right"))
        return max(1, min(before, len(items) - 1), len(items) - most)


class DenseAllActionDataPreparator(_WindowDataPreparator):
    """Data preparator that makes one item of each position's window its target.

    Inputs, validation and recommendation are SASRec's. See `_WindowDataPreparator` for the parameters.
    """

    def _collate_fn_train(self, batch: list[BatchElement]) -> dict[str, torch.Tensor]:
        """Split sessions into inputs and targets.

        Parameters
        ----------
        batch : (items, weights, extras) of each session
            Sessions in order of time, of at least two and at most `session_max_len` + 1 items.

        Returns
        -------
        dict of str to torch.Tensor
            As of `SASRecDataPreparator`, but each target in "y", and its weight in "yw", is that of an item
            of the window.
        """
        batch_dict: dict[str, torch.Tensor] = super()._collate_fn_train(batch)
        y = batch_dict["y"]
        reach = torch.from_numpy(self._reach(batch, y.shape[1]))
        ahead = (torch.rand(y.shape, dtype=torch.float64) * reach).long()
        chosen = torch.arange(y.shape[1]) + torch.minimum(ahead, reach - 1)
        return {**batch_dict, "y": y.gather(1, chosen), "yw": batch_dict["yw"].gather(1, chosen)}

    def _reach(self, batch: list[BatchElement], length: int) -> npt.NDArray[np.int64]:
        """Return the number of items in each position's window, shape (batch_size, length); 1 at padding."""
        reach = np.ones((len(batch), length), dtype=np.int64)
        for row, (items, _, extras) in zip(reach, batch, strict=True):
            n = len(items) - 1
            left = np.arange(n, 0, -1)
            if self.unit == "actions":
                row[-n:] = np.minimum(left, int(self.window))
            else:
                times = np.asarray(extras[_TIME])
                ends = np.searchsorted(times, times[:-1] + self.window * _SECONDS, side="right")
                row[-n:] = np.clip(ends - 1 - np.arange(n), 1, left)
        return reach


def _first(session: BatchElement, n: int) -> BatchElement:
    """Return the first interactions of a session."""
    items, weights, extras = session
    return items[:n], weights[:n], {name: values[:n] for name, values in extras.items()}
