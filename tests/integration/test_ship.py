"""What a real search leaves behind: rows that come out again, and the models of the best."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.integration.conftest import STUDY, Small
from tuner.reporting.leaderboard import load_leaderboard

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

#: Seconds that one command may take on a machine that is busy.
PATIENT = 540.0

ROWS = ("sasrec", "next_action_unidirectional", "albert")


def test_rows_of_a_search_come_out_again_to_the_last_digit(small: Small) -> None:
    """Run by workers of Ray, and again in a process without it."""
    names = ", ".join(("ease", "ials", *ROWS))
    _write(small, baselines=f"[popular, {names}]", training="{epochs: 2}")
    assert small.tuner("run", "study.yaml", "--trials", "0", timeout=PATIENT).returncode == 0
    again = small.tuner("reproduce", "studies/small", "ease", "ials", *ROWS, timeout=PATIENT)
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    assert len(lines) == 5
    assert all(": equal, all " in line for line in lines)


def test_models_of_the_best_trials_stay_through_a_kill(small: Small) -> None:
    """The driver is killed; when the run has gone on, two trials have their models and no other has."""
    _write(small, baselines="[popular, sasrec]", training="{epochs: 2, keep_checkpoints: 2}")
    run = small.start("run", "study.yaml")
    ended = small.results / "models"
    for _ in range(600):
        if len(list(ended.glob("trial-*/fold-2.pickle"))) > 1:
            break
        time.sleep(0.2)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    stale = ended / "trial-0999"
    stale.mkdir(parents=True)
    (stale / "fold-1.tmp").write_bytes(b"half")
    assert small.tuner("run", "study.yaml", timeout=PATIENT).returncode == 0
    rows = [row.record for row in load_leaderboard(small.results).rows if row.record.summary]
    best = [record.number for record in rows if record.summary.epochs_run][:2]
    there = sorted(str(path.relative_to(ended)) for path in ended.rglob("*.*"))
    assert there == sorted(f"trial-{number:04d}/fold-{fold}.pickle" for number in best for fold in (1, 2))


def _write(small: Small, **sections: str) -> None:
    """Write the small study with other sections, each on one line."""
    lines = STUDY.splitlines()
    for key, value in sections.items():
        lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
    (small.folder / "study.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
