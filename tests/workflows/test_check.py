"""`tuner check`: what it tries, and what it finds."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rectools.metrics import NDCG
from rectools.models import PopularModel

from tests.integration.conftest import ROOT, STUDY, Small, write_interactions
from tuner.config import Metrics, Study
from tuner.data.folds import development_dataset, make_folds
from tuner.data.source import load_source
from tuner.errors import StudyError
from tuner.evaluation import Plan
from tuner.reporting.leaderboard import load_leaderboard
from tuner.space import load_space
from tuner.space.describe import sample
from tuner.store import read_records
from tuner.workflows.check import _options, check, covering_points, detectable_difference, slice_fold


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return Small(tmp_path)


def study_of(shop: Small, *overrides: str) -> Study:
    return Study.load(shop.folder / "study.yaml", list(overrides))


def test_the_points_cover_every_pair_that_a_fresh_sample_has() -> None:
    space = load_space("search_spaces.guide")
    points, pairs, options = covering_points(space, seed=1)
    covered = {frozenset(p) for flat in points for p in combinations(_options(space, flat), 2)}
    assert covered == pairs
    generator = random.Random(99)
    for _ in range(500):
        mine = _options(space, sample(space, generator))
        assert mine <= options
        assert {frozenset(pair) for pair in combinations(mine, 2)} <= pairs
    assert len(points) < 60


def test_a_space_that_works_is_passed(shop: Small) -> None:
    said: list[str] = []
    small = "cls: SASRecModel, n_factors: 8, n_heads: 2, session_max_len: 8"
    space = f"space={{use: search_spaces.guide, set: {{{small}}}}}"
    checked = check(study_of(shop, space), said.append)
    assert re.fullmatch(r"folds in memory: [\d.]+ [kMG]B, one copy on each node for all its trials", said[-1])
    assert checked.problems == ()
    assert checked.n_options >= 4 + 3 + 2, "losses, layers and item nets"
    assert checked.n_pairs > checked.n_options
    assert any("test users can distinguish models" in line for line in said)


def test_an_option_that_fails_only_beside_another_is_found(shop: Small) -> None:
    (shop.folder / "picky.py").write_text(
        """
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

class Picky(PreLNTransformerLayers):
    def forward(self, seqs, timeline_mask, attn_mask, key_padding_mask, **kwargs):
        if attn_mask.dim() == 3:  # where RecTools has merged both masks
            raise RuntimeError("will not look at padding")
        return super().forward(seqs, timeline_mask, attn_mask, key_padding_mask, **kwargs)
"""
    )
    layers = "transformer_layers_type: [SASRecTransformerLayers, picky.Picky]"
    masks = "use_key_padding_mask: [true, false]"
    space = f"space={{set: {{cls: SASRecModel, n_factors: 8, n_heads: 2, {layers}, {masks}}}}}"
    done = shop.tuner("check", "study.yaml", "--set", space, "--set", "baselines=[]")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "RuntimeError: will not look at padding" in done.stderr
    assert "transformer_layers_type=Picky" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_starts_no_ray(shop: Small) -> None:
    space = "space={set: {cls: SASRecModel, n_factors: 8, n_heads: 2}}"
    code = (
        "import sys; from tuner.cli import main\n"
        f"code = main(['check', 'study.yaml', '--set', {space!r}, '--set', 'baselines=[popular]'])\n"
        "sys.exit(code or 'ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shop.folder,
        env={**shop.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "none failed" in done.stdout


def test_a_slice_is_a_smaller_fold(shop: Small) -> None:
    study = study_of(shop)
    folds = make_folds(development_dataset(load_source(study.data), study.data, study.folds), study.folds)
    small = slice_fold(folds[0], 20)
    assert len(small.users) == 20
    assert set(small.test["user_id"]) <= set(small.users) <= set(small.seen["user_id"])
    assert small.seen["user_id"].nunique() == 20
    assert set(small.catalog) <= set(folds[0].catalog)


def test_the_detectable_difference_is_that_of_a_paired_test_on_the_users(shop: Small) -> None:
    study = study_of(shop)
    (fold, _) = make_folds(development_dataset(load_source(study.data), study.data, study.folds), study.folds)
    popular = PopularModel().fit(fold.train)
    recommended = popular.recommend(fold.users, fold.train, k=10, filter_viewed=False)
    values = NDCG(10, divide_by_achievable=True).calc_per_user(recommended, fold.test)
    expected = 2.8 * values.std(ddof=1) / np.sqrt(len(values))
    assert detectable_difference(fold, Plan.of(study)) == pytest.approx(expected, rel=1e-6)
    covered = study.model_copy(update={"metrics": Metrics(objective="CoveredUsers@10", direction="maximize")})
    assert detectable_difference(fold, Plan.of(covered)) is None, "no mean over users of a value each"


def test_impossible_regions_are_reported_and_not_tried(shop: Small) -> None:
    space = "space={set: {cls: SASRecModel, n_factors: 8, n_heads: [2, 3], loss: [softmax, BCE]}}"
    said: list[str] = []
    checked = check(study_of(shop, space, "baselines=[popular]"), said.append)
    (warning,) = [line for line in said if line.startswith("warning: no trial will have")]
    assert "n_heads=3" in warning
    assert checked.problems == ()
    ((region, share),) = checked.regions
    assert region.where in {"n_heads", "n_factors"}
    assert "n_factors % n_heads" in region.rule
    assert 0.4 < share < 0.6
    assert checked.n_points - 1 == 2, "softmax and BCE, with 2 heads"


BROKEN = """
import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

class LosesAll(TransformerLightningModule):
    def get_batch_logits(self, batch):
        return super().get_batch_logits(batch) * float("nan")

class SeesNoBatch(PreLNTransformerLayers):
    def forward(self, seqs):
        return seqs

class WorksOnce(PreLNTransformerLayers):
    made = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made.append(1)

    def forward(self, *args, **kwargs):
        if len(self.made) > 4:
            raise RuntimeError("no more")
        return super().forward(*args, **kwargs)

class Divided:
    def __init__(self, k): pass
    def calc(self, reco): return 1 / 0

class NotANumber(Divided):
    def calc(self, reco): return float("nan")

class NoValue(Divided):
    def calc(self, reco): return None
"""


@pytest.fixture
def broken(shop: Small, monkeypatch: pytest.MonkeyPatch) -> Small:
    (shop.folder / "broken_parts.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(shop.folder))
    yield shop
    sys.modules.pop("broken_parts", None)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("lightning_module_type: broken_parts.LosesAll", "one batch: weights must stay finite"),
        ("transformer_layers_type: broken_parts.SeesNoBatch", "one batch: TypeError: SeesNoBatch.forward"),
    ],
)
def test_a_space_without_choices_is_tried(broken: Small, part: str, message: str) -> None:
    space = f"space={{set: {{cls: SASRecModel, n_factors: 8, n_heads: 2, n_blocks: 1, {part}}}}}"
    (problem,) = check(study_of(broken, space, "baselines=[]"), lambda _: None).problems
    assert problem.where == "point 1 (SASRecModel)"
    assert problem.rule.startswith(message)
    assert "params: cls=SASRecModel n_factors=8" in str(problem.hint)


def test_a_configuration_whose_cost_cannot_be_measured_is_reported_with_its_params(broken: Small) -> None:
    layers = "transformer_layers_type: broken_parts.WorksOnce"
    space = f"space={{set: {{cls: SASRecModel, n_factors: 8, n_heads: 2, n_blocks: 1, {layers}}}}}"
    shared = ("study.yaml", "--set", space, "--set", "baselines=[]")
    done = broken.tuner("check", *shared, "--set", "metrics.report=[]", "--set", "metrics.reference=null")
    assert done.returncode == 2
    assert re.search(r"configuration \(SASRecModel\): .*RuntimeError: no more\n +params: cls=", done.stderr)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("Divided", "Divided.calc of a metric failed: ZeroDivisionError: division by zero"),
        ("NotANumber", "a metric must be finite, but NotANumber@10 is nan"),
        ("NoValue", "calc of NoValue@10 must return a number, but got None"),
    ],
)
def test_all_metrics_are_measured(broken: Small, metric: str, message: str) -> None:
    space = "space={set: {cls: EASEModel, regularization: {float: [1, 100]}}}"
    more = f"metrics.report=[NDCG@5, broken_parts.{metric}@10]"
    study = study_of(broken, space, "baselines=[]", more, "metrics.reference=null")
    (problem,) = check(study, lambda _: None).problems
    assert (problem.where, problem.rule) == ("point 1 (EASEModel)", f"one batch: {message}")


def test_a_rank_that_the_data_do_not_have_is_infeasible(shop: Small) -> None:
    """The shop has 40 items, and the slice of a check has 64 users."""
    said: list[str] = []
    space = "space={set: {cls: PureSVDModel, factors: [4, 39, 40, 64]}}"
    checked = check(study_of(shop, space, "baselines=[]"), said.append)
    assert checked.problems == ()
    assert checked.n_options == 2
    (warning,) = [line for line in said if "no trial will have" in line]
    assert "`factors < 40`, the number of items in a fold, must hold" in warning
    with pytest.raises(StudyError, match=r"baselines\[0\] pure_svd, factors.*: `factors < 40`"):
        check(study_of(shop, space, "baselines=[pure_svd]"), said.append)


@pytest.mark.parametrize(("has_categories", "nets"), [(False, 2), (True, 3)])
def test_nets_of_categories_need_categories(shop: Small, has_categories: bool, nets: int) -> None:
    said: list[str] = []
    items = pd.DataFrame({"id": range(40), "feature": "genre", "value": ["a", "b"] * 20})
    items.to_csv(shop.folder / "items.csv", index=False)
    subset = "item_net_block_types: {subset: [IdEmbeddingsItemNet, CatFeaturesItemNet]}"
    space = f"space={{set: {{cls: SASRecModel, n_factors: 8, n_heads: 2, n_blocks: 1, {subset}}}}}"
    data = ["data.item_features=items.csv"] if has_categories else []
    checked = check(study_of(shop, space, "baselines=[]", *data), said.append)
    assert checked.problems == ()
    assert checked.n_options == nets
    warnings = [line for line in said if line.startswith("warning: ")]
    assert any("no trial will have" in line for line in warnings) is not has_categories
    assert any("CatFeaturesItemNet has no effect beside" in line for line in warnings) is not has_categories


def test_a_space_with_nets_of_categories_only_is_refused_without_categories(shop: Small) -> None:
    only = "item_net_block_types: {choice: [[CatFeaturesItemNet]]}"
    space = f"space={{set: {{cls: SASRecModel, n_factors: 8, n_heads: 2, {only}}}}}"
    with pytest.raises(StudyError) as refused:
        check(study_of(shop, space, "baselines=[]"), lambda _: None)
    (problem,) = refused.value.problems
    assert problem.where == "space.item_net_block_types"
    assert problem.hint == (
        "CatFeaturesItemNet needs categories in data.item_features (docs/data.md), or use IdEmbeddingsItemNet"
    )
    baseline = "{name: cats, params: {cls: SASRecModel, item_net_block_types: [CatFeaturesItemNet]}}"
    with pytest.raises(StudyError, match=r"baselines\[0\] cats, item_net_block_types"):
        check(study_of(shop, "space={set: {cls: EASEModel}}", f"baselines=[{baseline}]"), lambda _: None)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_a_search_spends_no_trial_on_what_cannot_work(shop: Small) -> None:
    space = "space={set: {cls: SASRecModel, n_factors: 8, n_heads: [2, 3, 5, 7], lr: {float: [0.001, 0.01]}}}"
    shared = ("study.yaml", "--set", space, "--set", "baselines=[popular]", "--set", "training.epochs=1")
    done = shop.tuner("run", *shared, "--trials", "4")
    assert done.returncode == 0, done.stderr
    records = read_records(shop.results).records
    searched = [r for r in records if r.name is None and r.status != "infeasible"]
    assert [record.status for record in searched] == ["complete"] * 4
    assert {record.params["n_heads"] for record in searched} == {2}
    assert any(record.status == "infeasible" for record in records), "else the test asked for nothing"
    assert len(load_leaderboard(shop.results).rows) == 5
    assert "nothing left to do" in shop.tuner("run", *shared, "--trials", "4").stderr

    hopeless = space.replace("[2, 3, 5, 7]", "[3, 5, 7]")
    refused = shop.tuner(
        "run", "study.yaml", "--set", hopeless, "--set", "baselines=[]", "--set", "study=other"
    )
    assert refused.returncode == 2
    assert "`n_factors % n_heads == 0` must hold" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_epochs_beyond_the_last_one_are_told(shop: Small) -> None:
    said: list[str] = []
    ease = "space={set: {cls: EASEModel, regularization: [1, 10]}}"
    changes = ("training={epochs: 2, evaluate_every: 3}", "stopping={halving: {rungs: [4, 16]}}")
    check(study_of(shop, ease, "baselines=[]", *changes), said.append)
    told = [line for line in said if "epochs is 2" in line]
    assert told == [
        "warning: training.evaluate_every is 3, but training.epochs is 2: a fold is evaluated once",
        "warning: stopping.halving.rungs begin at epoch 4, but training.epochs is 2: no trial reaches a rung",
    ]
    said.clear()
    changes = ("training={epochs: 2, evaluate_every: 2}", "stopping={halving: {rungs: [1, 4]}}")
    check(study_of(shop, ease, "baselines=[]", *changes), said.append)
    assert not [line for line in said if "epochs is 2" in line]


def test_a_study_with_nothing_to_run_is_refused_before_its_data_are_read(shop: Small) -> None:
    with pytest.raises(StudyError) as caught:
        check(study_of(shop, "search.trials=0", "baselines=[]"), pytest.fail)
    (problem,) = caught.value.problems
    assert problem.where == "search.trials"
    assert problem.rule == "must be at least 1 in a study without baselines, but got 0"
