"""Hides the variables from which Lightning takes its processes, and settings that no study has.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["outside_of_jobs"]

#: How variables begin from which Lightning takes its processes: those of SLURM, of LSF with its launcher, of
#: torchrun, and of MPI as PBS and others start it.
_LAUNCHERS = ("SLURM_", "LSB_", "LSF_", "JSM_", "TORCHELASTIC_", "PET_", "OMPI_", "PMI_", "PMIX_", "ROLE_")
#: How variables begin that replace the defaults of a trainer, such as `PL_TRAINER_LIMIT_TRAIN_BATCHES`.
_SETTINGS = "PL_"
#: Variables of torchrun, and of operators of Kubernetes.
_RANKS = frozenset(
    {
        "GROUP_RANK",
        "GROUP_WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "RANK",
        "WORLD_SIZE",
    }
)


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Hide the variables of a launcher such as SLURM from Lightning, which takes its tasks for its own.

    Those that change the defaults of a trainer are hidden too: a study says how a trial trains.
    """
    names = [name for name in os.environ if name.startswith((*_LAUNCHERS, _SETTINGS)) or name in _RANKS]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
