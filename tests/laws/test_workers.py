"""A law of warm workers: what a worker has run before does not show in a trial's results."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.integration.conftest import Small, own_module, small
from tuner.store import read_records

__all__ = ["own_module", "small"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]

#: Families, losses and sizes in turn, so that a trial finds what other kinds have left.
MANNERS = """
space:
  set:
    cls: {choice: [rectools.models.SASRecModel, rectools.models.BERT4RecModel, rectools.models.HSTUModel]}
    loss: [softmax, BCE, sampled_softmax]
    n_factors: [8, 16]
    n_heads: 2
    n_blocks: 1
    session_max_len: 8
    batch_size: 32
    lightning_module_type: mine.Mine
"""

MODULE = """
import os
from rectools.models.nn.transformers.lightning import TransformerLightningModule

class Mine(TransformerLightningModule):
    def on_train_start(self):
        print("worker", os.getpid())
        super().on_train_start()
"""

#: Evaluates the params and seeds of a recorded trial in a process that has run nothing before.
FRESH = """
import sys
from pathlib import Path
import torch
from tuner.evaluation import evaluate_folds
from tuner.preparation.prepare import prepare
from tuner.config import Study
from tuner.store import read_records

torch.set_num_threads(1)
(record,) = [r for r in read_records(Path('studies/small')).records if r.number == int(sys.argv[1])]
prepared = prepare(Study.load('study.yaml'), lambda _: None)
evaluate_folds(
    record.params, prepared.folds, prepared.plan, record.seeds,
    lambda e: print(e.fold, e.epoch, sorted((k, repr(v)) for k, v in e.metrics.items())),
)
"""


def test_a_trial_in_a_used_worker_is_one_in_a_fresh_process(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(MODULE)
    study = (small.folder / "study.yaml").read_text()
    kept = re.sub(r"(?ms)^space:.*?^(?=baselines)", MANNERS.lstrip(), study)
    (small.folder / "study.yaml").write_text(kept)
    done = small.tuner("run", "study.yaml", "--set", "resources.concurrency=1", "--set", "search.trials=6")
    assert done.returncode == 0, done.stderr
    searched = [record for record in read_records(small.results).records if record.name is None]
    records = [record for record in searched if record.status == "complete"]
    assert len(records) == 6
    logs = [(small.results / record.log).read_text() for record in records]
    workers = [set(re.findall(r"^worker (\d+)$", log, re.MULTILINE)) for log in logs]
    assert len(set.union(*workers)) == 1, "one worker ran them all"
    assert len({(r.params["cls"], r.params["loss"]) for r in records}) > 2
    for record in (records[0], records[-1]):
        again = subprocess.run(
            [sys.executable, "-c", FRESH, str(record.number)],
            cwd=small.folder,
            env=small.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 0, again.stderr
        fresh = [line for line in again.stdout.splitlines() if re.match(r"\d \d \[", line)]
        used = [
            f"{e.fold} {e.epoch} {sorted((k, repr(v)) for k, v in e.metrics.items())}"
            for e in record.evaluations
        ]
        assert used == fresh
