"""Writes TensorBoard files: a run for each trial, with its learning curves and its row in the HParams table.

The tags of a run, where N is the number of the fold from 1:

    fold mean (maximize)/NDCG@10    the objective: mean over folds at the best epoch; or (minimize)
    fold mean/<metric>              the same for the other metrics
    fold std/NDCG@10                sample deviation of the objective over folds
    folds/NDCG@10 fold N            each metric of each fold at the best epoch
    foldN/<metric>                  by epoch; at step 0 for a model that has no epochs
    foldN/train_loss                by epoch, like the next three
    foldN/learning_rate
    foldN/epoch_seconds             time to train that epoch; fit_seconds: time since the fold began
    foldN/memory_gb                 peak memory of the process so far; gpu_memory_gb: of tensors on its GPU
    parameters                      number of trainable parameters
    last/NDCG@10                    of a paused or stopped trial: its last value, of one fold, at its epoch
    stopped early/fold              the fold in which the trial was stopped, at the step of its epoch

Some tags contain a space and some do not, to put them in a useful order. The HParams table sorts tags by
character code and selects the first five, which are the results. The pages of curves sort digits first and
unfold the first two groups, which are the folds.

The page of custom scalars begins with the objective of all trials in all folds. Each run has its layout;
TensorBoard merges them. A file beside the runs would be a run of its own, called ``.``.

No experiment summary is written. So TensorBoard makes the columns of the HParams table from the runs: the
params of all trials, those that differ first, and all scalars. An experiment summary could select and order
the metrics, but it would also replace the columns of params, and TensorBoard reads only the first summary.
Params that only a later trial has, or another study under the same ``--logdir``, would never be shown.
"""

# ruff: noqa: PLC0415  # TensorBoard takes time to import, so it is imported with the first trial

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.space.class_names import short_name
from tuner.trials.messages import Job
from tuner.trials.objective import Direction
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary as SummaryProto

__all__ = ["TensorBoardWriter"]

logger = logging.getLogger(__name__)

#: Largest number of characters of a label in a folder's name. File systems allow 255 bytes, and a character
#: can need four.
LABEL_LENGTH = 60
#: Column of the HParams table with the names of baselines or models.
NAME = "name"


class TensorBoardWriter(Observer):
    """An observer of a search that writes each event for TensorBoard.

    Every event is flushed when it is written. So TensorBoard shows it at its next reload, and a killed search
    leaves readable files. If a file cannot be written, a warning is logged, no more events are written, and
    the search continues.

    Parameters
    ----------
    folder
        Folder for the runs (TensorBoard's ``--logdir``). Each run is in a folder ``<number>-<label>``.
    objective, direction
        The metric that ranks trials, and its direction.
    """

    def __init__(self, folder: Path, *, objective: str, direction: Direction) -> None:
        self._folder = folder
        self._objective = objective
        self._direction = direction
        self._runs: dict[int, _EventFile] = {}
        self._last: dict[int, Evaluation] = {}  # of running trials
        self._given_up = False
        self._cleaned = False

    def started(self, job: Job, *, again: bool) -> None:  # noqa: ARG002  # an existing folder shows it more reliably
        """Begin the run of a trial, which replaces the run of an earlier attempt, and write its hparams."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._end(job.number)
        if self._given_up:
            return
        with self._writing():
            self._clean()
            self._runs[job.number] = _Run(self._folder / _run_name(job))
            self._runs[job.number].write(_layout(self._objective), 0)
        # Without a `trial_id` the row has the name of the run, which includes the study's folder if
        # TensorBoard shows several studies. With one, trials with the same number in two studies would share
        # a row.
        params = {NAME: job.label, **{key: _hparam(value) for key, value in job.params.items()}}
        self._write(job, hparams_pb(params, trial_id=""))

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Add a point to the learning curves of one fold."""
        values = {
            **evaluation.metrics,
            "train_loss": evaluation.train_loss,
            "learning_rate": evaluation.learning_rate,
            "epoch_seconds": evaluation.epoch_seconds,
            "fit_seconds": evaluation.fit_seconds,
            "memory_gb": _gigabytes(evaluation.peak_memory),
            "gpu_memory_gb": _gigabytes(evaluation.peak_gpu_memory),
        }
        fold = f"fold{evaluation.fold + 1}"
        scalars = {f"{fold}/{name}": value for name, value in values.items() if value is not None}
        self._write(job, _scalars(scalars), step=evaluation.epoch)
        self._last[job.number] = evaluation

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # the run has its own times
        """Write the results and end the run."""
        scalars = {f"fold mean/{label}": value for label, value in summary.metrics.items()}
        scalars.pop(f"fold mean/{self._objective}", None)
        scalars[f"fold mean ({self._direction})/{self._objective}"] = summary.mean
        scalars[f"fold std/{self._objective}"] = summary.std
        for index, metrics in enumerate(summary.folds):
            scalars |= {f"folds/{label} fold {index + 1}": value for label, value in metrics.items()}
        if summary.n_parameters is not None:
            scalars["parameters"] = summary.n_parameters
        self._write(job, _scalars(scalars), step=summary.epoch)
        self._write(job, _session_end("STATUS_SUCCESS"))
        self._end(job.number)

    def paused(self, job: Job, pause: Pause) -> None:
        """Write that the trial is paused, and close its run.

        If the trial continues, its run is written again from the start.
        """
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write_last(job)
        self._write(job, text_pb("paused", f"after {pause.where}: not among the best so far"))
        self._end(job.number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # the run has its own times
        """Mark the run as stopped early, write where and why as text, and end it. Its curves stay.

        The run of a paused trial was closed when it was paused, with its last value. It continues here.
        """
        from tensorboard.plugins.text.summary_v2 import text_pb

        if job.number not in self._runs and not self._given_up:
            with self._writing():
                self._runs[job.number] = _EventFile(self._folder / _run_name(job))
        self._write_last(job)
        self._write(job, _scalars({"stopped early/fold": stop.fold + 1}), step=stop.epoch)
        self._write(job, text_pb("stopped early", f"by {stop.rule} after {stop.where}: {stop.why}"))
        self._write(job, _session_end("STATUS_SUCCESS"))
        self._end(job.number)

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Write the cause as text and end the run."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(job, text_pb("failure", f"```\n{cause}\n```\n\nLog: `{log}`"))
        self._write(job, _session_end("STATUS_FAILURE"))
        self._end(job.number)

    def close(self) -> None:
        """Close the runs of interrupted trials. If a trial starts again, so does its run."""
        for number in list(self._runs):
            self._end(number)

    def _clean(self) -> None:
        """Remove, once, the layout that an older version wrote beside the runs."""
        if not self._cleaned:
            self._cleaned = True
            for earlier in self._folder.glob("events.out.tfevents.*"):
                earlier.unlink()

    def _write_last(self, job: Job) -> None:
        """Write the last value of a trial that ends without a result."""
        last = self._last.get(job.number)
        if last is not None and self._objective in last.metrics:
            scalars = _scalars({f"last/{self._objective}": last.metrics[self._objective]})
            self._write(job, scalars, step=last.epoch)

    def _write(self, job: Job, summary: SummaryProto, step: int = 0) -> None:
        with self._writing():
            if job.number in self._runs:
                self._runs[job.number].write(summary, step)

    def _end(self, number: int) -> None:
        self._last.pop(number, None)
        with self._writing():
            if number in self._runs:
                self._runs.pop(number).close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Stop writing at the first error of the file system, and log it once."""
        try:
            yield
        except OSError as error:
            logger.warning("TensorBoard's files cannot be written, so its curves end here: %s", error)
            self._given_up = True
            for run in self._runs.values():
                with suppress(OSError):
                    run.close()
            self._runs.clear()


class _EventFile:
    """A TensorBoard event file in a folder.

    It uses TensorBoard's `RecordWriter` on a plain file. TensorBoard's `EventFileWriter` has a thread for
    every file, and errors of the disk are raised in that thread.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        folder.mkdir(parents=True, exist_ok=True)
        self._event = Event
        self._records = RecordWriter((folder / name).open("xb"))
        self._add(file_version="brain.Event:2")

    def write(self, summary: SummaryProto, step: int = 0) -> None:
        """Add a summary, and flush it to the operating system."""
        self._add(summary=summary, step=step)
        self._records.flush()

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _add(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())


class _Run(_EventFile):
    """The event file of one trial. It replaces the event file of an earlier attempt.

    The earlier file is emptied but not removed, because a TensorBoard that has read it looks for the next
    file only if the earlier one exists. The start of a new session then makes TensorBoard drop the earlier
    events.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.open("wb").close()
        super().__init__(folder)
        self._add(session_log=SessionLog(status=SessionLog.START), step=0)


def _run_name(job: Job) -> str:
    label = re.sub(r"[^\w.-]+", "_", job.label)
    return layout.tensorboard_run(job.number, label[:LABEL_LENGTH])


def _hparam(value: object) -> bool | float | str:
    """Return a param for the HParams table: classes by the last part of their path, tuples as joined text."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return ", ".join(str(_hparam(item)) for item in value)
    is_class = isinstance(value, str) and all(part.isidentifier() for part in value.split("."))
    return short_name(value) if is_class else str(value)


def _gigabytes(n_bytes: int | None) -> float | None:
    return None if n_bytes is None else n_bytes / 2**30


def _layout(objective: str) -> SummaryProto:
    """Return the layout of the custom scalars: the objective first, the other groups folded."""
    from tensorboard.compat.proto.summary_pb2 import Summary as SummaryProto
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    def category(title: str, charts: Mapping[str, str], *, closed: bool) -> layout_pb2.Category:
        multiline = {name: layout_pb2.MultilineChartContent(tag=[tag]) for name, tag in charts.items()}
        return layout_pb2.Category(
            title=title,
            chart=[layout_pb2.Chart(title=name, multiline=lines) for name, lines in multiline.items()],
            closed=closed,
        )

    training = {name: rf"^fold\d+/{name}$" for name in ("train_loss", "learning_rate", "epoch_seconds")}
    memory = {name: rf"^fold\d+/{name}$" for name in ("memory_gb", "gpu_memory_gb")}
    layout = layout_pb2.Layout(
        category=[
            category("objective", {objective: rf"^fold\d+/{re.escape(objective)}$"}, closed=False),
            category("training", training, closed=True),
            category("memory", memory, closed=True),
        ]
    )
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()])
    value = SummaryProto.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata()
    )
    return SummaryProto(value=[value])


def _scalars(values: Mapping[str, float]) -> SummaryProto:
    from tensorboard.compat.proto.summary_pb2 import Summary as SummaryProto

    value = [SummaryProto.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return SummaryProto(value=value)


def _session_end(status: str) -> SummaryProto:
    """Return the summary that ends a trial's session. TensorBoard's own function for it needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary as SummaryProto
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value(status), end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    value = SummaryProto.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return SummaryProto(value=[value])
