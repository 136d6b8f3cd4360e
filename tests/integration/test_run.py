"""`tuner run` for real: failures, modules of the user, rules. A calm run is in workflows/test_real_run.py."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.integration.conftest import ONE_WORKER, PATIENCE, ROOT, Small
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def optuna_study(small: Small) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(small.results / "journal.log")))
    return optuna.load_study(study_name="small", storage=storage)


@pytest.mark.long
def test_the_same_from_python(small: Small) -> None:
    program = (
        "from tuner import Study, run\n"
        "board = run(Study.load('study.yaml', ['search.trials=1', 'baselines=[popular]']))\n"
        "print(len(board.rows), board.best.rank)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=small.folder,
        env=small.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "2 1\n", done.stderr


def test_a_failing_trial_says_why_and_leaves_the_others_alone(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        """
        from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

        class Broken(PreLNTransformerLayers):
            def forward(self, *args, **kwargs):
                raise RuntimeError("flux capacitor missing")
        """
    )
    study = small.folder / "study.yaml"
    broken = "{name: broken, params: {cls: SASRecModel, transformer_layers_type: mine.Broken}}"
    study.write_text(study.read_text().replace("[popular, sasrec]", f"[{broken}, popular]"))

    done = small.tuner("run", "study.yaml", "--trials", "1", *ONE_WORKER)

    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if "broken failed" in line)
    told = re.search(r"fold 1: RuntimeError: flux capacitor missing \(see (studies/small/logs/.*)\)", line)
    assert told is not None
    log = (small.folder / told[1]).read_text()
    assert "Traceback" in log
    assert "mine.py" in log
    states = {row.record.number: row.status for row in load_leaderboard(small.results).rows}
    assert states == {0: "failed", 1: "complete", 2: "complete"}
    assert optuna_study(small).trials[0].state == TrialState.FAIL


def test_a_search_without_hope_stops_and_names_the_cause(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        """
        from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

        class Broken(SASRecDataPreparator):
            def process_dataset_train(self, dataset):
                raise KeyError("no such column")
        """
    )
    own = "cls: SASRecModel, n_factors: 8, lr: {float: [1e-3, 1e-2]}, data_preparator_type: mine.Broken"
    space = f"space={{set: {{{own}}}}}"
    done = small.tuner(
        "run", "study.yaml", "--trials", "20", "--set", space, "--set", "baselines=[]", *ONE_WORKER
    )

    assert done.returncode == 1
    assert "the first trials all failed in one way: fold 1: KeyError: 'no such column'" in done.stderr
    assert len(read_records(small.results).records) < 10


@pytest.mark.long
def test_trials_share_one_copy_of_the_code_of_the_user(
    small: Small, own_module: Callable[[str], None]
) -> None:
    """A module beside the study is found by workers, and its class stands in the params by its path."""
    own_module(
        """
        from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

        class Mine(PreLNTransformerLayers):
            pass
        """
    )
    mine = ("--set", "space.set.transformer_layers_type=mine.Mine", "--set", "baselines=[]")
    done = small.tuner("run", "study.yaml", "--trials", "1", *mine, *ONE_WORKER)
    assert done.returncode == 0, done.stderr
    searched = [record for record in read_records(small.results).records if record.name is None]
    assert [record.params["transformer_layers_type"] for record in searched] == ["mine.Mine"]


@pytest.mark.long
def test_the_example_of_a_custom_module_is_searched_from_another_folder(small: Small) -> None:
    study = ROOT / "examples" / "custom_module" / "study.yaml"
    less = ("training.epochs=1", "data.interactions=clicks.csv", "data.columns={}", "data.datetime=iso")
    overrides = [word for override in less for word in ("--set", override)]
    only = ("--set", "space.set.transformer_layers_type={choice: {gated.GatedLayers: {gate_init: [0.5]}}}")
    few = ("--set", "data.min_item_interactions=1", "--trials", "1")
    done = small.tuner("run", str(study), *overrides, *only, *few, *ONE_WORKER)
    assert done.returncode == 0, done.stderr
    (record,) = [
        r for r in read_records(small.folder / "studies" / "custom-module").records if r.name is None
    ]
    assert record.status == "complete"
    assert record.params["transformer_layers_type"] == "gated.GatedLayers"
    assert record.params["transformer_layers_kwargs.gate_init"] == 0.5


#: Layers with which a model recommends what it has learned (1), the same items to everyone (0), or what is
#: least likely (-1), and a sampler that chooses these values in turn. One worker keeps that order.
TURNED = """
import optuna
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

IN_TURN = [1, -1, 0, -1, 0]


class Turned(PreLNTransformerLayers):
    def __init__(self, *args, turn, **kwargs):
        super().__init__(*args, **kwargs)
        self.turn = turn

    def forward(self, *args, **kwargs):
        learned = super().forward(*args, **kwargs)
        return learned if self.training else self.turn * learned


class InTurn(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        known = sum(name in other.params for other in study.get_trials(deepcopy=False))
        if ".turn" not in name or known >= len(IN_TURN):
            return super().sample_independent(study, trial, name, distribution)
        return IN_TURN[known]
"""


@pytest.mark.long
def test_trials_that_fall_behind_are_stopped_and_say_why(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(TURNED)
    overrides = (
        "stopping={halving: {rungs: [1], keep: 0.5, resume: null}, complete: 1}",
        "space.set.transformer_layers_type={choice: {mine.Turned: {turn: [1, 0, -1]}}}",
        "space.set.cls=SASRecModel",
        "space.set.loss=softmax",
        "space.set.lr=0.01",
        "space.set.n_factors=16",
        "space.set.batch_size=4",
        "space.set.dropout_rate={float: [0.0, 0.1]}",
        "training.epochs=4",
        "search={trials: 5, seed: 60, sampler: {use: mine.InTurn}}",
    )
    turned = (*(word for override in overrides for word in ("--set", override)), *ONE_WORKER)
    done = small.tuner("run", "study.yaml", *turned)
    assert done.returncode == 0, done.stderr
    records = read_records(small.results).records
    ended = [record.stop.rule if record.stop else record.status for record in records]
    assert ended == ["complete"] * 3 + ["halving", "race"] * 2, "-1 is below the middle; 0 is not, and loses"
    stopped = [record for record in records if record.status == "stopped"]
    assert all(record.name is None for record in stopped), "baselines never are"
    for record in stopped:
        points = [(e.fold, e.epoch) for e in record.evaluations]
        assert points[-1] == (record.stop.fold, record.stop.epoch)
        assert points == ([(0, 1)] if record.stop.rule == "halving" else [(0, 1), (0, 2), (0, 3), (0, 4)])
        assert f"trial {record.number} " in done.stderr
        shown = small.tuner("show", "studies/small", str(record.number)).stdout
        assert f"stopped after {record.stop.where} by {record.stop.rule}: {record.stop.why}" in shown
    trials = optuna_study(small).trials
    assert {t.number for t in trials if t.state == TrialState.PRUNED} == {r.number for r in stopped}
    assert all(trial.state in {TrialState.COMPLETE, TrialState.PRUNED} for trial in trials)
    complete = [record for record in records if record.status == "complete"]
    assert all(len(record.evaluations) == 8 for record in complete if record.summary.epochs_run)
    assert "stopped by" in small.tuner("leaderboard", "studies/small").stdout

    # The rules go on from what the first run recorded, and may be changed.
    more = small.tuner("run", "study.yaml", *turned, "--set", "stopping=false", "--trials", "6")
    assert more.returncode == 0, more.stderr
    assert read_records(small.results).records[-1].status == "complete"


@pytest.mark.long
def test_modules_that_only_the_driver_can_see_reach_its_workers(small: Small) -> None:
    """As on another host: the folder is on no path of the workers, so what they import has been sent."""
    elsewhere = small.folder / "elsewhere"
    (elsewhere / "gears").mkdir(parents=True)
    (elsewhere / "gears" / "__init__.py").write_text("RATIO = 2\n")
    (elsewhere / "shop_layers.py").write_text(
        "import gears\n"
        "from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers\n\n\n"
        "class Geared(PreLNTransformerLayers):\n"
        "    def __init__(self, *args, turns=1, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n"
        "        self.speed = gears.RATIO * turns\n"
    )
    program = (
        "import sys\n"
        "sys.path.insert(0, 'elsewhere')\n"
        "import shop_layers\n"
        "sys.path.remove('elsewhere')\n"
        "from tuner import Study, run\n"
        "layers = '{choice: {shop_layers.Geared: {turns: [1, 2]}}}'\n"
        "changes = ['search.trials=1', 'baselines=[]', f'space.set.transformer_layers_type={layers}']\n"
        "changes += ['resources.concurrency=1']\n"
        "board = run(Study.load('study.yaml', changes))\n"
        "print(board.rows[0].status, board.rows[0].record.params['transformer_layers_type'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=small.folder,
        env=small.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "complete shop_layers.Geared\n", done.stderr
