"""`tuner final`: fits the best trials and the baselines again, and judges them on the holdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuner.artifacts import layout
from tuner.config import FinalJudgement, Study
from tuner.errors import Problem, SearchError, StoreError
from tuner.errors.caller import argument, hint
from tuner.execution.logs import logs_to, native_stderr_to
from tuner.execution.one_run import one_run
from tuner.execution.session import ray_session
from tuner.execution.signals import ended_by_signals
from tuner.formatting import duration, number
from tuner.holdout import Final
from tuner.holdout.looks import Chosen, Fit, HoldoutLook, HoldoutLooks
from tuner.holdout.text import look_lines
from tuner.monitoring.console import stderr_console
from tuner.reporting.find import BEST, find_row
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.reporting.preference import Preferred, preferred
from tuner.search.capacity import trial_share
from tuner.store import hold_study, report_lost_store
from tuner.trials.messages import Job
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import TrialRecord
from tuner.workflows.measured_before import changes_of_metrics
from tuner.workflows.opening import open_prepared

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.execution.holdout_fits import Ended
    from tuner.preparation.prepare import Prepared

__all__ = ["judge_study", "run_final"]


def run_final(
    study: Study, folder: Path, asked: FinalJudgement | None = None, *, console: Console | None = None
) -> Final:
    """Judge the best trials of a study on its holdout. Fits that an earlier call made are used again.

    Parameters
    ----------
    study
        The study as it was run.
    folder
        Folder with the results of the study.
    asked
        How many trials, and how many seeds; by default as the study says.
    console
        Where to show progress; stderr by default.

    Raises
    ------
    UserError
        If the study has no holdout or no complete trial, or differs from the study that was run.
    SearchError
        If all fits fail, or the store can no longer be written.
    InterruptedSearchError
        On Ctrl-C.
    """
    _refuse_without_holdout(study)
    asked = asked or study.final or FinalJudgement()
    board = load_leaderboard(folder)  # raises an error at once if there is no study
    own = study.final.best if study.final is not None else ()
    for family in asked.best:
        if family not in own:  # a family of the study may have no complete trial, which is told
            find_row(board, f"{BEST}:{family}", argument("--best", "best"))
    console = console or stderr_console()
    with (
        one_run(study.study),
        report_lost_store(folder, study.storage),
        hold_study(folder, study.study, study.storage),
        logs_to(layout.driver_log(folder)) as log,
        native_stderr_to(log),
    ):
        return judge_study(study, folder, asked, console)


def _refuse_without_holdout(study: Study) -> None:
    if study.folds.holdout == 0:
        rule = "must be at least 1 for a final judgement, but got 0: the search used all data"
        hint = "start a new study under another name with `holdout: 1`"
        raise study.refusal([Problem("folds.holdout", rule, hint)])


def judge_study(
    study: Study, folder: Path, asked: FinalJudgement, console: Console, address: str | None = None
) -> Final:
    """Judge a study whose lock this process holds; see `run_final`, and `ray_session` for `address`."""
    from tuner.preparation.prepare import prepare_final  # noqa: PLC0415  # torch

    changes_of_metrics(study, folder)  # values of one name come from one way of measuring
    prepared = prepare_final(study, console.print)
    store = open_prepared(prepared, folder)
    board = load_leaderboard(folder)
    winner = preferred(board, folder, study.metrics.prefer)
    chosen = choose(board, asked, study.search.seed, winner)
    records = {row.record.number: row.record for row in board.rows}
    looks = HoldoutLooks(store.study, folder)
    look = looks.begin(chosen)
    begun = begun_lines(look, chosen)
    for line in [
        *_missing_lines(board, asked),
        *_unfinished_lines(board),
        *begun,
        *look_lines(look.number, look.before),
    ]:
        console.print(line)
    fits = _fits(prepared, look, records, looks, say=console.print, address=address)
    final = _judge(prepared, look, board, fits, winner)
    looks.write_final(final)
    return final


def _missing_lines(board: Leaderboard, asked: FinalJudgement) -> list[str]:
    missing = [family for family in asked.best if board.best_of(family) is None]
    return [
        f"final: no trial of the family {family} can be judged: none is complete within all constraints"
        for family in missing
    ]


def _unfinished_lines(board: Leaderboard) -> list[str]:
    unfinished = sum(not row.status.has_ended for row in board.rows)
    return [f"final: {unfinished} trials have not ended and are left out"] if unfinished else []


def begun_lines(look: HoldoutLook, chosen: Sequence[Chosen]) -> list[str]:
    """Tell a user who asks for fewer fits than the look has that it stays as it was begun."""
    n_begun, n_asked = (sum(len(one.seeds) for one in rows) for rows in (look.chosen, chosen))
    if n_begun == n_asked:
        return []
    return [
        f"final: the look of {look.made} was begun with {len(look.chosen)} trials and {n_begun} fits, and "
        f"stays so; {n_asked} of the fits were asked for"
    ]


def choose(
    board: Leaderboard, asked: FinalJudgement, seed: int, winner: Preferred | None = None
) -> list[Chosen]:
    """Return the trials to judge: the best by validation, winner, the families asked for, all baselines.

    Parameters
    ----------
    board
        Leaderboard by validation.
    asked
        How many trials, how many seeds for each, and the families of which the best trial is judged.
    seed
        Seed of the study.
    winner
        The searched trial that the study takes.

    Raises
    ------
    StoreError
        If no trial is complete.
    """
    complete = [row for row in board.rows if row.record.summary is not None and row.record.excluded is None]
    best = [row.record for row in complete if row.record.name is None and not row.breaks][: asked.top]
    best += [row.record for row in map(board.best_of, asked.best) if row is not None]
    best += [winner.row.record] if winner is not None else []
    baselines = [row.record for row in complete if row.record.name is not None]
    if not complete:
        cure = hint(command="`tuner run` continues the search", python="run(study) continues the search")
        raise StoreError(
            board.study, [Problem("", "must have a complete trial to judge, but has none", cure)]
        )
    judged = {record.number: record for record in [*best, *baselines]}
    return [_chosen(record, asked.seeds, seed) for record in judged.values()]


def _chosen(record: TrialRecord, n_seeds: int, seed: int) -> Chosen:
    assert record.summary is not None, "only complete trials are chosen"
    # Folds of the search are numbered from 0. The fits on the holdout take negative numbers.
    seeds = tuple(fold_seed(seed, record.params, -1 - index) for index in range(n_seeds))
    return Chosen(record.number, record.summary.epoch, seeds)


def _fits(
    prepared: Prepared,
    look: HoldoutLook,
    records: Mapping[int, TrialRecord],
    looks: HoldoutLooks,
    *,
    say: Callable[[str], None],
    address: str | None,
) -> dict[tuple[int, int], Fit]:
    """Return the fits by trial and seed. Missing fits are made; fits that fail are left out."""
    n_users = len(prepared.folds[0].users)
    jobs: list[Job] = []
    fits: dict[tuple[int, int], Fit] = {}
    for index in range(
        max(len(one.seeds) for one in look.chosen)
    ):  # all trials with their first seed come first
        for one in look.chosen:
            seed = one.seeds[index]
            fit = looks.read_fit(one.number, seed, n_users)
            if fit is None:
                jobs.append(_job(one, seed, records[one.number]))
            else:
                fits[one.number, seed] = fit
    if jobs:
        known = f", {len(fits)} more are stored already" if fits else ""
        say(f"final: {len(look.chosen)} trials, {len(jobs)} fits{known}")
        fits |= _made(prepared, jobs, looks, say, address)
    return fits


def _made(
    prepared: Prepared,
    jobs: Sequence[Job],
    looks: HoldoutLooks,
    say: Callable[[str], None],
    address: str | None,
) -> dict[tuple[int, int], Fit]:
    """Make the fits of jobs and return them by trial and seed. Each fit is stored as soon as it is made."""
    from tuner.execution.holdout_fits import refit_all  # noqa: PLC0415  # torch
    from tuner.workflows.gpu_share import with_gpu_share  # noqa: PLC0415  # torch

    prepared = with_gpu_share(prepared, say)
    study, objective = prepared.study, prepared.plan.objective
    made: dict[tuple[int, int], Fit] = {}
    places = iter(range(1, len(jobs) + 1))

    def report(ended: Ended) -> None:
        job, fit = ended.job, ended.fit
        at = f"final: {next(places)} of {len(jobs)}, trial {job.number} {job.label}"
        if fit is None:
            assert ended.failure is not None, "without a fit there is a failure"
            say(f"{at} failed: {ended.failure.cause} ({layout.holdout_fit_log(job.number, job.seeds[0])})")
            return
        looks.write_fit(job.number, job.seeds[0], fit)
        made[job.number, job.seeds[0]] = fit
        say(f"{at}: {objective} {number(fit.evaluation.metrics[objective])} in {duration(ended.seconds)}")

    share = trial_share(study.resources)
    with ray_session(prepared, address) as capacity, ended_by_signals():
        slots = capacity.slots(share)
        refit_all(
            jobs,
            prepared.folds[0],
            prepared.plan,
            looks.folder,
            share=share,
            slots=slots,
            timeout=study.training.timeout,
            report=report,
        )
    return made


def _job(chosen: Chosen, seed: int, record: TrialRecord) -> Job:
    from tuner.models.build import refit_params  # noqa: PLC0415  # torch

    params = refit_params(record.params, chosen.epoch) if chosen.epoch else dict(record.params)
    return Job(record.number, params, (seed,), record.label)


def _judge(
    prepared: Prepared,
    look: HoldoutLook,
    board: Leaderboard,
    fits: Mapping[tuple[int, int], Fit],
    winner: Preferred | None,
) -> Final:
    from tuner.data.segments import groupings_of  # noqa: PLC0415  # rectools
    from tuner.holdout.judge import Fitted, judge  # noqa: PLC0415  # scipy

    records = {row.record.number: row.record for row in board.rows}
    places = {number: place for place, number in enumerate(records)}
    fitted = []
    for one in sorted(look.chosen, key=lambda one: places[one.number]):
        made = {seed: fits[one.number, seed] for seed in one.seeds if (one.number, seed) in fits}
        record = records[one.number]
        if not made or record.excluded is not None:  # it may have been excluded since the look began
            continue
        assert record.summary is not None, "only complete trials are chosen"
        labels = set.intersection(*(set(fit.by_user) for fit in made.values()))
        fitted.append(
            Fitted(
                number=one.number,
                name=record.name,
                label=record.label,
                epoch=one.epoch,
                seeds=tuple(made),
                validation=record.summary.mean,
                by_seed=tuple(fit.evaluation.metrics for fit in made.values()),
                by_user={label: np.stack([fit.by_user[label] for fit in made.values()]) for label in labels},
            )
        )
    if not fitted:
        again = hint(command="run the same command again", python="call it again")
        cure = f"their logs give the reasons; correct the cause and {again}"
        raise SearchError("all fits of the final judgement failed", hint=cure)
    return judge(
        fitted,
        objective=prepared.plan.objective,
        direction=prepared.plan.direction,
        look=look.number,
        made=look.made,
        by=look.by,
        before=look.before,
        facts=prepared.folds[0].facts,
        winner=winner.row.record.number if winner else None,
        note=winner.note if winner else "",
        groupings=groupings_of(prepared.folds[0]),
    )
