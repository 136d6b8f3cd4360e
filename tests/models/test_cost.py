"""What training takes, as far as the params say it."""

from __future__ import annotations

import pytest

from tuner.models.cost import training_memory, training_work, work_of


def complete(**changes: object) -> dict[str, object]:
    return {
        "session_max_len": 50,
        "n_factors": 64,
        "n_blocks": 2,
        "batch_size": 128,
        "loss": "softmax",
        "n_negatives": 1,
        "n_heads": 4,
    } | changes


@pytest.mark.parametrize(
    "larger",
    [{"session_max_len": 100}, {"n_factors": 128}, {"n_blocks": 3}, {"batch_size": 256}],
)
def test_more_of_anything_is_more_work(larger: dict[str, object]) -> None:
    assert training_memory(complete(**larger), 1000) > training_memory(complete(), 1000)
    assert training_work(complete(**larger), 1000) > training_work(complete(), 1000)


def test_only_a_loss_over_the_catalog_grows_with_it() -> None:
    sampled = complete(loss="gBCE", n_negatives=64)
    assert training_work(sampled, 10_000) == training_work(sampled, 100) < training_work(complete(), 10_000)


def test_defaults_are_filled_in() -> None:
    work = work_of({"cls": "SASRecModel", "n_factors": 64}, 1000)
    twice = work_of({"cls": "rectools.models.SASRecModel", "n_factors": 64, "batch_size": 256}, 1000)
    assert work is not None
    assert twice is not None
    assert twice.cls == work.cls
    assert twice.amount == 2 * work.amount


def test_a_model_that_is_not_trained_by_steps_has_none() -> None:
    assert work_of({"cls": "EASEModel"}, 1000) is None


def test_the_parameters_and_the_scores_are_most_of_the_memory() -> None:
    few = complete(n_blocks=0, batch_size=1, session_max_len=1)
    assert training_memory(few, 10**6) == 4 * (4 * 64 * 10**6 + 3 * 10**6)
