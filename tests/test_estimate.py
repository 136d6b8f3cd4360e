"""What `tuner check` says that configurations cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import STUDY, write_interactions
from tuner.estimate import Estimate, draw_estimates, estimate, estimates, training_work
from tuner.evaluation import evaluate_fold
from tuner.models import trial_params
from tuner.prepare import Prepared, prepare
from tuner.results import Evaluation
from tuner.spec import Study

SPACE = (
    "space={set: {cls: SASRecModel, n_factors: [8, 64], n_heads: 2, session_max_len: [8, 32], "
    "batch_size: [16, 64], loss: [softmax, BCE]}}"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("estimate")
    write_interactions(folder / "clicks.csv")
    (folder / "study.yaml").write_text(STUDY)
    return prepare(Study.load(folder / "study.yaml", [SPACE]), lambda _: None)


def complete(**changes: object) -> dict[str, object]:
    return {
        "session_max_len": 50,
        "n_factors": 64,
        "n_blocks": 2,
        "batch_size": 128,
        "loss": "softmax",
        "n_negatives": 1,
    } | changes


@pytest.mark.parametrize(
    "larger",
    [{"session_max_len": 100}, {"n_factors": 128}, {"n_blocks": 3}, {"batch_size": 256}],
)
def test_more_of_anything_is_more_work(larger: dict[str, object]) -> None:
    assert training_work(complete(**larger), 1000) > training_work(complete(), 1000)


def test_only_a_loss_over_the_catalog_grows_with_it() -> None:
    sampled = complete(loss="gBCE", n_negatives=64)
    assert training_work(sampled, 10_000) == training_work(sampled, 100) < training_work(complete(), 10_000)


def test_the_smallest_the_median_and_the_largest_are_measured(prepared: Prepared) -> None:
    smallest, middle, largest = estimates(prepared)
    assert [one.size for one in (smallest, middle, largest)] == ["smallest", "median", "largest"]
    assert (smallest.params["n_factors"], smallest.params["session_max_len"]) == (8, 8)
    assert (largest.params["n_factors"], largest.params["session_max_len"]) == (64, 32)
    assert smallest.n_parameters < largest.n_parameters
    for one in (smallest, middle, largest):
        assert one.epoch_seconds > 0
        assert one.evaluation_seconds > 0
        assert one.trial_seconds > len(prepared.folds) * one.epoch_seconds
        assert one.peak_memory > 100 * 2**20, "a process with torch in it"


def test_parameters_and_memory_are_those_of_a_run(prepared: Prepared) -> None:
    params = trial_params(estimates(prepared)[-1].params, 1)
    guess = estimate(params, prepared.folds[-1], prepared.plan)
    made: list[Evaluation] = []
    evaluate_fold(params, prepared.folds[-1], prepared.plan, 1, made.append)
    assert guess.n_parameters == made[-1].n_parameters
    assert made[-1].peak_memory is not None
    assert made[-1].peak_memory / 2 < guess.peak_memory < made[-1].peak_memory * 2


def test_a_space_without_a_transformer_has_no_steps_to_measure(tmp_path: Path) -> None:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(STUDY)
    classic = "space={set: {cls: EASEModel, regularization: {float: [1, 100], log: true}}}"
    study = Study.load(tmp_path / "study.yaml", [classic])
    assert estimates(prepare(study, lambda _: None)) == []


def test_the_table_says_what_a_search_takes(prepared: Prepared) -> None:
    study = prepared.study.model_copy(
        update={
            "search": prepared.study.search.model_copy(update={"trials": 10}),
            "resources": prepared.study.resources.model_copy(update={"concurrency": 1}),
        }
    )
    one = Estimate("median", {"cls": "SASRecModel", "n_factors": 8}, 12_345, 2**30, None, 2.0, 0.5, 60.0)
    text = draw_estimates([one], study)
    assert "12 k" in text
    assert "1.0 GB" in text
    assert "SASRecModel n_factors=8" in text
    assert "GPU" not in text, "an empty column is left out"
    assert text.endswith("10 trials of the median kind, 1 at once on this machine: about 10 min 00 s")
