"""Fast recommendations to the same users after every epoch. Unchanged data is kept between epochs.

Items, scores and the state of torch's generator equal those of RecTools' `TorchRanker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rectools.dataset import Dataset
from rectools.models.base import InternalRecoTriplet
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.rank import Distance
from scipy import sparse

__all__ = ["Latest", "can_rank", "recommend_u2i"]

Value = TypeVar("Value")
Ids = npt.NDArray[np.int_]

#: Number of users scored together, as in TorchRanker. The last digits of a score may depend on it.
_BATCH_SIZE = 128
#: A norm below this counts as zero, as in TorchRanker.
_EPSILON = 1e-8
_COPIED = (np.ndarray, pd.DataFrame)


class Latest(Generic[Value]):
    """Keeps the latest value and its inputs, and makes a new value when the inputs change.

    Arrays and tables are compared by value with a copy, and all other inputs by identity. So a data set must
    not be changed in place. The inputs are kept alive, so that no other object gets the same identity.
    """

    def __init__(self) -> None:
        self._made_from: tuple[object, ...] | None = None
        self._value: Value

    def get(self, make: Callable[[], Value], *made_from: object) -> Value:
        """Return the value of `make`, which is called only if one of its inputs `made_from` has changed."""
        known = self._made_from
        if known is None or not all(map(_is_same, known, made_from)):
            self._made_from = None  # if `make` fails, the next call tries again
            copies = tuple(part.copy() if isinstance(part, _COPIED) else part for part in made_from)
            self._value = make()
            self._made_from = copies
        return self._value


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one is other


def can_rank(module: type[object], similarity: type[object]) -> bool:
    """Whether a Lightning class and a similarity class rank as RecTools' own classes do."""
    return (
        getattr(module, "_recommend_u2i", None) is TransformerLightningModule._recommend_u2i  # noqa: SLF001  # RecTools has no public name for it
        and getattr(similarity, "_recommend_u2i", None) is DistanceSimilarityModule._recommend_u2i  # noqa: SLF001  # as above
    )


def recommend_u2i(  # noqa: PLR0917  # RecTools' order of arguments
    model: TransformerModelBase[Any],
    viewed: Latest[sparse.csr_matrix],
    user_ids: Ids,
    dataset: Dataset,
    k: int,
    filter_viewed: bool,
    sorted_item_ids_to_recommend: Ids | None,
) -> InternalRecoTriplet:
    """Recommend to users, in place of `TransformerModelBase._recommend_u2i`.

    Parameters
    ----------
    model
        A model that is fitted, or is being fitted.
    viewed
        Keeps the viewed items of the users, shape (n_users, n_items).
    user_ids, dataset, k, filter_viewed, sorted_item_ids_to_recommend
        Arguments as RecTools passes them. All ids are internal.

    Returns
    -------
    (users, items, scores)
        Three arrays of shape (n_recommendations,). Users are in the order of `user_ids`, best items first.
    """
    module = model.lightning_model
    similarity: Any = model.torch_model.similarity_module
    if not can_rank(type(module), type(similarity)):  # a user's module may rank in another way
        return type(model)._recommend_u2i(  # noqa: SLF001  # the method that this function replaces
            model, user_ids, dataset, k, filter_viewed, sorted_item_ids_to_recommend
        )
    items = sorted_item_ids_to_recommend
    if items is None:
        items = model.data_preparator.get_known_items_sorted_internal_ids()
    hidden = None
    if filter_viewed:
        hidden = viewed.get(lambda: _viewed(dataset, user_ids, items), dataset, user_ids, items)
    loader = model.data_preparator.get_dataloader_recommend(dataset, model.recommend_batch_size)
    user_embs, item_embs = module._get_user_item_embeddings(loader, model.recommend_torch_device)  # type: ignore[operator]  # noqa: SLF001  # mypy takes this method for a torch buffer
    rows, columns, scores = rank(user_embs[user_ids], item_embs[items], similarity.distance, k, hidden)
    return user_ids[rows], items[columns], scores


def rank(
    user_embs: torch.Tensor,
    item_embs: torch.Tensor,
    distance: Distance,
    k: int,
    hidden: sparse.csr_matrix | None,
) -> tuple[Ids, Ids, npt.NDArray[np.float32]]:
    """Find the best items of each user.

    Parameters
    ----------
    user_embs : shape (n_users, n_factors)
        User embeddings, on any device.
    item_embs : shape (n_items, n_factors)
        Item embeddings, on the device that ranks.
    distance
        Dot product or cosine.
    k
        Number of items for each user, or fewer if not enough items are left.
    hidden : shape (n_users, n_items)
        Its entries are never recommended. None if every item may be recommended.

    Returns
    -------
    (rows, columns, scores)
        Three arrays of shape (n_recommendations,): row of the user, row of the item, score. They are sorted
        by user, best items first.
    """
    torch.empty((), dtype=torch.int64).random_()  # TorchRanker's loader draws a seed too
    with torch.no_grad():
        batches = [
            torch.topk(scores, min(k, len(item_embs)), dim=1)
            for scores in _score(user_embs.float(), item_embs.float(), distance, hidden)
        ]
    values = torch.cat([batch.values for batch in batches]).cpu().numpy()
    columns = torch.cat([batch.indices for batch in batches]).cpu().numpy()
    rows = np.repeat(np.arange(len(values)), values.shape[1])
    scores, columns = values.ravel(), columns.ravel()
    if hidden is None:
        return rows, columns, scores
    allowed = scores > -np.inf
    return rows[allowed], columns[allowed], scores[allowed]


def _score(
    user_embs: torch.Tensor, item_embs: torch.Tensor, distance: Distance, hidden: sparse.csr_matrix | None
) -> Iterator[torch.Tensor]:
    """Yield the scores of up to 128 users at a time, shape (n_users, n_items), always in the same memory."""
    if distance == Distance.COSINE:
        item_embs = _normalise(item_embs)
    n_users, n_items = len(user_embs), len(item_embs)
    memory = item_embs.new_empty((min(_BATCH_SIZE, n_users), n_items))
    for start in range(0, n_users, _BATCH_SIZE):
        users = user_embs[start : start + _BATCH_SIZE].to(item_embs.device)
        if distance == Distance.COSINE:
            users = _normalise(users)
        scores = torch.mm(users, item_embs.T, out=memory[: len(users)])
        if hidden is not None:
            cells = torch.from_numpy(_cells(hidden, start, start + len(users)))
            scores.view(-1).index_fill_(0, cells.to(scores.device), -torch.inf)
        yield scores


def _normalise(embs: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.norm(embs, p=2, dim=1).unsqueeze(dim=1)
    return embs / norms.clamp_min(_EPSILON)


def _cells(matrix: sparse.csr_matrix, start: int, end: int) -> npt.NDArray[np.int64]:
    """Return the flat indices that the entries of some rows have in a dense array of those rows."""
    starts = matrix.indptr[start : end + 1].astype(np.int64)
    rows = np.repeat(np.arange(end - start), np.diff(starts))
    cells: npt.NDArray[np.int64] = rows * matrix.shape[1] + matrix.indices[starts[0] : starts[-1]]
    return cells


def _viewed(dataset: Dataset, user_ids: Ids, items: Ids) -> sparse.csr_matrix:
    """Return which of the items each user has viewed, shape (n_users, n_items)."""
    matrix = dataset.get_user_item_matrix(include_weights=False, include_warm_items=True)
    return matrix[user_ids][:, items]
