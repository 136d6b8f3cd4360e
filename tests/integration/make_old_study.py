"""Make the study in `old_study`: begun by version 0.1.0 and killed in the middle of its trials.

It needs a checkout of the commit before the packages of `tuner` were moved, and this project's environment:

    git worktree add OLD 0142064
    python tests/integration/make_old_study.py OLD

The journal then has complete, stopped and paused trials, and at least one that was interrupted while it
trained. The script keeps the study file, the interactions, and those results that a later run reads: the
journal, the snapshot, the checkpoints and the per-user values.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import load_study
from optuna.trial import TrialState

HERE = Path(__file__).with_name("old_study")
KEPT = ("journal.log", "study.yaml", "checkpoints", "users")
STUDY = """\
study: old
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10]
space:
  set:
    cls: SASRecModel
    n_factors: [8, 16]
    n_heads: [1, 2]
    n_blocks: {int: [1, 2]}
    lr: {float: [1e-3, 1e-2], log: true}
    session_max_len: 8
    batch_size: 16
baselines: [popular]
search: {trials: 12, seed: 60}
training: {epochs: 8}
stopping:
  halving: {rungs: [1, 4], keep: 0.5, resume: 0.5}
  race: {z: 0.0}
resources: {concurrency: 2}
"""


def write_interactions(path: Path) -> None:
    """Write walks over a ring of items, with noise: there is an order to learn."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(80):
        item = int(rng.integers(40))
        for step in range(int(rng.integers(6, 14))):
            item = (item + 1) % 40 if rng.random() < 0.8 else int(rng.integers(40))
            rows.append((f"u{user}", item, pd.Timestamp("2024-01-01") + pd.Timedelta(hours=step * 7 + user)))
    pd.DataFrame(rows, columns=["user_id", "item_id", "datetime"]).to_csv(path, index=False)


def is_as_wanted(results: Path) -> bool:
    """Whether some trials are complete, stopped and paused, and one has trained on past its checkpoint."""
    if not (results / "journal.log").exists():
        return False
    try:
        trials = load_study(
            study_name="old", storage=JournalStorage(JournalFileBackend(str(results / "journal.log")))
        ).trials
    except KeyError:  # the study has not been created yet
        return False
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    paused = [trial for trial in running if trial.user_attrs.get("resting")]
    cut_off = [
        trial
        for trial in running
        if trial not in paused
        and (results / "checkpoints" / f"trial-{trial.number:04d}.ckpt").exists()
        and sum(key.startswith("evaluation:") for key in trial.user_attrs) >= 2
    ]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    return len(complete) >= 3 and len(stopped) >= 1 and len(paused) >= 2 and bool(cut_off)


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if os.getsid(int(entry.name)) == session and "\nState:\tZ" not in (entry / "status").read_text():
                found.append(int(entry.name))
        except (OSError, ValueError):  # no process, or one that has ended since
            continue
    return found


def begin_and_kill(old: Path, folder: Path) -> bool:
    """Run the study in a folder with the old code, and kill it once it is as wanted; tell whether it is."""
    write_interactions(folder / "clicks.csv")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    driver = subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", "run", "study.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(old)},
        start_new_session=True,
    )
    results = folder / "studies" / "old"
    try:
        while driver.poll() is None and not is_as_wanted(results):
            time.sleep(0.02)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    while processes_of(driver.pid):
        time.sleep(0.1)
    return is_as_wanted(results)


def keep(folder: Path) -> None:
    """Copy what the test reads to `old_study`, without the name of this machine."""
    shutil.rmtree(HERE, ignore_errors=True)
    (HERE / "results").mkdir(parents=True)
    for name in ("clicks.csv", "study.yaml"):
        shutil.copy(folder / name, HERE / name)
    for name in KEPT:
        source, target = folder / "studies" / "old" / name, HERE / "results" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    journal = HERE / "results" / "journal.log"
    journal.write_text(journal.read_text().replace(f'"{socket.gethostname()}"', '"old-host"'))


def main() -> None:
    """Try until the study was killed at the right moment."""
    old = Path(sys.argv[1]).resolve()
    for _ in range(10):
        with tempfile.TemporaryDirectory() as name:
            if begin_and_kill(old, Path(name)):
                keep(Path(name))
                return
    raise SystemExit("ten runs ended before the moment came to kill them")


if __name__ == "__main__":
    main()
