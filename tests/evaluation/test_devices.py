"""A trial that trains on two devices: one process for each. On CPUs here; on two GPUs with `-m gpu`."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import torch
from pytorch_lightning import Callback, Trainer

from tests.evaluation.test_evaluate import SASREC, SEED, plan_of, without_times
from tuner.errors import RankLostError, TrialError
from tuner.evaluation import as_failure, evaluate_fold, several_devices
from tuner.models.build import build_model
from tuner.store.fitted_models import save_fitted_model
from tuner.training.checkpoints import Checkpoint, read_checkpoint
from tuner.training.ranks import Ranks
from tuner.trials.outcomes import OUT_OF_MEMORY
from tuner.trials.records import Evaluation, Users

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

N, BATCH = 2, 8
PARAMS: dict[str, Any] = {**SASREC, "batch_size": BATCH, "dropout_rate": 0.3, "epochs": 4}
PLAN = plan_of(devices=N)
Made = list[Evaluation | Users]


class StoppedError(BaseException):
    """Ends a trial at a report, as Ray does."""


@pytest.fixture(scope="module", params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of the devices."""
    if request.param == "gpu" and torch.cuda.device_count() < N:
        pytest.skip(f"there are no {N} GPUs")
    return request.param


def run(
    fold: Fold,
    checkpoint: Checkpoint | None = None,
    stop_after: int = 999,
    at_report: Callable[[], object] = lambda: None,
    **changes: Any,
) -> Made:
    """Evaluate a fold on two devices; return what was reported until it was stopped."""
    made: Made = []

    def report(what: Evaluation | Users) -> None:
        made.append(what)
        at_report()
        if len(made) == stop_after:
            raise StoppedError

    keep = changes.pop("keep_model", None)
    params = {**PARAMS, **changes}
    with suppress(StoppedError):
        evaluate_fold(
            params, fold, PLAN, SEED, report, report_users=report, checkpoint=checkpoint, keep_model=keep
        )
    return made


def comparable(made: Made) -> list[object]:
    return [
        without_times(one) if isinstance(one, Evaluation) else (one.epochs, one.values.tolist())
        for one in made
    ]


class KeepWeights(Callback):
    """Saves what each process has learnt."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        kept = {"steps": trainer.global_step, "weights": pl_module.state_dict()}
        torch.save(kept, self.folder / f"{trainer.global_rank}.pt")


def trainer(folder: str) -> Trainer:
    """Return RecTools' own trainer, with a callback."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    n = PARAMS["epochs"]
    keep = KeepWeights(folder)
    return Trainer(
        max_epochs=n, min_epochs=n, devices=1, enable_checkpointing=False, callbacks=[keep], **quiet
    )


@pytest.fixture(scope="module")
def whole(kind: str, folds: list[Fold], tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    """Return what an unbroken fit reports, and a folder with its checkpoint and its model."""
    place = tmp_path_factory.mktemp("whole")
    checkpoint = Checkpoint(place / "0.ckpt", 0, pauses_at=(2,))
    keep = partial(save_fitted_model, place, 7)
    own = {"get_trainer_func": f"{__name__}.trainer", "get_trainer_func_kwargs.folder": str(place)}
    return run(folds[0], checkpoint, keep_model=keep, **own), place


def test_two_devices_evaluate_once_and_write_one_checkpoint(whole: tuple[Made, Path]) -> None:
    made, place = whole
    *evaluations, users = made
    assert [one.epoch for one in evaluations if isinstance(one, Evaluation)] == [1, 2, 3, 4]
    assert isinstance(users, Users)
    assert users.epochs == (1, 2, 3, 4)
    assert [path.name for path in place.glob("*.ckpt")] == ["0.ckpt"]
    assert read_checkpoint(place / "0.ckpt", 0).ended


def test_the_model_of_two_devices_is_a_plain_model(whole: tuple[Made, Path], folds: list[Fold]) -> None:
    from rectools.models import load_model

    from tuner.artifacts import layout
    from tuner.evaluation import recommend
    from tuner.evaluation.metrics import build_metric, calculate

    made, place = whole
    model = load_model(place / layout.model_path(Path(), 7, 0))
    metrics = {metric.label: build_metric(metric, folds[0]) for metric in PLAN.metrics}
    again = calculate(metrics, recommend(model, folds[0], PLAN.k, filter_viewed=True), folds[0])
    assert again == pytest.approx(dict(made[-2].metrics))


@pytest.mark.long
def test_a_fit_that_was_paused_equals_an_unbroken_one(
    kind: str, whole: tuple[Made, Path], folds: list[Fold], tmp_path: Path
) -> None:
    """Its first half also shows that equal seeds give equal results."""
    kept: list[int] = []
    checkpoint = Checkpoint(tmp_path / "0.ckpt", 3600, pauses_at=(2,), on_kept=lambda: kept.append(1))
    first = run(folds[0], checkpoint, stop_after=2)
    assert kept == [1], "the process of the trial copies the file that rank 0 has written"
    paused = read_checkpoint(tmp_path / "0.ckpt", 3600, (2,))
    assert (paused.epoch, len(paused.evaluations), len(paused.others)) == (2, 2, N - 1)
    assert not torch.equal(paused.generators.torch, paused.others[0].torch), "each draws its own masks"
    rest = run(folds[0], paused)
    assert comparable([*first, *rest]) == comparable(whole[0])


def test_a_step_takes_a_batch_on_each_device_and_all_have_the_same_weights(
    whole: tuple[Made, Path], folds: list[Fold]
) -> None:
    first, second = (torch.load(whole[1] / f"{rank}.pt", map_location="cpu") for rank in range(N))
    n_sessions = folds[0].train.user_id_map.size
    assert first["steps"] == second["steps"] == PARAMS["epochs"] * math.ceil(n_sessions / N / BATCH)
    assert first["weights"].keys() == second["weights"].keys()
    for name, values in first["weights"].items():
        assert torch.equal(values, second["weights"][name]), name


@pytest.mark.parametrize("params", [{"cls": "EASEModel"}, {"cls": "PopularModel"}])
def test_a_classic_model_stays_in_one_process(params: dict[str, Any], folds: list[Fold]) -> None:
    assert not several_devices(params, PLAN)
    made: Made = []
    evaluate_fold(params, folds[0], PLAN, SEED, made.append)
    assert len(made) == 1


# ####  --------------  Failures  --------------  #### #

FAILING = """
import os, signal
from torch import distributed
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers


class Greedy(PreLNTransformerLayers):
    def forward(self, *args, **kwargs):
        if distributed.is_initialized() and distributed.get_rank() == 1:
            raise MemoryError("no room on the second device")
        return super().forward(*args, **kwargs)


class Dying(PreLNTransformerLayers):
    def forward(self, *args, **kwargs):
        if distributed.is_initialized() and distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(*args, **kwargs)
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_layers.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(tmp_path))


def ranks_of(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children() if "rank_process" in " ".join(one.cmdline())]


@pytest.mark.long
@pytest.mark.usefixtures("failing")
def test_memory_that_is_not_enough_on_one_device_fails_the_trial(kind: str, folds: list[Fold]) -> None:
    with pytest.raises(TrialError, match="fold 1: MemoryError: no room on the second device") as caught:
        run(folds[0], transformer_layers_type="failing_layers.Greedy")
    failure = as_failure(caught.value)
    assert failure.kind == OUT_OF_MEMORY
    assert failure.peak_memory
    assert not ranks_of(os.getpid())


@pytest.mark.long
@pytest.mark.usefixtures("failing")
def test_a_device_whose_process_dies_is_lost_and_leaves_no_other(kind: str, folds: list[Fold]) -> None:
    with pytest.raises(RankLostError, match="the process of device 2 of 2 was ended by SIGKILL"):
        run(folds[0], transformer_layers_type="failing_layers.Dying")
    assert not ranks_of(os.getpid())


WORKER = """
    import pickle, sys
    from pathlib import Path
    from tests.evaluation.test_devices import PARAMS, PLAN, SEED
    from tuner.evaluation import evaluate_fold

    if __name__ == "__main__":
        fold = pickle.loads(Path(sys.argv[1]).read_bytes())
        evaluate_fold({**PARAMS, "epochs": 10**6}, fold, PLAN, SEED, lambda one: print(one.epoch, flush=True))
"""


@pytest.mark.long
def test_a_killed_worker_leaves_no_process_behind(kind: str, folds: list[Fold], tmp_path: Path) -> None:
    (tmp_path / "fold").write_bytes(pickle.dumps(folds[0]))
    root = str(Path(__file__).parents[2])
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(tmp_path / "fold")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    try:
        assert worker.stdout.readline() == "1\n", "the ranks train"
        ranks = ranks_of(worker.pid)
        assert len(ranks) == N
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert not psutil.wait_procs(ranks, timeout=30)[1]


def test_a_trainer_with_devices_of_its_own_is_refused() -> None:
    model = build_model({**PARAMS, "get_trainer_func": f"{__name__}.several"})
    with pytest.raises(TrialError, match="get_trainer_func must leave devices and strategy to the study"):
        Ranks(0, N).train(model)


def test_more_devices_than_the_machine_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(PARAMS)
    monkeypatch.setattr(type(model._trainer.strategy), "root_device", torch.device("cuda", 0))
    with pytest.raises(TrialError, match="must have 99 devices of the kind cuda for one trial, but found"):
        Ranks(0, 99).train(model)


def several(**_: Any) -> Trainer:
    """Return a trainer that starts processes itself."""
    return Trainer(devices=2, accelerator="cpu", strategy="ddp", logger=False, max_epochs=1)
