"""What `tuner check` says that configurations cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.integration.conftest import STUDY, write_interactions
from tuner.config import Resources, Study
from tuner.errors import StudyError
from tuner.evaluation import evaluate_fold
from tuner.models.build import trial_params
from tuner.preparation.prepare import Prepared, prepare
from tuner.trials.records import Evaluation
from tuner.workflows.estimate import Estimate, estimate, estimates
from tuner.workflows.estimate_table import draw_estimates
from tuner.workflows.gpu_share import CONTEXT_BYTES, gpu_share, measure_gpu_share, of_sharing

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


def test_a_long_step_is_measured_by_parts_of_its_batch(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = estimates(prepared)[-1].params
    params = {**trial_params(largest, 1), "batch_size": 256, "session_max_len": 64, "n_factors": 256}
    whole = estimate(params, prepared.folds[-1], prepared.plan)
    monkeypatch.setattr("tuner.workflows.estimate.LONG_STEP", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    parts = estimate(params, prepared.folds[-1], prepared.plan)
    assert parts.n_parameters == whole.n_parameters
    assert parts.params == whole.params
    assert whole.peak_memory / 1.5 < parts.peak_memory < whole.peak_memory * 1.5
    few = {**params, "batch_size": 4}
    assert estimate(few, prepared.folds[-1], prepared.plan).epoch_seconds > 0, "too few to divide"


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
    whole = "10 trials of the median configuration, 1 at once on this machine: about 10 min 00 s"
    assert text.endswith(whole)
    shared = study.resources.model_copy(update={"gpus_per_trial": 0.25})
    on_gpus = draw_estimates([one], study.model_copy(update={"resources": shared}))
    assert on_gpus.endswith(f"{whole}, 0.042 GPU-hours"), "a quarter of a GPU for ten minutes"


GB = 2**30


@pytest.mark.parametrize(
    ("peak", "total", "n_trials"),
    [
        (GB, 80 * GB, 8),
        (8 * GB, 80 * GB, 6),
        (12 * GB, 80 * GB, 4),
        (30 * GB, 80 * GB, 2),
        (60 * GB, 80 * GB, 1),
    ],
)
def test_as_many_trials_share_a_gpu_as_have_room(peak: int, total: int, n_trials: int) -> None:
    share = gpu_share(peak, total)
    assert int(1 / share) == n_trials
    assert n_trials * (1.25 * peak + CONTEXT_BYTES) + CONTEXT_BYTES <= total
    # Ray counts in ten-thousandths of a GPU and rounds to the nearest.
    assert n_trials * round(share * 10_000) <= 10_000


def test_a_configuration_beyond_the_gpu_has_it_alone() -> None:
    assert gpu_share(200 * GB, 80 * GB) == 1


def test_people_are_told_whether_mps_lets_trials_run_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert "MPS is off" in of_sharing()
    (tmp_path / "control").touch()
    assert "MPS is on" in of_sharing()


def test_without_a_gpu_auto_says_what_to_write(prepared: Prepared) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(StudyError, match=r"without a GPU, but got 'auto'\n.*write 0 to train on CPUs"):
        measure_gpu_share(prepared)


@pytest.mark.gpu
def test_small_models_share_a_gpu(prepared: Prepared) -> None:
    share, why = measure_gpu_share(prepared)
    assert share < 1
    assert why.endswith("(SASRecModel)"), "the baseline is larger than the space"


def test_an_estimate_knows_the_share_that_auto_will_have(prepared: Prepared) -> None:
    auto = prepared.study.model_copy(update={"resources": Resources(gpus_per_trial="auto")})
    one = Estimate("median", {"cls": "SASRecModel"}, 1, 2**30, None, 2.0, 0.5, 60.0)
    assert "at once" in draw_estimates([one], auto)
