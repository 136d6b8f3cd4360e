"""A trial that continues from its checkpoint has the same results as an uninterrupted trial."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.integration.conftest import write_interactions
from tuner.config import Data, Folds, Metric
from tuner.data.folds import Fold, development_dataset, make_folds
from tuner.data.source import Source
from tuner.evaluation import Plan, evaluate_folds
from tuner.training.checkpoints import Checkpoint, read_checkpoint
from tuner.trials.records import Evaluation, Users

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SMALL = {
    "n_factors": 8,
    "n_heads": 2,
    "n_blocks": 1,
    "session_max_len": 8,
    "batch_size": 32,
    "dropout_rate": 0.2,
    "epochs": 4,
}
MODELS: dict[str, dict[str, Any]] = {
    "sasrec": {"cls": "SASRecModel", **SMALL},
    "bert4rec": {"cls": "BERT4RecModel", **SMALL, "loss": "gBCE", "n_negatives": 8},
    "hstu": {
        "cls": "HSTUModel",
        **SMALL,
        "relative_time_attention": False,
        "loss": "sampled_softmax",
        "n_negatives": 8,
    },
    "popular": {"cls": "PopularModel"},
}
PLAN = Plan((Metric("NDCG", 10), Metric("HitRate", 10)), "NDCG@10", "maximize", filter_viewed=False)
SEEDS = (11, 12)


class PulledPlugError(BaseException):
    """Ends a trial as suddenly as SIGKILL: no `except Exception` catches it."""


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Fold]:
    path = tmp_path_factory.mktemp("checkpoints") / "clicks.csv"
    write_interactions(path)
    frame = pd.read_csv(path, parse_dates=["datetime"]).assign(weight=1.0)
    section = Folds(split="last_n", size=1, n_folds=2, filter_viewed=False)
    dataset = development_dataset(Source(frame, None, "", 0, 0), Data(interactions=str(path)), section)
    return make_folds(dataset, section)


def run(
    params: dict[str, Any],
    folds: list[Fold],
    place: Path | None,
    plan: Plan,
    stop_after: int = 999,
    **settings: Any,
) -> list[Evaluation | Users]:
    """Evaluate a trial with checkpoints in a folder, and interrupt it at one of its reports."""
    made: list[Evaluation | Users] = []

    def report(what: Evaluation | Users) -> None:
        made.append(what)
        if len(made) == stop_after:
            raise PulledPlugError

    with suppress(PulledPlugError):
        checkpoint_of = None if place is None else partial(saved, place, **settings)
        evaluate_folds(params, folds, plan, SEEDS, report, report_users=report, checkpoint_of=checkpoint_of)
    return made


def saved(place: Path, fold: int, *, every: float = 0, pauses_at: tuple[int, ...] = ()) -> Checkpoint:
    return read_checkpoint(place / f"{fold}.ckpt", every, pauses_at, fold=fold, earlier=place / "all.ckpt")


def comparable(made: list[Evaluation | Users]) -> list[object]:
    """Return the reports without the values that depend on the machine."""
    return [
        replace(
            one,
            fit_seconds=0,
            evaluate_seconds=0,
            peak_memory=None,
            recommend_seconds=None,
            epoch_seconds=None,
        )
        if isinstance(one, Evaluation)
        else (one.fold, one.epochs, one.values.tolist())
        for one in made
    ]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_trial_continues_wherever_it_was_interrupted(
    name: str, fast: bool, folds: list[Fold], tmp_path: Path
) -> None:
    plan = replace(PLAN, fast=fast)
    whole = run(MODELS[name], folds, None, plan)
    assert len(whole) == (4 if name == "popular" else 10)
    for cut in range(1, len(whole)):
        place = tmp_path / str(cut)
        run(MODELS[name], folds, place, plan, stop_after=cut)
        known = sum(len(saved(place, fold).evaluations) for fold in range(2))
        assert known >= cut - 3, "at most the unfinished evaluation and the users of a fold are repeated"
        assert comparable(run(MODELS[name], folds, place, plan)) == comparable(whole), cut


def test_a_trial_may_be_interrupted_again_and_again(folds: list[Fold], tmp_path: Path) -> None:
    whole = run(MODELS["sasrec"], folds, None, PLAN)
    for cut in range(2, len(whole)):
        run(MODELS["sasrec"], folds, tmp_path, PLAN, stop_after=cut)
    assert comparable(run(MODELS["sasrec"], folds, tmp_path, PLAN)) == comparable(whole)


def test_patience_continues_from_a_checkpoint(folds: list[Fold], tmp_path: Path) -> None:
    plan = replace(PLAN, patience=1)
    params = {**MODELS["sasrec"], "epochs": 8, "lr": 1e-6}
    whole = run(params, folds, None, plan)
    assert len(whole) < 18, "patience ends a fold early"
    for cut in range(1, len(whole)):
        run(params, folds, tmp_path / str(cut), plan, stop_after=cut)
        assert comparable(run(params, folds, tmp_path / str(cut), plan)) == comparable(whole)


def test_checkpoints_are_written_only_as_often_as_asked(folds: list[Fold], tmp_path: Path) -> None:
    run(MODELS["sasrec"], folds, tmp_path, PLAN, stop_after=3, every=3600)
    assert not list(tmp_path.iterdir())
    run(MODELS["sasrec"], folds, tmp_path, PLAN, stop_after=6, every=3600)
    again = saved(tmp_path, 0)
    assert (again.ended, again.epoch, len(again.evaluations)) == (True, 0, 4), (
        "a checkpoint is always written at the end of a fold"
    )


def test_a_trial_that_pauses_continues_as_if_it_never_had(folds: list[Fold], tmp_path: Path) -> None:
    whole = run(MODELS["sasrec"], folds, None, PLAN)
    for n_reports, epoch in ((1, 1), (3, 3)):  # it ends at its report; only the pause asks for a checkpoint
        place, rules = tmp_path / str(epoch), {"every": 3600, "pauses_at": (1, 3)}
        run(MODELS["sasrec"], folds, place, PLAN, stop_after=n_reports, **rules)
        paused = saved(place, 0, **rules)
        assert (paused.ended, paused.epoch, len(paused.evaluations)) == (False, epoch, n_reports)
        assert paused.pauses_at == (1, 3)
        assert comparable(run(MODELS["sasrec"], folds, place, PLAN, **rules)) == comparable(whole)


def test_a_trial_may_pause_at_the_end_of_the_first_fold(folds: list[Fold], tmp_path: Path) -> None:
    whole = run(MODELS["sasrec"], folds, None, PLAN)
    made = run(MODELS["sasrec"], folds, tmp_path, PLAN, stop_after=5, every=3600, pauses_at=(1,))
    assert isinstance(made[-1], Users), "it ends when its users' values are reported"
    paused = saved(tmp_path, 0)
    assert (paused.ended, paused.epoch) == (True, 0)
    assert comparable(run(MODELS["sasrec"], folds, tmp_path, PLAN)) == comparable(whole)


def test_folds_continue_from_the_checkpoint_of_all_folds_of_an_earlier_version(
    folds: list[Fold], tmp_path: Path
) -> None:
    """Its file has the same format, and says how far the trial has come in its folds, one after the other."""
    whole = run(MODELS["sasrec"], folds, None, PLAN)
    for cut, epochs in ((4, (3, 0)), (9, (0, 3))):
        place = tmp_path / str(cut)
        made = run(MODELS["sasrec"], folds, place, PLAN, stop_after=cut)
        last = max(place.iterdir())
        content = torch.load(last, weights_only=False)
        content["tuner"]["evaluations"] = [one.to_plain() for one in made if isinstance(one, Evaluation)][
            : 4 * (cut > 5) + 3
        ]
        content["tuner"]["users"] = [
            (one.fold, one.epochs, one.values) for one in made if isinstance(one, Users)
        ] + content["tuner"]["users"]
        torch.save(content, place / "all.ckpt")
        for path in place.glob("[0-9].ckpt"):
            path.unlink()
        assert tuple(saved(place, fold).epoch for fold in range(2)) == epochs
        assert saved(place, 0).ended is (cut > 5)
        assert comparable(run(MODELS["sasrec"], folds, place, PLAN)) == comparable(whole)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"{}"])
def test_a_trial_with_a_damaged_checkpoint_starts_from_the_beginning(
    damage: Callable[[bytes], bytes], folds: list[Fold], tmp_path: Path
) -> None:
    run(MODELS["sasrec"], folds, tmp_path, PLAN, stop_after=3)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert saved(tmp_path, 0).evaluations == []
    whole = run(MODELS["sasrec"], folds, None, PLAN)
    assert comparable(run(MODELS["sasrec"], folds, tmp_path, PLAN)) == comparable(whole)
    assert np.isfinite([e.train_loss for e in whole if isinstance(e, Evaluation)]).all()


def test_checkpoints_that_are_written_quickly_are_written_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("tuner.training.checkpoints.time.monotonic", lambda: now)

    def due_after(took: float) -> float:
        """Return after how many seconds the next one is due if the last one took so long."""
        nonlocal now

        def write() -> None:
            nonlocal now
            now += took

        checkpoint = read_checkpoint(tmp_path / f"{took}.pt", 30.0)
        checkpoint.on_kept = write
        began = now
        checkpoint.fold_ended(None)
        now = began
        while not checkpoint.is_due:
            now += 0.5
        return now - began

    assert [due_after(took) for took in (0.01, 0.1, 5.0)] == [2.0, 5.0, 30.0]
