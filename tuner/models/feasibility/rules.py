"""Feasibility rules: combinations of loss, attention, HSTU's layers and modules that cannot work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rectools.models import BERT4RecModel, HSTUModel
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone

from tuner.errors import Problem, did_you_mean
from tuner.models.feasibility.bounds import Bound, at_least, positive
from tuner.models.feasibility.case import ATTENTION, LOSS_PARTS, LOSSES, Case
from tuner.space import Value

__all__ = ["RULES", "none_beside_kwargs"]


def _loss(case: Case) -> Iterator[Problem]:
    parts = ("__init__", "training_step", *LOSS_PARTS)
    own_losses = case.inherits("lightning_module", TransformerLightningModule, *parts)
    losses = case.losses
    if own_losses and isinstance(case["loss"], str) and case["loss"] not in losses:
        rule = f"`loss` must be one of {', '.join(losses)}, but got {case['loss']!r}"
        yield Problem("loss", rule, did_you_mean(case["loss"], losses))


def _negatives(case: Case) -> Iterator[Problem]:
    """Require negatives: without them, sampled softmax and gBCE fail, and BCE cannot learn."""
    own_losses = case.inherits("lightning_module", TransformerLightningModule, "__init__", *LOSS_PARTS)
    drawn = case.inherits("negative_sampler", CatalogUniformSampler, "__init__", "get_negatives")
    if own_losses and drawn and case["loss"] in LOSSES[1:]:
        yield from at_least(1, "n_negatives").check(case.flat)


def _gbce(case: Case) -> Iterator[Problem]:
    """Require t in [0, 1], from plain BCE to full calibration (Petrov & Macdonald 2023, eq. 11).

    Above 1, the exponent of the positives' probability is negative, and positives get no gradient. Below 0,
    the model is fitted without any calibration.
    """
    names = ("__init__", *LOSS_PARTS, "_calc_gbce_loss", "_get_reduced_overconfidence_logits")
    if case["loss"] == "gBCE" and case.inherits("lightning_module", TransformerLightningModule, *names):
        yield from Bound("gbce_t", "0 <= gbce_t <= 1", lambda t: 0 <= t <= 1).check(case.flat)


def _logits_scale(case: Case) -> Iterator[Problem]:
    """Require a positive divisor of logits: with 0 they are NaN, below 0 the worst items rank first."""
    key = "lightning_module_kwargs.logits_t"
    if case.inherits("lightning_module", TransformerLightningModule, "__init__", "get_batch_logits"):
        yield from positive(key).check(case.flat)


def _mask_prob(case: Case) -> Iterator[Problem]:
    """Require some masked items and some visible ones: without masked items the loss is NaN."""
    if not (case.masks and case.inherits("data_preparator", BERT4RecDataPreparator, "__init__")):
        return
    key = "mask_prob" if issubclass(case.model, BERT4RecModel) else "data_preparator_kwargs.mask_prob"
    yield from Bound(key, f"0 < {key} < 1", lambda prob: 0 < prob < 1).check(case.flat)


# ----- attention -----


def _heads(case: Case) -> Iterator[Problem]:
    """Require that heads divide factors, for layers with attention and for every `HSTUModel`.

    `STULayers` in other models have their own widths.
    """
    width, heads = case["n_factors"], case["n_heads"]
    cut = issubclass(case.model, HSTUModel) or any(
        case.inherits("transformer_layers", base, "__init__") for base in ATTENTION
    )
    if cut and isinstance(width, int) and isinstance(heads, int) and min(width, heads) > 0 and width % heads:
        rule = f"`n_factors % n_heads == 0` must hold, but got n_factors={width}, n_heads={heads}"
        divisors = [number for number in range(1, min(width, 16) + 1) if width % number == 0]
        hint = f"for this n_factors, n_heads may be {', '.join(map(str, divisors))}"
        yield Problem("n_heads", rule, hint)


def _shifted_is_causal(case: Case) -> Iterator[Problem]:
    """Require the causal mask if the target is the next item: without the mask, a position sees its target.

    Such a model is fitted, but it is bad: on noisy chains of 200 items, HitRate@3 fell from 0.63 to 0.40
    (with pre-LN layers, to 0.14). There is no rule for the opposite: with masked items, a causal mask even
    helped (0.38; without it, 0.20).
    """
    if case.shifts and case.masked_attention and case.usual_loss and case["use_causal_attn"] is False:
        rule = "`use_causal_attn == True` must hold where the target is the next item, but got False"
        hint = (
            "without it a position sees its target; give use_causal_attn `when` another data_preparator_type"
        )
        yield Problem("use_causal_attn", rule, hint)


# ----- HSTU's layers -----


def _stu_masks(case: Case) -> Iterator[Problem]:
    """Require a causal mask and no padding mask: STU layers invert a mask that must be purely causal."""
    if not case.stu or not case.inherits("backbone", TransformerTorchBackbone, "encode_sessions"):
        return
    if case["use_causal_attn"] is False:
        rule = "`use_causal_attn == True` must hold with STULayers, but got False"
        yield Problem("use_causal_attn", rule, "fix it to True `when` transformer_layers_type is STULayers")
    if case["use_key_padding_mask"] is True and not issubclass(case.model, HSTUModel):
        rule = "`use_key_padding_mask == False` must hold with STULayers, but got True"
        yield Problem(
            "use_key_padding_mask", rule, "fix it to False `when` transformer_layers_type is STULayers"
        )


def _stu_length(case: Case) -> Iterator[Problem]:
    if not case.stu:
        return
    key, length = "transformer_layers_kwargs.session_max_len", case["session_max_len"]
    own = case.flat(key)
    if not issubclass(case.model, HSTUModel) and own is not None and own != length:
        rule = f"`{key} == session_max_len` must hold, but got {own} and {length}"
        yield Problem(key, rule, "fix both to one value, or search HSTUModel, which sets them alike")
    key, bias = _stu_switch(case, "relative_pos_attention")
    if bias is True and length == 1:
        rule = f"`session_max_len >= 2` must hold with {key}=True, but got 1"
        yield Problem("session_max_len", rule, f"set {key} to False for sequences of one item")


def _stu_time(case: Case) -> Iterator[Problem]:
    """Refuse attention over time where sessions carry no timestamps.

    Only `HSTUModel` with the data preparator of SASRec sends them.
    """
    key, needed = _stu_switch(case, "relative_time_attention")
    if not case.stu or needed is not True:
        return
    name = "_collate_fn_recommend"
    rule = f"`{key} == False` must hold"
    if case.inherits("data_preparator", BERT4RecDataPreparator, name):
        yield Problem(
            key, f"{rule} where sessions end with MASK and carry no time, but got True", "fix it to False"
        )
    elif not issubclass(case.model, HSTUModel) and case.inherits(
        "data_preparator", SASRecDataPreparator, name
    ):
        yield Problem(
            key, f"{rule} in other models than HSTUModel, which send no time, but got True", "fix it to False"
        )


def _time_needs_context(case: Case) -> Iterator[Problem]:
    """Refuse timestamps in sessions without attention over time.

    To recommend, they need a context, which RecTools requests only for a model with attention over time.
    """
    key = "data_preparator_kwargs.add_unix_ts"
    asks = issubclass(case.model, HSTUModel) and case["relative_time_attention"] is True
    names = ("__init__", "_collate_fn_recommend")
    if not asks and case.flat(key) is True and case.inherits("data_preparator", SASRecDataPreparator, *names):
        rule = f"`{key} == False` must hold without HSTUModel's relative_time_attention, but got True"
        yield Problem(key, rule, "leave it out: HSTUModel sets it itself")


def _stu_epsilon(case: Case) -> Iterator[Problem]:
    """Require a positive epsilon: without it, the norm of padding, which is all zeros, divides by zero."""
    if case.stu:
        yield from positive("transformer_layers_kwargs.epsilon").check(case.flat)


def _stu_switch(case: Case, name: str) -> tuple[str, Any]:
    """Return the flat key and the value of a switch: a param of `HSTUModel`, else a kwarg of the layers."""
    key = name if issubclass(case.model, HSTUModel) else f"transformer_layers_kwargs.{name}"
    return key, case.flat(key)


# ----- modules -----


def _distance(case: Case) -> Iterator[Problem]:
    distance = case.flat("similarity_module_kwargs.distance")
    if case.inherits("similarity_module", DistanceSimilarityModule, "__init__") and isinstance(distance, str):
        known = ("dot", "cosine")
        if distance not in known:
            rule = f"`distance` must be one of {', '.join(known)}, but got {distance!r}"
            yield Problem("similarity_module_kwargs.distance", rule, did_you_mean(distance, known))


def _item_nets(case: Case) -> Iterator[Problem]:
    if isinstance(case["item_net_block_types"], list | tuple) and not case["item_net_block_types"]:
        rule = "`len(item_net_block_types) >= 1` must hold, but got none"
        yield Problem("item_net_block_types", rule, "name IdEmbeddingsItemNet, CatFeaturesItemNet or both")


def none_beside_kwargs(params: Mapping[str, Value]) -> Iterator[Problem]:
    """Refuse a kwarg together with ``X_kwargs`` itself: RecTools cannot put a kwarg into None."""
    for key in [key for key in params if key.endswith("_kwargs")]:
        beside = [other for other in params if other.startswith(f"{key}.")]
        if beside:
            rule = f"`{key}` must not be given together with {', '.join(beside)}, but got {params[key]}"
            yield Problem(key, rule, f"leave `{key}` out")


RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _loss,
    _negatives,
    _gbce,
    _logits_scale,
    _mask_prob,
    _heads,
    _shifted_is_causal,
    _stu_masks,
    _stu_length,
    _stu_time,
    _time_needs_context,
    _stu_epsilon,
    _distance,
    _item_nets,
)
