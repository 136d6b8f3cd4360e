"""The process of one rank: it evaluates a fold together with the others; see `tuner.evaluation.devices`.

It ends when it is done or has failed, and at once when the process that started it dies.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from queue import Queue
from typing import Any

import torch

from tuner.errors import TrialError
from tuner.evaluation.devices import HAS_CHECKPOINT, HAS_ENDED, Failed, RankJob, Takers
from tuner.evaluation.evaluate import evaluate_here
from tuner.evaluation.failures import as_failure
from tuner.training.memory import keep_freed_memory
from tuner.training.ranks import is_of_connection

__all__: list[str] = []  # `main` is called by the code in `tuner.evaluation.devices`

logger = logging.getLogger(__name__)

#: Exit code of a rank whose starter has died.
_ORPHANED = 1


def main(descriptor: int) -> None:
    """Do the one job that comes over a connection.

    Parameters
    ----------
    descriptor
        Number of the file of the connection.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s rank %(name)s: %(message)s",
    )
    connection = Connection(descriptor)
    inbox: Queue[Any] = Queue()
    threading.Thread(target=_receive, args=(connection, inbox), name="receive", daemon=True).start()
    _work(inbox.get(), connection, inbox)


def _receive(connection: Connection, inbox: Queue[Any]) -> None:
    """Receive messages in a thread of its own, to see the end of the process that started this one."""
    try:
        while True:
            inbox.put(pickle.loads(connection.recv_bytes()))  # noqa: S301  # from a process of our own
    except (EOFError, OSError):
        with suppress(OSError, ValueError):  # the log may be gone
            faulthandler.dump_traceback()  # where it was, for the log of a trial that took too long
        os._exit(_ORPHANED)
    except BaseException:
        logger.exception("the job of this rank cannot be read")
        os._exit(_ORPHANED)


def _work(job: RankJob, connection: Connection, inbox: Queue[Any]) -> None:
    torch.set_num_threads(job.threads)
    keep_freed_memory()

    def tell(what: object) -> None:
        """Send a message, and wait until it has been taken. The trial may be stopped meanwhile."""
        connection.send_bytes(pickle.dumps(what))
        inbox.get()

    takers = Takers(tell, tell, lambda values: tell(dict(values)), job.keep_model)
    checkpoint = job.checkpoint
    if checkpoint is not None:
        checkpoint = replace(checkpoint, on_kept=partial(tell, HAS_CHECKPOINT))
    with job.ranks.joined(job.store):
        try:
            evaluate_here(
                job.params,
                job.fold,
                job.plan,
                job.seed,
                takers=takers,
                checkpoint=checkpoint,
                ranks=job.ranks,
            )
        except TrialError as error:
            logger.exception("rank %d failed", job.ranks.rank)
            connection.send_bytes(pickle.dumps(Failed(as_failure(error), is_of_connection(error))))
            threading.Event().wait()  # to be ended with the others: without this one, they fail or wait
    connection.send_bytes(pickle.dumps(HAS_ENDED))
    inbox.get()  # to be ended: what libraries do at the end of a process needs the others
