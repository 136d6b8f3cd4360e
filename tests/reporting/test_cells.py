"""The board in a cell: few lines, HTML that obeys no text, and tables that hold what the store has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tuner.artifacts.user_values import write_users
from tuner.config import Sampler
from tuner.errors import StoreError
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.space import Space
from tuner.space.ranges import Int
from tuner.store import open_store, read_records
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Failure, Pause, Stop
from tuner.trials.records import Evaluation, Users
from tuner.trials.status import TrialStatus

NDCG, RECALL = "NDCG@10", "Recall@10"
CAUSE = "<script>alert('x')</script>"
SASREC = {"cls": "SASRecModel", "lr": 0.01, "n_heads": 2}
GBCE = {"cls": "SASRecModel", "lr": 0.5, "n_heads": 2, "loss": "gBCE", "n_negatives": 16}
EASE = {"cls": "EASEModel", "regularization": 500.0}


def evaluations(value: float, *, folds: int = 2, epochs: int = 2) -> list[Evaluation]:
    return [
        Evaluation(
            fold,
            epoch,
            {NDCG: value + fold / 100 + epoch / 1000, RECALL: 1 - value},
            train_loss=1 / epoch if epoch else None,
            fit_seconds=1.5 * epoch,
            n_parameters=1000 if epochs else None,
        )
        for fold in range(folds)
        for epoch in range(min(1, epochs), epochs + 1)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a study of several objectives: complete 0 to 2, paused 3, stopped 4, failed 5, waiting 6."""
    place = tmp_path_factory.mktemp("studies") / "shop"
    place.mkdir()
    facts = {"objective": NDCG, "further objectives": {"parameters": "minimize", RECALL: "maximize"}}
    store = open_store(
        place, name="shop", direction="maximize", sampler=Sampler(use="random"), seed=1, facts=facts
    )

    def begin(params: dict[str, object], made: list[Evaluation]) -> int:
        space = Space({**params, "point": Int(0, 10**6)})
        asked = store.ask(space, 2, lambda drawn: {k: v for k, v in drawn.items() if k != "point"})
        assert asked is not None
        for one in made:
            store.report(asked.number, one, NDCG, 2)
        return asked.number

    store.add_baselines([("ease", EASE, None)])
    for params, made in (
        (EASE, evaluations(0.1, epochs=0)),
        *((one, evaluations(0.2)) for one in (SASREC, GBCE)),
    ):
        number = begin(params, made)
        store.complete(number, summarise(made, NDCG, "maximize"), seconds=9.0, log=f"logs/{number}.log")
        for fold in range(2):
            values = np.array([[0.0, 1.0, number], [1.0, 0.5, number]], dtype=np.float32)
            write_users(place, number, Users(fold, (1, 2), values))
    store.pause(begin(GBCE, evaluations(0.15, folds=1, epochs=1)), Pause(0, 1, 1))
    evidence = {"value": 0.1, "place": 2, "n_trials": 4, "kept": 1, "rung": 1}
    stopped = begin(SASREC, evaluations(0.1, folds=1, epochs=1))
    store.prune(stopped, stop=Stop("halving", 0, 1, evidence), seconds=1.0, log="logs/4.log")
    store.fail(begin(SASREC, []), failure=Failure(CAUSE, "ValueError"), seconds=1.0, log="logs/5.log")
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    return place


@pytest.fixture(scope="module")
def board(folder: Path) -> Leaderboard:
    return load_leaderboard(folder)


def test_a_row_of_the_table_is_a_trial_of_the_store(board: Leaderboard, folder: Path) -> None:
    frame = board.to_pandas().set_index("trial").sort_index()
    records = read_records(folder).records
    assert frame.index.tolist() == [record.number for record in records]
    for record in records:
        row = frame.loc[record.number]
        known = {
            name: value for name, value in row.items() if name.startswith("params.") and not missing(value)
        }
        assert known == {f"params.{key}": value for key, value in record.params.items()}
        assert isinstance(known.get("params.n_heads", 2), (int, np.integer))
        metrics = record.summary.metrics if record.summary else {}
        assert {label: row[label] for label in (NDCG, RECALL) if not missing(row[label])} == dict(metrics)
        assert (row["name"], row["seconds"]) == (record.name, record.seconds) or missing(row["seconds"])
    assert frame["status"].tolist() == [*["complete"] * 3, "paused", "stopped", "failed", "queued"]
    assert frame.loc[5, "cause"] == CAUSE
    assert frame.loc[4, "cause"].startswith("halving after fold 1, epoch 1")
    assert frame["front"].dropna().min() == 1


def missing(value: object) -> bool:
    return (
        value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) or value is pd.NaT
    )


def test_an_evaluation_is_a_row_of_the_epochs(board: Leaderboard, folder: Path) -> None:
    frame = board.to_pandas("epoch")
    made = [(record.number, one) for record in read_records(folder).records for one in record.evaluations]
    assert len(frame) == len(made)
    by_place = frame.set_index(["trial", "fold", "epoch"])
    for number, one in made:
        row = by_place.loc[(number, one.fold + 1, one.epoch)]
        assert (row[NDCG], row[RECALL]) == (one.metrics[NDCG], one.metrics[RECALL])
        assert row["train_loss"] == one.train_loss or missing(row["train_loss"])


def test_folds_are_those_of_the_best_epoch_or_the_last_ones(board: Leaderboard) -> None:
    frame = board.to_pandas("fold").set_index(["trial", "fold"])
    assert frame.loc[(1, 2), NDCG] == evaluations(0.2)[-1].metrics[NDCG]
    assert frame.loc[(3, 1), "epoch"] == 1
    assert 5 not in frame.index.get_level_values("trial")


def test_users_have_the_values_of_the_best_epoch(board: Leaderboard) -> None:
    frame = board.to_pandas("user")
    assert frame.query("trial == 2 and fold == 1")[NDCG].tolist() == [1.0, 0.5, 2.0]
    assert len(frame) == 3 * 2 * 3


def test_a_level_that_does_not_exist_is_refused(board: Leaderboard) -> None:
    with pytest.raises(StoreError, match="must be one of trial, fold, epoch, user, but got 'epochs'"):
        board.to_pandas("epochs")  # type: ignore[arg-type]


def test_a_trial_has_params_for_rectools_its_curve_and_its_folds(board: Leaderboard) -> None:
    trial = board.trial(2)
    assert trial.params == GBCE
    assert trial.curve.columns[:3].tolist() == ["fold", "epoch", NDCG]
    assert len(trial.curve) == 4
    assert trial.folds[NDCG].mean() == pytest.approx(trial.metrics[NDCG])
    assert board.trial("ease").number == 0
    assert board.trial("best") is board.best
    assert "trial 2" in repr(trial)
    with pytest.raises(StoreError, match="must be a trial's number"):
        board.trial(99)


def test_the_board_is_a_table_of_html_that_obeys_no_text(board: Leaderboard) -> None:
    html = board._repr_html_()
    assert "<svg" in html
    assert "polyline" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr") == 1 + len(board.rows)
    for row in board.rows:
        assert "<script" not in row._repr_html_()


def test_a_chart_is_a_picture_until_a_script_can_draw_it(board: Leaderboard) -> None:
    shown = board.plot.history()._repr_mimebundle_()["text/html"]
    assert "data:image/png;base64," in shown
    assert shown.count("</script>") == 1, "no text of the study ends the script"


def test_an_order_of_trials_that_there_is_not_is_refused(board: Leaderboard) -> None:
    with pytest.raises(StoreError, match="history: 1 problem\n  by: must be 'trial' or 'time', but got 'x'"):
        board.plot.history("x")


def test_a_long_board_is_a_page_of_text(board: Leaderboard) -> None:
    rows = tuple(board.rows[index % 3] for index in range(1000))
    long = Leaderboard("shop", NDCG, "maximize", rows)
    assert len(repr(long).splitlines()) <= 40
    assert "and 980 more; board.to_pandas() has them all" in repr(long)
    assert "and 980 more" in long._repr_html_()
    assert max(map(len, repr(board).splitlines())) <= 110
    assert {row.status for row in board.rows} >= {TrialStatus.FAILED, TrialStatus.STOPPED}
