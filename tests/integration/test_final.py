"""The holdout decides nothing before the final judgement, which looks at it once. With real Ray."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

import tuner
from tests.integration.conftest import Small
from tuner.artifacts.user_values import read_final_users, read_users
from tuner.config import Study
from tuner.data.folds import holdout_fold
from tuner.data.source import load_source
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store.journal import open_journal

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DAYS, HELD = 12, 2

STUDY = """
study: small
data: {interactions: clicks.csv, min_item_interactions: 2}
folds: {split: time_range, size: 2D, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10, Serendipity@10, CoveredUsers@10, Intersection@10]
  reference: popular
space:
  use: search_spaces.guide
  set:
    cls: SASRecModel
    n_factors: [8, 16]
    n_heads: 1
    n_blocks: 1
    session_max_len: 8
    batch_size: 32
    loss: softmax
baselines: [popular]
search: {trials: 6, seed: 60, sampler: {use: tpe, options: {n_startup_trials: 2}}}
training: {epochs: 2}
stopping: {halving: {rungs: [1], grace: 2}, race: {z: 1.0}}
resources: {concurrency: 1}
"""


def walks() -> pd.DataFrame:
    """Walks of 90 users over a ring of 40 items, with noise, spread over twelve days."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(90):
        item = int(rng.integers(40))
        for hour in np.sort(rng.choice(DAYS * 24, int(rng.integers(10, 20)), replace=False)):
            item = (item + 1) % 40 if rng.random() < 0.8 else int(rng.integers(40))
            rows.append((f"u{user}", item, pd.Timestamp("2024-01-01") + pd.Timedelta(hours=int(hour))))
    last = pd.Timestamp("2024-01-01") + pd.Timedelta(days=DAYS) - pd.Timedelta(hours=1)
    return pd.DataFrame([*rows, ("u0", 0, last)], columns=["user_id", "item_id", "datetime"])


def poisoned(clicks: pd.DataFrame) -> pd.DataFrame:
    """Replace all that is in the holdout's window: other items, other users, and twice as many rows."""
    usage = clicks["datetime"] >= clicks["datetime"].max().ceil("D") - pd.Timedelta(days=HELD)
    rng = np.random.default_rng(99)
    noise = pd.concat([clicks[usage], clicks[usage]], ignore_index=True)
    noise["user_id"] = rng.choice([f"u{user}" for user in range(20)] + ["strange", "new"], len(noise))
    noise["item_id"] = rng.choice([*range(10), 777, 888], len(noise))
    return pd.concat([clicks[~usage], noise], ignore_index=True)


@dataclass(frozen=True)
class Pair:
    """The same study on the true data, with its final judgement, and on data with a poisoned holdout."""

    true: Small
    poisoned: Small
    said: str


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folders = []
    for name, clicks, text in (
        ("true", walks(), STUDY + "final: {top: 2, seeds: 2}\n"),
        ("poisoned", poisoned(walks()), STUDY),
    ):
        folder = tmp_path_factory.mktemp(name)
        clicks.to_csv(folder / "clicks.csv", index=False)
        (folder / "study.yaml").write_text(text)
        small = Small(folder)
        ran = small.tuner("run", "study.yaml")
        assert ran.returncode == 0, ran.stderr
        folders.append((small, ran.stderr))
    return Pair(folders[0][0], folders[1][0], folders[0][1])


def stored(small: Small) -> dict[str, Any]:
    """Return all that the search wrote, but for times, memory, places and the fingerprint of the data."""
    study = optuna.load_study(study_name="small", storage=open_journal(small.results))
    facts = {key: value for key, value in study.user_attrs["facts"].items() if key != "data"}
    return {"facts": facts, "trials": [_told(trial) for trial in study.get_trials(deepcopy=False)]}


def _told(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    attributes = {
        key: value for key, value in trial.user_attrs.items() if not key.startswith(("held:", "attempt:"))
    }
    return {
        "state": trial.state.name,
        "params": trial.params,
        "distributions": trial.distributions,
        "values": trial.values,
        "curve": trial.intermediate_values,
        "attributes": _timeless(attributes),
    }


def _timeless(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _timeless(value) for key, value in plain.items() if not _is_measured(key)}
    return plain


def _is_measured(key: str) -> bool:
    return key.endswith("seconds") or key.startswith("peak_")


def test_the_holdout_is_poisoned_and_nothing_else(pair: Pair) -> None:
    folds = []
    for small in (pair.true, pair.poisoned):
        study = Study.load(small.folder / "study.yaml")
        source = load_source(study.data.model_copy(update={"interactions": str(small.folder / "clicks.csv")}))
        folds.append((source, holdout_fold(source, study.data, study.folds)))
    (source, fold), (other_source, other) = folds
    assert source.fingerprint != other_source.fingerprint
    assert fold.seen.equals(other.seen)
    assert set(fold.users) != set(other.users)
    assert set(fold.test["item_id"]) != set(other.test["item_id"])


def test_a_poisoned_holdout_changes_nothing_before_the_final_judgement(pair: Pair) -> None:
    true, other = stored(pair.true), stored(pair.poisoned)
    assert {trial["state"] for trial in true["trials"]} == {"COMPLETE", "PRUNED"}, "some were stopped"
    assert true == other
    for number in range(len(true["trials"])):
        for users, same in zip(
            read_users(pair.true.results, number), read_users(pair.poisoned.results, number), strict=True
        ):
            assert (users.fold, users.epochs) == (same.fold, same.epochs)
            assert np.array_equal(users.values, same.values)
    board, same_board = load_leaderboard(pair.true.results), load_leaderboard(pair.poisoned.results)
    assert [(row.rank, row.record.number) for row in board.rows] == [
        (row.rank, row.record.number) for row in same_board.rows
    ]
    assert same_board.final is None


def test_a_run_ends_with_the_final_judgement_that_the_study_asks_for(pair: Pair) -> None:
    final = read_final(pair.true.results)
    assert final is not None
    board = load_leaderboard(pair.true.results)
    best = [row.record for row in board.rows if row.record.summary and row.record.name is None][:2]
    assert best, "a trial of the sampler's is judged"
    assert {row.number for row in final.rows} == {0, *(record.number for record in best)}
    for record in best:
        row = final.row(record.number)
        assert row is not None
        assert record.summary is not None
        assert row.epoch == record.summary.epoch
        assert row.validation == record.summary.mean
        assert len(set(row.seeds)) == 2
        for seed, metrics in zip(row.seeds, row.by_seed, strict=True):
            kept = read_final_users(pair.true.results, record.number, seed)
            assert kept is not None
            assert kept["NDCG@10"].mean() == pytest.approx(metrics["NDCG@10"])
            log = pair.true.results / "logs" / f"final-{record.number:04d}-seed-{seed}.log"
            assert f"'epochs': {row.epoch}" in log.read_text()
    assert final.look == 1
    assert f"final: {len(final.rows)} trials, {2 * len(final.rows)} fits\n" in pair.said


def test_looking_again_at_the_same_fits_is_no_second_look(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_final(pair.true.results)
    again = pair.true.tuner("final", "studies/small")
    assert again.returncode == 0, again.stderr
    assert "fits" not in again.stderr, "nothing is fitted"
    assert read_final(pair.true.results) == before
    monkeypatch.chdir(pair.true.folder)  # where the study finds its data
    assert tuner.judge("small") == before, "the function is the command"
    assert "looked at" not in again.stdout
    assert "letters" in again.stdout.splitlines()[0]


@pytest.mark.long
def test_a_killed_final_goes_on_with_the_fits_that_are_missing(pair: Pair) -> None:
    small = pair.poisoned
    process = small.start("final", "studies/small", "--top", "1", "--seeds", "3")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("final: 2 of"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert read_final(small.results) is None
    ended = small.tuner("final", "studies/small", "--top", "1", "--seeds", "3")
    assert ended.returncode == 0, ended.stderr
    assert "more are stored already" in ended.stderr, "stored fits are not made again"
    final = read_final(small.results)
    assert final is not None
    assert final.look == 1, "it is the look that was begun"
    assert all(len(row.seeds) == 3 for row in final.rows)
    more = small.tuner("final", "studies/small", "--top", "1", "--seeds", "4")
    assert more.returncode == 0, more.stderr
    second = read_final(small.results)
    assert second is not None
    assert (second.look, len(second.before)) == (2, 1)
    assert "looked at once before" in more.stdout
    assert "looked at once before" in small.tuner("leaderboard", "studies/small").stdout
    board = json.loads(small.tuner("leaderboard", "studies/small", "--format", "json").stdout)
    assert board["final"]["look"] == 2


def test_a_study_without_a_holdout_is_refused(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("holdout: 1", "holdout: 0"))
    refused = Small(tmp_path).tuner("final", "study.yaml")
    assert refused.returncode == 2
    assert "folds.holdout (line 4): must be at least 1 for a final judgement, but got 0" in refused.stderr
    (tmp_path / "study.yaml").write_text(STUDY.replace("holdout: 1", "holdout: 0") + "final: true\n")
    refused = Small(tmp_path).tuner("run", "study.yaml")
    assert refused.returncode == 2
    assert "final" in refused.stderr
    assert "needs a holdout to judge on, but folds.holdout is 0" in refused.stderr


def test_other_data_than_the_study_had_are_refused(pair: Pair, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pair.true.folder, tmp_path / "moved")
    moved = Small(tmp_path / "moved")
    poisoned(walks()).to_csv(moved.folder / "clicks.csv", index=False)
    refused = moved.tuner("final", "studies/small")
    assert refused.returncode == 2
    assert "data: must have the same interactions, features and items to recommend as when" in refused.stderr
