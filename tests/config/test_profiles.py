"""Profiles: one study file for several places."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.config import Study
from tuner.errors import StudyError

FILE = """
study: shop
data: {interactions: events.csv}
folds: {split: last_n, size: 1}
metrics: {objective: NDCG@10, direction: maximize}
space:
  use: search_spaces.guide
  set: {n_factors: [8, 16], n_blocks: 1}
search: {trials: 3, seed: 5}
profiles:
  cluster:
    storage: postgresql+psycopg://me@db/tuning
    resources: {gpus_per_trial: 0.25}
    search: {trials: 100}
    space: {set: {n_factors: [64, 128]}}
  laptop:
    training: {epochs: 2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_profile_changes_keys_and_leaves_the_others(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    plain, cluster = Study.load(path), Study.load(path, profile="cluster")
    assert (plain.storage, plain.search.trials, plain.training.epochs) == (None, 3, 10)
    assert cluster.storage == "postgresql+psycopg://me@db/tuning"
    assert (cluster.search.trials, cluster.search.seed) == (100, 5)
    assert cluster.resources.gpus_per_trial == 0.25
    assert cluster.space.use == "search_spaces.guide"
    assert cluster.space.set == {"n_factors": [64, 128], "n_blocks": 1}
    assert Study.load(path, profile="laptop").training.epochs == 2


def test_the_command_line_comes_after_the_profile(tmp_path: Path) -> None:
    study = Study.load(written(tmp_path, FILE), ["search.trials=7"], "cluster")
    assert (study.search.trials, study.resources.gpus_per_trial) == (7, 0.25)


def test_all_mistakes_are_named_at_once_in_profiles_that_are_not_used_too(tmp_path: Path) -> None:
    text = FILE.replace("gpus_per_trial", "gpu_per_trial").replace("{epochs: 2}", "{epochs: 0}")
    for profile in (None, "laptop", "cluster"):
        with pytest.raises(StudyError) as raised:
            Study.load(written(tmp_path, text), profile=profile)
        assert len(raised.value.problems) == 2
        told = str(raised.value)
        assert "resources.gpu_per_trial (line 13): is no key of this section" in told
        assert "did you mean 'gpus_per_trial'?" in told
        assert "training.epochs (line 17): must be at least 1, but got 0" in told


@pytest.mark.parametrize(
    ("text", "profile", "told"),
    [
        (FILE, "clutser", "profile: must be a profile of the study, but got 'clutser'"),
        (FILE, "clutser", "did you mean 'cluster'?"),
        (FILE.partition("profiles")[0], "cluster", "the study has no section profiles"),
        (
            FILE.partition("profiles")[0] + "profiles: [1]",
            None,
            "profiles (line 10): must be a mapping of names",
        ),
        (FILE + "  bad: 3\n", None, "profiles.bad (line 18): must be a mapping of sections, but got 3"),
        (FILE + "  bad: {serach: {trials: 3}}\n", None, "did you mean 'search'?"),
    ],
)
def test_what_is_no_profile(tmp_path: Path, text: str, profile: str | None, told: str) -> None:
    with pytest.raises(StudyError) as raised:
        Study.load(written(tmp_path, text), profile=profile)
    assert told in str(raised.value)
