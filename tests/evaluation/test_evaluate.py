"""One fold of one trial: what is measured when, what ends a fit, and what failures look like."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

from tuner.config import Metric, study_from_mapping
from tuner.errors import TrialError, TunerError
from tuner.evaluation import Plan, evaluate_fold, evaluate_folds, with_reference
from tuner.evaluation.sample import sample_of
from tuner.models.build import build_model
from tuner.trials.objective import is_better
from tuner.trials.records import Evaluation, Users, is_unpadded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SEED = 17
SASREC: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": 1,
    "n_heads": 2,
    "n_factors": 8,
    "session_max_len": 6,
    "batch_size": 32,
    "lr": 0.01,
    "epochs": 6,
    "recommend_torch_device": "cpu",
}
BERT4REC = {**SASREC, "cls": "BERT4RecModel"}


def plan_of(*metrics: Any, **changes: Any) -> Plan:
    parsed = tuple(Metric.parse(metric) for metric in metrics or ("NDCG@10", "HitRate@5", "CoveredUsers@10"))
    return replace(Plan(parsed, parsed[0].label, "maximize", filter_viewed=True), **changes)


def evaluate(params: dict[str, Any], fold: Fold, plan: Plan | None = None) -> list[Evaluation]:
    reported: list[Evaluation] = []
    evaluate_fold(params, fold, plan or plan_of(), SEED, reported.append)
    return reported


def epochs_of(evaluations: Sequence[Evaluation]) -> list[int]:
    return [evaluation.epoch for evaluation in evaluations]


def without_times(evaluation: Evaluation) -> Evaluation:
    """Leave out what depends on the machine."""
    return replace(
        evaluation,
        fit_seconds=0,
        evaluate_seconds=0,
        peak_memory=None,
        recommend_seconds=None,
        epoch_seconds=None,
    )


@pytest.fixture(scope="module")
def curve(folds: list[Fold]) -> list[Evaluation]:
    """The whole curve of a fold, without patience."""
    return evaluate(SASREC, folds[0])


# ####  --------------  When a fold is measured  --------------  #### #


@pytest.mark.parametrize(
    ("evaluate_every", "expected"),
    [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4, 6]), (5, [5, 6]), (6, [6]), (100, [6])],
)
def test_evaluation_points_end_with_the_last_epoch(
    evaluate_every: int, expected: list[int], folds: list[Fold], curve: list[Evaluation]
) -> None:
    evaluations = evaluate(SASREC, folds[0], plan_of(evaluate_every=evaluate_every))
    assert epochs_of(evaluations) == expected
    at_those_points = [curve[epoch - 1] for epoch in expected]
    assert [*map(without_times, evaluations)] == [*map(without_times, at_those_points)]


def test_an_evaluation_says_what_was_measured(folds: list[Fold], curve: list[Evaluation]) -> None:
    assert {evaluation.fold for evaluation in curve} == {0}
    for evaluation in curve:
        assert list(evaluation.metrics) == ["NDCG@10", "HitRate@5", "CoveredUsers@10"]
        assert all(type(value) is float for value in evaluation.metrics.values())
        assert evaluation.train_loss is not None
        assert Evaluation.from_plain(evaluation.to_plain()) == evaluation
    fit_seconds = [evaluation.fit_seconds for evaluation in curve]
    evaluate_seconds = [evaluation.evaluate_seconds for evaluation in curve]
    assert fit_seconds[0] > 0
    assert evaluate_seconds[0] > 0
    assert fit_seconds == sorted(fit_seconds)
    assert evaluate_seconds == sorted(evaluate_seconds)


def test_time_spent_in_reports_is_no_time_of_the_fit(folds: list[Fold]) -> None:
    """Within Ray a report waits for the driver."""
    reported: list[Evaluation] = []

    def slow(evaluation: Evaluation) -> None:
        reported.append(evaluation)
        time.sleep(1)

    evaluate_fold({**SASREC, "epochs": 3}, folds[0], plan_of(), SEED, slow)
    assert reported[-1].fit_seconds + reported[-1].evaluate_seconds < 2


@pytest.mark.parametrize("params", [{"cls": "PopularModel"}, {"cls": "EASEModel"}])
def test_a_classic_model_is_measured_once_at_epoch_0(params: dict[str, Any], folds: list[Fold]) -> None:
    for plan in (plan_of(), plan_of(evaluate_every=3, patience=1)):
        (evaluation,) = evaluate(params, folds[1], plan)
        assert (evaluation.fold, evaluation.epoch) == (1, 0)
        assert evaluation.train_loss is None
        assert evaluation.n_parameters is None


def test_folds_are_evaluated_in_order_each_with_its_seed(folds: list[Fold]) -> None:
    reported: list[Evaluation] = []
    params = {**SASREC, "epochs": 1}
    evaluate_folds(params, folds, plan_of(), [SEED, SEED + 1], reported.append)
    alone: list[Evaluation] = []
    evaluate_fold(params, folds[1], plan_of(), SEED + 1, alone.append)
    assert [evaluation.fold for evaluation in reported] == [0, 1]
    assert without_times(reported[1]) == without_times(alone[0])


def test_a_seed_is_needed_for_each_fold(folds: list[Fold]) -> None:
    with pytest.raises(ValueError, match="shorter"):
        evaluate_folds({"cls": "PopularModel"}, folds, plan_of(), [SEED], lambda _: None)


def two_epochs() -> Trainer:
    """Return a trainer of the user's own."""
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def test_a_trainer_of_the_users_own_is_measured_too(folds: list[Fold]) -> None:
    evaluations = evaluate({**SASREC, "get_trainer_func": two_epochs}, folds[0])
    assert epochs_of(evaluations) == [1, 2]


class Silent(TransformerLightningModule):
    """Logs no loss."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        pass


def test_a_module_that_logs_no_loss_has_none(folds: list[Fold], curve: list[Evaluation]) -> None:
    evaluations = evaluate({**SASREC, "epochs": 2, "lightning_module_type": Silent}, folds[0])
    assert [evaluation.train_loss for evaluation in evaluations] == [None, None]
    assert [evaluation.metrics for evaluation in evaluations] == [point.metrics for point in curve[:2]]


def test_recommendations_are_as_long_as_the_largest_k() -> None:
    assert plan_of("NDCG@10", "HitRate@50", "MRR@3").k == 50


def test_plan_of_a_study() -> None:
    study = study_from_mapping(
        {
            "study": "shop",
            "data": {"interactions": "shop.csv"},
            "folds": {"split": "last_n", "size": 1, "filter_viewed": False},
            "metrics": {
                "objective": {"NDCG@5": {"divide_by_achievable": True}},
                "direction": "minimize",
                "report": ["NDCG@10", {"NDCG@5": {"divide_by_achievable": True}}],
            },
            "space": "search_spaces.guide",
            "training": {"epochs": 9, "evaluate_every": 3, "patience": 2, "fast": False},
        }
    )
    assert Plan.of(study) == Plan(
        metrics=(Metric("NDCG", 10), Metric("NDCG", 5, {"divide_by_achievable": True})),
        objective="NDCG@5",
        direction="minimize",
        filter_viewed=False,
        evaluate_every=3,
        patience=2,
        fast=False,
    )


def test_an_evaluation_tells_the_fast_paths_of_its_fit(folds: list[Fold], curve: list[Evaluation]) -> None:
    (paths,) = {point.fast_paths for point in curve}
    assert {"flat sequences", "sparse-mask ranking", "target-only softmax", "fused Adam"} <= set(paths)
    for params, plan in ((SASREC, plan_of(fast=False)), ({"cls": "PopularModel"}, plan_of())):
        assert {point.fast_paths for point in evaluate(params, folds[0], plan)} == {()}


# ####  --------------  Parameters  --------------  #### #


class HalfFrozen(TransformerLightningModule):
    """Trains everything but the item embeddings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.torch_model.item_model.requires_grad_(False)


def test_parameters_are_the_trainable_ones(folds: list[Fold], curve: list[Evaluation]) -> None:
    params = {**SASREC, "epochs": 1}
    model = build_model(params).fit(folds[0].train)
    everything = sum(parameter.numel() for parameter in model.torch_model.parameters())
    embeddings = sum(parameter.numel() for parameter in model.torch_model.item_model.parameters())
    assert {evaluation.n_parameters for evaluation in curve} == {everything}
    (frozen,) = evaluate({**params, "lightning_module_type": HalfFrozen}, folds[0])
    assert frozen.n_parameters == everything - embeddings


# ####  --------------  Patience  --------------  #### #


def stops_after(values: Sequence[float], direction: str, patience: int) -> int:
    """Return how many evaluations there are, by the definition of patience."""
    for n in range(1, len(values) + 1):
        best = next(i for i in range(n) if not any(is_better(v, values[i], direction) for v in values[:n]))
        if n - 1 - best >= patience:
            return n
    return len(values)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_patience_ends_a_fit_and_changes_nothing_before(
    direction: Any, patience: int, folds: list[Fold], curve: list[Evaluation]
) -> None:
    expected = stops_after([point.metrics["NDCG@10"] for point in curve], direction, patience)
    evaluations = evaluate(SASREC, folds[0], plan_of(patience=patience, direction=direction))
    assert epochs_of(evaluations) == list(range(1, expected + 1))
    assert [*map(without_times, evaluations)] == [*map(without_times, curve[:expected])]


@pytest.mark.parametrize(
    ("patience", "evaluate_every", "expected"),
    [(1, 1, [1, 2]), (2, 1, [1, 2, 3]), (1, 2, [2, 4]), (2, 2, [2, 4, 6]), (1, 4, [4, 6]), (5, 1, None)],
)
def test_patience_counts_evaluations_of_a_constant_objective(
    patience: int, evaluate_every: int, expected: list[int] | None, folds: list[Fold]
) -> None:
    plan = plan_of("CoveredUsers@10", patience=patience, evaluate_every=evaluate_every)
    assert epochs_of(evaluate(SASREC, folds[0], plan)) == (expected or [1, 2, 3, 4, 5, 6])


def test_patience_starts_again_with_each_fold(folds: list[Fold]) -> None:
    reported: list[Evaluation] = []
    evaluate_folds(SASREC, folds, plan_of("CoveredUsers@10", patience=2), [1, 2], reported.append)
    assert [(evaluation.fold, evaluation.epoch) for evaluation in reported] == [
        (fold, epoch) for fold in (0, 1) for epoch in (1, 2, 3)
    ]


def test_patience_also_ends_a_fit_with_a_trainer_of_the_users_own(folds: list[Fold]) -> None:
    params = {**SASREC, "get_trainer_func": six_epochs_at_least}
    assert epochs_of(evaluate(params, folds[0], plan_of("CoveredUsers@10", patience=1))) == [1, 2]


# ####  --------------  A sample of the users  --------------  #### #


def test_all_evaluations_but_the_last_are_of_a_sample_of_the_users(
    folds: list[Fold], curve: list[Evaluation]
) -> None:
    by_user: list[Users] = []
    evaluate_fold(SASREC, folds[0], plan_of(), SEED, lambda _: None, report_users=by_user.append)
    few = sample_of(folds[0], 7)
    assert few is not None
    places = [list(folds[0].users).index(user) for user in few.users]

    found: list[Users] = []
    evaluations: list[Evaluation] = []
    plan = plan_of(evaluate_users=7)
    evaluate_fold(SASREC, folds[0], plan, SEED, evaluations.append, report_users=found.append)
    assert [one.sampled_users for one in evaluations] == [7] * 5 + [None]
    for one, whole in zip(evaluations[:-1], curve, strict=False):
        assert one.metrics["NDCG@10"] == pytest.approx(by_user[0].at(one.epoch)[places].mean(), rel=1e-6)
        assert one.train_loss == whole.train_loss
    assert without_times(evaluations[-1]) == without_times(curve[-1])
    assert found[0].epochs == (6,)
    np.testing.assert_array_equal(found[0].at(6), by_user[0].at(6))


def test_the_evaluation_at_which_patience_ends_a_fit_is_of_all_users(folds: list[Fold]) -> None:
    evaluations = evaluate(SASREC, folds[0], plan_of("CoveredUsers@10", patience=2, evaluate_users=7))
    assert [(one.epoch, one.sampled_users) for one in evaluations] == [(1, 7), (2, 7), (3, None)]


def test_a_sample_is_the_same_each_time_and_at_most_all_users(folds: list[Fold]) -> None:
    fold = folds[0]
    first, again = sample_of(fold, 7), sample_of(fold, 7)
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.users, again.users)
    assert len(set(first.users)) == 7
    assert first.test.equals(fold.test[fold.test[Columns.User].isin(first.users)])
    assert first.train is fold.train
    assert sample_of(fold, len(fold.users)) is None
    assert sample_of(fold, None) is None


def six_epochs_at_least() -> Trainer:
    """Return a trainer that would not stop early by itself."""
    return Trainer(
        min_epochs=6,
        max_epochs=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


# ####  --------------  Failures  --------------  #### #


@pytest.mark.parametrize("params", [{**SASREC, "lr": 1e30}, {**BERT4REC, "mask_prob": 1e-9}])
def test_a_loss_that_is_not_finite_fails_at_once(params: dict[str, Any], folds: list[Fold]) -> None:
    reported: list[Evaluation] = []
    with pytest.raises(
        TrialError, match=r"^fold 2: the training loss must be finite, but is nan in epoch 1"
    ) as raised:
        evaluate_fold(params, folds[1], plan_of(evaluate_every=6), SEED, reported.append)
    assert reported == []
    assert raised.value.hint is not None


class Diverging(TransformerLightningModule):
    """Loses its way in the second epoch."""

    batches: ClassVar[list[int]] = []

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(batch, batch_idx)
        Diverging.batches.append(self.current_epoch)
        if self.current_epoch == 1:
            self.log(self.train_loss_name, loss * float("inf"), on_step=False, on_epoch=True)
        return loss


def test_the_epoch_of_a_loss_that_is_not_finite_is_named(folds: list[Fold]) -> None:
    Diverging.batches.clear()
    reported: list[Evaluation] = []
    params = {**SASREC, "lightning_module_type": Diverging}
    with pytest.raises(TrialError, match=r"must be finite, but is (inf|nan) in epoch 2"):
        evaluate_fold(params, folds[0], plan_of(), SEED, reported.append)
    assert epochs_of(reported) == [1]
    assert set(Diverging.batches) == {0, 1}


def test_a_metric_that_is_not_finite_is_refused(folds: list[Fold]) -> None:
    reported: list[Evaluation] = []
    plan = plan_of(Metric("NDCG", 10, {"log_base": 1, "divide_by_achievable": True}))  # divides by log 1
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrialError, match=r"^fold 1: a metric must be finite, but NDCG@10 is \S+ at epoch 1"),
    ):
        evaluate_fold(SASREC, folds[0], plan, SEED, reported.append)
    assert reported == []


def test_a_metric_that_raises_is_reported_with_its_reason(folds: list[Fold]) -> None:
    with pytest.raises(TrialError, match=r"^fold 1: ValueError: .*ref_reco") as raised:
        evaluate({"cls": "PopularModel"}, folds[0], plan_of({"Intersection@10": {}}))
    assert isinstance(raised.value.__cause__, ValueError)


class BrokenLayers(PreLNTransformerLayers):
    """Cannot be built."""

    def __init__(self, **kwargs: Any) -> None:
        raise LookupError("no   such\nlayer")


class BrokenPreparator(BERT4RecDataPreparator):
    """Cannot make batches."""

    def _collate_fn_train(self, batch: Any) -> Any:
        raise KeyError("sku")


class BrokenLater(TransformerLightningModule):
    """Breaks in the third epoch."""

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2:
            raise ArithmeticError("third epoch")
        loss: torch.Tensor = super().training_step(batch, batch_idx)
        return loss


@pytest.mark.parametrize(
    ("params", "cause", "message", "reported"),
    [
        (
            {**SASREC, "transformer_layers_type": BrokenLayers},
            LookupError,
            "fold 2: LookupError: no such layer",
            [],
        ),
        ({**BERT4REC, "data_preparator_type": BrokenPreparator}, KeyError, "fold 2: KeyError: 'sku'", []),
        (
            {**SASREC, "lightning_module_type": BrokenLater},
            ArithmeticError,
            "fold 2: ArithmeticError: third epoch",
            [1, 2],
        ),
        ({**SASREC, "n_heads": 3}, AssertionError, "fold 2: AssertionError: embed_dim must be divisible", []),
    ],
)
def test_an_error_of_a_users_module_is_reported_with_the_fold_and_the_cause(
    params: dict[str, Any], cause: type[Exception], message: str, reported: list[int], folds: list[Fold]
) -> None:
    seen: list[Evaluation] = []
    with pytest.raises(TrialError) as raised:
        evaluate_fold(params, folds[1], plan_of(), SEED, seen.append)
    assert raised.value.message.startswith(message)
    assert type(raised.value.__cause__) is cause
    assert epochs_of(seen) == reported


def test_a_model_that_cannot_be_built_is_a_failure_of_the_trial(folds: list[Fold]) -> None:
    with pytest.raises(TrialError, match=r"^the model cannot be built: lrr is no param of it$") as raised:
        evaluate({**SASREC, "lrr": 0.1}, folds[0])
    assert raised.value.__cause__ is not None


def test_what_stops_a_trial_from_outside_is_no_failure(folds: list[Fold]) -> None:
    """Ray stops a trial by raising SystemExit where it reports, here within a fit."""

    def report(_evaluation: Evaluation) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        evaluate_fold(SASREC, folds[0], plan_of(), SEED, report)


# ####  --------------  Reference  --------------  #### #


def test_without_a_reference_folds_are_as_they_were(folds: list[Fold]) -> None:
    assert with_reference(folds, None, plan_of(), SEED) == folds


def test_reference_recommends_to_each_folds_users(folds: list[Fold]) -> None:
    plan = plan_of("Intersection@5", "NDCG@10")
    ready = with_reference(folds, {"cls": "PopularModel"}, plan, SEED)
    for fold, before in zip(ready, folds, strict=True):
        assert fold.reference is not None
        assert before.reference is None
        assert set(fold.reference[Columns.User]) == set(fold.users)
        assert fold.reference.groupby(Columns.User).size().max() == 10
        (itself,) = evaluate({"cls": "PopularModel"}, fold, plan)
        assert itself.metrics["Intersection@5"] == 1.0
        (other,) = evaluate({"cls": "RandomModel", "random_state": 1}, fold, plan)
        assert 0 < other.metrics["Intersection@5"] < 1


def test_a_reference_that_fails_is_reported_as_an_error_of_ours(folds: list[Fold]) -> None:
    with pytest.raises(TunerError, match="embed_dim must be divisible"):
        with_reference(folds, {**SASREC, "n_heads": 3}, plan_of(), SEED)


# ####  --------------  Values by user  --------------  #### #


@pytest.mark.parametrize("metric", ["NDCG@10", "HitRate@5", "MAP@10", "MRR@10", "Recall@5", "F1Beta@10"])
def test_the_users_values_have_the_metric_as_their_mean(folds: list[Fold], metric: str) -> None:
    reported: list[Evaluation] = []
    kept: list[Users] = []
    plan = plan_of(metric, evaluate_every=2)
    evaluate_fold(SASREC, folds[0], plan, SEED, reported.append, report_users=kept.append)
    (users,) = kept
    assert users.epochs == tuple(epochs_of(reported)) == (2, 4, 6)
    assert users.values.shape == (3, len(folds[0].users))
    for evaluation in reported:
        assert users.at(evaluation.epoch).mean() == pytest.approx(evaluation.metrics[metric], rel=1e-5)


def test_an_objective_that_is_no_mean_over_users_has_no_values_by_user(folds: list[Fold]) -> None:
    kept: list[Users] = []
    plan = plan_of("CoveredUsers@10")
    evaluate_fold(SASREC, folds[0], plan, SEED, lambda _: None, report_users=kept.append)
    assert kept == []


def test_a_fit_without_padding_is_recorded_as_such(folds: list[Fold]) -> None:
    (*_, unpadded), (*_, padded) = (
        evaluate(SASREC, folds[0], plan_of(fast=fast)) for fast in ("unpadded", True)
    )
    assert is_unpadded(unpadded.fast_paths)
    assert not is_unpadded(padded.fast_paths)
    assert unpadded.train_loss == pytest.approx(padded.train_loss, rel=0.1)
