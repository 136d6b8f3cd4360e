"""The real search before and after: its studies load, and its clock leaves interruptions out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.make_priors import prior_without
from benchmarks.real_search import WAYS, Measured, clock, figures_of, study_of, write_study
from tuner.config import Study


@pytest.fixture(params=[False, True], ids=["whole", "quick"])
def studies(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Study]:
    prior_without("beauty").write(tmp_path / "prior.json")
    found = {}
    for way in WAYS:
        folder = tmp_path / way
        folder.mkdir()
        write_study(folder, study_of(way, 7, 6, "clicks.parquet", quick=request.param))
        found[way] = Study.load(folder / "study.yaml")
    return found


def test_only_the_rules_differ(studies: dict[str, Study]) -> None:
    before, after = studies["before"], studies["after"]
    assert before.search.folds == "in_turn"
    assert not before.search.sampler.prior
    assert after.search.sampler.prior
    assert before.stopping.halving is not None
    assert (before.stopping.halving.hold, before.stopping.halving.leaders) == (0, False)
    assert before.search.seed == after.search.seed == 7
    for name in ("data", "folds", "metrics", "space", "training", "resources", "baselines", "final"):
        assert getattr(before, name) == getattr(after, name)


def test_the_clock_leaves_out_long_times_without_an_attempt() -> None:
    attempts = [(100.0, 150.0), (120.0, 200.0), (210.0, 260.0), (1000.0, 1100.0)]
    assert clock(150, attempts) == 50
    assert clock(260, attempts) == 160, "ten seconds without an attempt belong to the search"
    assert clock(1100, attempts) == 260, "740 seconds do not"


def test_a_good_trial_is_close_to_the_best_of_both() -> None:
    before = Measured(((50.0, 0.10), (80.0, 0.199)), 100.0, 190.0)
    after = Measured(((20.0, 0.197), (30.0, 0.2)), 60.0, 110.0)
    found = figures_of([{"before": before, "after": after}])
    assert found["first_good_s/before"] == 80
    assert found["first_good_s/after"] == 20
    assert (found["first_good"], found["total"]) == (0.25, 0.6)
    poor = Measured(((50.0, 0.10),), 100.0, 190.0)
    assert figures_of([{"before": poor, "after": after}])["first_good_s/before"] == 100, "it had no good one"
