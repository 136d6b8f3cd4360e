"""`tuner run` on a study whose space has grown, and on studies that begin with an earlier one."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tests.integration.conftest import Small
from tests.integration.test_run import optuna_study
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = """
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10]
space:
  set:
    cls: SASRecModel
    n_factors: 8
    n_heads: 1
    n_blocks: 1
    session_max_len: 8
    batch_size: 32
    lr: {float: [1e-3, 1e-1], log: true}
    transformer_layers_type:
      choice:
        SASRecTransformerLayers: {}
        PreLNTransformerLayers: {ff_factors_multiplier: [2, 4]}
        LiGRLayers: {}
baselines: [popular, sasrec]
search: {trials: 6, sampler: {use: tpe, options: {n_startup_trials: 6}}}
training: {epochs: 1}
stopping: false
"""
FOURTH = "        search_spaces.albert.AlbertLayers: {n_inner_groups: {int: [1, 2]}}\n"


def write(small: Small, *replacements: tuple[str, str]) -> None:
    text = STUDY
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (small.folder / "study.yaml").write_text(text)


@pytest.mark.long
def test_a_fourth_alternative_and_twenty_more_trials(small: Small) -> None:
    write(small)
    first = small.tuner("run", "study.yaml")
    assert first.returncode == 0, first.stderr
    records = read_records(small.results).records
    journal = (small.results / "journal.log").read_bytes()

    write(
        small,
        ("        LiGRLayers: {}\n", "        LiGRLayers: {}\n" + FOURTH),
        ("lr: {float: [1e-3, 1e-1]", "dropout_rate: {float: [0, 0.5]}\n    lr: {float: [1e-4, 1e-1]"),
    )
    more = small.tuner("run", "study.yaml", "--trials", "26")

    assert more.returncode == 0, more.stderr
    (line,) = [line for line in more.stderr.splitlines() if line.startswith("space: ")]
    assert line == (
        "space: lr from 0.001..0.1 to 0.0001..0.1, transformer_layers_type gains AlbertLayers, "
        "dropout_rate is new, transformer_layers_kwargs.n_inner_groups@AlbertLayers is new; "
        "8 trials are kept; backup of the study: journal.1.log"
    )
    backup = (small.results / "journal.1.log").read_bytes()
    assert backup.startswith(journal), "what it was, and Optuna's note that it was opened again"
    now = read_records(small.results).records
    assert now[: len(records)] == records, "every trial is as it was, under its number"
    rows = load_leaderboard(small.results).rows
    assert {row.record.number for row in rows} >= {record.number for record in records}
    new = [row.record for row in rows if row.record.number >= len(records)]
    assert [record.status for record in new] == ["complete"] * 20
    trials = optuna_study(small).trials
    before = [trial for trial in trials[: len(records)] if "name" not in trial.user_attrs]
    assert {trial.params["dropout_rate"] for trial in before} == {0.2}
    chosen = [trial for trial in trials[len(records) :] if trial.state == TrialState.COMPLETE]
    assert all(any("relative" in key for key in trial.system_attrs) for trial in chosen), (
        "they have taught it"
    )
    tried = {record.params["transformer_layers_type"] for record in new}
    assert "search_spaces.albert.AlbertLayers" in tried

    again = small.tuner("run", "study.yaml", "--trials", "26")
    assert "nothing left to do" in again.stderr
    assert "space: " not in again.stderr
    refused = small.tuner("run", "study.yaml", "--set", "folds.size=2", "--set", "space.set.n_factors=16")
    assert refused.returncode == 2
    assert "must stay as it was when the study began" in refused.stderr
    assert not (small.results / "journal.2.log").exists()


@pytest.mark.long
def test_an_earlier_study_warms_a_later_one(small: Small) -> None:
    write(small)
    assert small.tuner("run", "study.yaml").returncode == 0
    write(small, ("study: small", "study: later"), ("search: {", "search: {warm_start: studies/small, "))

    later = small.tuner("run", "study.yaml", "--trials", "2", "--set", "baselines=[popular]")
    assert later.returncode == 0, later.stderr
    line = "warm start from small: the sampler received 7 results; 1 outside this space"
    assert line in later.stderr.splitlines()
    folder = small.folder / "studies" / "later"
    rows = load_leaderboard(folder).rows
    assert [(row.status, row.record.name) for row in rows].count(("complete", None)) == 2
    assert len(rows) == 3
    assert [record.status for record in read_records(folder).records].count("imported") == 7

    other = ["--set", "study=other", "--set", "folds.n_folds=1", "--set", "baselines=[]"]
    hinted = small.tuner("run", "study.yaml", "--trials", "3", *other)
    assert hinted.returncode == 0, hinted.stderr
    line = "warm start from small: it measured in another way (folds), so its best 3 configurations run first"
    assert line in hinted.stderr
    best = [row.record for row in load_leaderboard(small.results).rows if row.record.name is None][:3]
    ran = sorted(read_records(small.folder / "studies" / "other").records, key=lambda record: record.number)
    assert [record.params["lr"] for record in ran] == [record.params["lr"] for record in best]

    nowhere = small.tuner("run", "study.yaml", "--set", "search.warm_start=[studies/nowhere]")
    assert nowhere.returncode == 2
    assert "search.warm_start[0]: studies/nowhere must be the folder of a study" in nowhere.stderr
