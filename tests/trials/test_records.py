"""What is better, what a trial is worth, and records that survive JSON."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuner.trials.objective import is_better, summarise
from tuner.trials.records import Evaluation, Summary
from tuner.trials.seeds import fold_seed

ROOT = Path(__file__).resolve().parents[2]
NDCG, RECALL = "NDCG@10", "Recall@20"


def curve(fold, values, *, first=1, **more):
    """Evaluations of one fold: a value for each epoch from `first` on."""
    return [Evaluation(fold, first + step, {NDCG: value}, **more) for step, value in enumerate(values)]


# --- what is better -----------------------------------------------------------------------------


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_better_is_strict_and_follows_the_direction(one, other):
    assert is_better(one, other, "maximize") == (one > other)
    assert is_better(one, other, "minimize") == (one < other)


# --- what a trial is worth ----------------------------------------------------------------------


def test_the_epoch_with_the_best_mean_over_folds_is_chosen():
    evaluations = [*curve(0, [0.1, 0.9, 0.2]), *curve(1, [0.3, 0.1, 0.6])]
    summary = summarise(evaluations, NDCG, "maximize")
    assert summary.epoch == 2
    assert summary.mean == fmean([0.9, 0.1])
    assert summary.std == stdev([0.9, 0.1])
    assert summary.folds == ({NDCG: 0.9}, {NDCG: 0.1})
    assert summarise(evaluations, NDCG, "minimize").epoch == 1


def test_only_the_last_evaluation_of_each_fold_counts_if_the_others_are_of_a_sample():
    evaluations = [
        *curve(0, [0.9, 0.8], sampled_users=5),
        *curve(0, [0.3], first=3),
        *curve(1, [0.7], sampled_users=5),
        *curve(1, [0.5], first=2),
    ]
    summary = summarise(evaluations, NDCG, "maximize")
    assert (summary.mean, summary.epoch, summary.epochs_run) == (fmean([0.3, 0.5]), 3, 3)
    assert summary.folds == ({NDCG: 0.3}, {NDCG: 0.5})
    assert summary.sampled_users == 5
    assert Summary.from_plain(summary.to_plain()) == summary


def test_of_equal_epochs_the_earliest_is_chosen():
    evaluations = [*curve(0, [0.1, 0.5, 0.25, 0.5]), *curve(1, [0.1, 0.25, 0.5, 0.25])]
    assert summarise(reversed(evaluations), NDCG, "maximize").epoch == 2
    flat = [*curve(0, [0.5, 0.5, 0.5]), *curve(1, [0.5, 0.5, 0.5])]
    assert summarise(reversed(flat), NDCG, "minimize").epoch == 1


def test_only_epochs_that_every_fold_reached_count():
    """Folds that stop at different epochs, as patience makes them, are compared where all of them were."""
    evaluations = [*curve(0, [0.1, 0.2]), *curve(1, [0.1, 0.2, 0.9, 0.8, 0.7])]
    summary = summarise(evaluations, NDCG, "maximize")
    assert (summary.epoch, summary.mean, summary.epochs_run) == (2, 0.2, 5)


def test_epochs_need_not_follow_each_other():
    evaluations = [
        Evaluation(fold, epoch, {NDCG: value})
        for fold, values in enumerate([{2: 0.1, 4: 0.3, 5: 0.9}, {2: 0.2, 4: 0.4, 6: 0.9}])
        for epoch, value in values.items()
    ]
    assert summarise(evaluations, NDCG, "maximize").epoch == 4


@pytest.mark.parametrize("evaluations", [[], [*curve(0, [0.1]), *curve(1, [0.1], first=2)]])
def test_without_a_common_epoch_there_is_no_summary(evaluations):
    with pytest.raises(ValueError, match="an epoch must be evaluated in every fold, but none was"):
        summarise(evaluations, NDCG, "maximize")


def test_other_metrics_are_those_of_the_chosen_epoch():
    evaluations = [
        Evaluation(0, 1, {NDCG: 0.1, RECALL: 0.9}),
        Evaluation(0, 2, {NDCG: 0.5, RECALL: 0.2}),
        Evaluation(1, 1, {NDCG: 0.1, RECALL: 0.9}),
        Evaluation(1, 2, {NDCG: 0.5, RECALL: 0.4}),
    ]
    summary = summarise(evaluations, NDCG, "maximize")
    assert summary.metrics == {NDCG: 0.5, RECALL: fmean([0.2, 0.4])}
    assert summary.folds == ({NDCG: 0.5, RECALL: 0.2}, {NDCG: 0.5, RECALL: 0.4})
    by_recall = summarise(evaluations, RECALL, "maximize")
    assert (by_recall.epoch, by_recall.mean) == (1, 0.9)


def test_time_is_that_of_all_training_not_of_the_best_epoch():
    evaluations = [
        Evaluation(
            fold, epoch, {NDCG: 1 / epoch}, fit_seconds=10.0 * epoch + fold, n_parameters=7, fast_paths=("a",)
        )
        for fold in range(2)
        for epoch in (1, 2, 3)
    ]
    summary = summarise(evaluations, NDCG, "maximize")
    assert (summary.epoch, summary.epochs_run, summary.fit_seconds, summary.n_parameters) == (1, 3, 61.0, 7)
    assert summary.fast_paths == ("a",)


def test_a_model_without_epochs_is_judged_at_epoch_0():
    summary = summarise([Evaluation(0, 0, {NDCG: 0.3})], NDCG, "maximize")
    assert (summary.epoch, summary.epochs_run, summary.mean, summary.std) == (0, 0, 0.3, 0.0)


def test_an_evaluation_made_again_replaces_the_old_one():
    evaluations = [*curve(0, [0.1, 0.9]), Evaluation(0, 2, {NDCG: 0.05})]
    assert summarise(evaluations, NDCG, "maximize").epoch == 1


values = st.integers(0, 5).map(lambda value: value / 4)  # exact in binary, and often equal
tables = st.dictionaries(
    st.integers(0, 3), st.dictionaries(st.integers(0, 6), values, min_size=1), min_size=1
)


@given(tables, st.sampled_from(["maximize", "minimize"]), st.randoms(use_true_random=False))
def test_a_summary_is_the_best_common_epoch_whatever_the_order(table, direction, chance):
    evaluations = [
        Evaluation(fold, epoch, {NDCG: value})
        for fold, line in table.items()
        for epoch, value in line.items()
    ]
    common = [epoch for epoch in range(7) if all(epoch in line for line in table.values())]
    assume(common)
    chance.shuffle(evaluations)
    summary = summarise(evaluations, NDCG, direction)
    means = {epoch: fmean(table[fold][epoch] for fold in sorted(table)) for epoch in common}
    best = max(means.values()) if direction == "maximize" else min(means.values())
    assert summary.mean == best
    assert summary.epoch == min(epoch for epoch in common if means[epoch] == best)
    assert [fold[NDCG] for fold in summary.folds] == [table[fold][summary.epoch] for fold in sorted(table)]


# --- records through JSON -----------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)
metrics = st.dictionaries(st.sampled_from([NDCG, RECALL, "MAP@5"]), finite, min_size=1)
counts = st.integers(0, 10**9)


@given(
    st.builds(
        Evaluation,
        fold=st.integers(0, 9),
        epoch=st.integers(0, 99),
        metrics=metrics,
        train_loss=st.none() | finite,
        fit_seconds=finite,
        evaluate_seconds=finite,
        recommend_seconds=st.none() | finite,
        learning_rate=st.none() | finite,
        epoch_seconds=st.none() | finite,
        n_parameters=st.none() | counts,
        fast_paths=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    )
)
def test_an_evaluation_survives_json(evaluation):
    assert Evaluation.from_plain(json.loads(json.dumps(evaluation.to_plain()))) == evaluation


@given(
    st.builds(
        Summary,
        epoch=counts,
        mean=finite,
        std=finite,
        metrics=metrics,
        folds=st.lists(metrics, max_size=3).map(tuple),
        epochs_run=counts,
        fit_seconds=finite,
        n_parameters=st.none() | counts,
        fast_paths=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    )
)
def test_a_summary_survives_json(summary):
    assert Summary.from_plain(json.loads(json.dumps(summary.to_plain()))) == summary


def test_records_of_before_there_were_fast_paths_are_read():
    for record in (Evaluation(0, 1, {NDCG: 0.1}), Summary(1, 0.1, 0.0, {NDCG: 0.1})):
        plain = record.to_plain()
        del plain["fast_paths"]
        assert type(record).from_plain(plain) == record


# --- seeds --------------------------------------------------------------------------------------

PARAMS = {"cls": "SASRecModel", "lr": 0.001, "n_blocks": 2, "use_pos_emb": True, "types": ("a.B", "a.C")}


def test_seeds_are_those_of_all_earlier_studies():
    assert fold_seed(60, {}, 0) == 3454580625  # the first four bytes of sha256("[60,{},0]")
    assert fold_seed(60, PARAMS, 1) == 1247183904


def test_a_seed_does_not_depend_on_the_process():
    code = f"from tuner.trials.seeds import fold_seed; print(fold_seed(60, {PARAMS!r}, 1))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(out.stdout) == fold_seed(60, PARAMS, 1)


def test_a_seed_does_not_depend_on_the_order_of_params():
    shuffled = list(PARAMS.items())
    random.Random(0).shuffle(shuffled)
    assert list(dict(shuffled)) != list(PARAMS)
    assert fold_seed(60, dict(shuffled), 1) == fold_seed(60, PARAMS, 1)


def test_a_seed_is_the_same_for_params_read_back_from_the_store():
    assert fold_seed(60, json.loads(json.dumps(PARAMS)), 1) == fold_seed(60, PARAMS, 1)


def test_seeds_differ_by_study_seed_fold_and_params():
    seeds = [fold_seed(seed, PARAMS, fold) for seed in range(20) for fold in range(5)]
    seeds += [fold_seed(0, {**PARAMS, "lr": 0.001 + step * 1e-12}, 0) for step in range(1, 20)]
    seeds += [fold_seed(0, {**PARAMS, "n_blocks": value}, 0) for value in (True, 2.0, "2", None)]
    assert len(set(seeds)) == len(seeds)


@given(
    st.integers(0, 2**32 - 1), st.dictionaries(st.text(max_size=5), st.none() | finite), st.integers(0, 99)
)
def test_a_seed_is_one_that_numpy_takes(seed, params, fold):
    assert 0 <= fold_seed(seed, params, fold) < 2**32


def test_one_fold_has_no_deviation():
    one = Summary(1, 0.5, 0.0, {"NDCG@10": 0.5}, ({"NDCG@10": 0.5},))
    assert one.deviation is None
    two = Summary(1, 0.5, 0.1, {"NDCG@10": 0.5}, ({"NDCG@10": 0.4}, {"NDCG@10": 0.6}))
    assert two.deviation == 0.1
