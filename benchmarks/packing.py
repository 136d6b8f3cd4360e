"""What several trials train at once on one GPU; part of `benchmarks.step`.

Each is a process of its own. They meet after their first steps, so that none trains alone, and only steps
within the time in which all were training are counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.types import STEP_OUTPUT

__all__ = ["PACKED", "Meeting", "has_mps", "mps", "trials_per_hour"]

#: Trials at once.
PACKED = (1, 4, 8)
#: Of the trial that is counted by: epochs over the sessions of the data, without evaluations.
EPOCHS = 10
#: Steps that are timed as one.
TOGETHER = 20
LONGEST_WAIT = 600.0


class Meeting(Callback):
    """Waits for the other processes at a step, and notes when this and all later ones end.

    Parameters
    ----------
    folder
        Empty at first; where the processes say that they have come.
    n
        How many they are.
    at
        The step, from 0.

    Raises
    ------
    TimeoutError
        If the others do not come within ten minutes.
    """

    def __init__(self, folder: Path, n: int, at: int) -> None:
        self.folder, self.n, self.at = folder, n, at
        self.times: list[float] = []
        self._step = -1

    def __deepcopy__(self, _memo: dict[int, object]) -> Meeting:
        """RecTools copies its trainer at each fit; the copy must note in the same place."""
        return self

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002  # Lightning's signature
        pl_module: LightningModule,  # noqa: ARG002
        outputs: STEP_OUTPUT,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Meet, and note the time, which is the same clock in all processes.

        A processor may be steps ahead of its GPU, so the time is that of some steps, all of them done.
        """
        self._step += 1
        if self._step < self.at or (self._step - self.at) % TOGETHER:
            return
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        if self._step == self.at:
            (self.folder / str(os.getpid())).touch()
            self._wait()
            self.times.append(time.monotonic())
        else:
            self.times += [time.monotonic()] * TOGETHER

    def _wait(self) -> None:
        began = time.monotonic()
        while len(list(self.folder.iterdir())) < self.n:
            if time.monotonic() - began > LONGEST_WAIT:
                raise TimeoutError(f"{self.n} processes must meet, but not all have come")
            time.sleep(0.01)


def has_mps() -> bool:
    """Whether NVIDIA's Multi-Process Service is installed here."""
    return shutil.which("nvidia-cuda-mps-control") is not None


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """Run the Multi-Process Service, and yield the environment of processes that use it."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=os.environ | found, check=True)
        try:
            yield found
        finally:
            subprocess.run(
                ["nvidia-cuda-mps-control"],
                input="quit\n",
                text=True,
                env=os.environ | found,
                check=False,
                capture_output=True,
            )


def trials_per_hour(times: Sequence[Sequence[float]], steps_per_epoch: int) -> float:
    """Return how many trials of `EPOCHS` epochs an hour the processes train together.

    Parameters
    ----------
    times
        Of each process, when its steps ended.
    steps_per_epoch
        Batches of the data.
    """
    began, ended = max(each[0] for each in times), min(each[-1] for each in times)
    steps = sum(began < moment <= ended for each in times for moment in each)
    return 3600 * steps / (ended - began) / (EPOCHS * steps_per_epoch)
