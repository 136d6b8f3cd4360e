"""Requests: any process writes them, on every storage; the driver carries each out once."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import optuna
import pytest

from tests.store.test_contract import FEW, Place, ask
from tests.store.test_study_store import N_FOLDS, POINT, SPACE, finish, report_all
from tuner.config import Sampler
from tuner.reporting.leaderboard import load_leaderboard
from tuner.sampling.excluding import ExcludingSampler
from tuner.store import read_records
from tuner.store.dashboard_commands import commands_in
from tuner.store.requests import write_exclusion, write_request
from tuner.trials.requests import Exclusion, Request, RequestKind
from tuner.trials.schema import excluded_key, request_key

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

PARAMS = {**SPACE.decode(POINT), "net": ("a", "b")}


def requested(**more: object) -> Request:
    return Request(RequestKind.ADD, PARAMS, by="me on here", **more)


def test_a_request_is_read_as_it_was_written_and_carried_out_once(place: Place) -> None:
    store = place.opened()
    asked = ask(store)
    request = requested()
    write_request(place.folder, request)
    write_request(place.folder, request)  # the same request, written again

    assert store.requests.read() == [request]
    assert store.requests.queue(request, finish(PARAMS), POINT) == "queued as trial 1"
    # The driver is killed here, before it answers.
    again = place.opened()
    assert again.requests.read() == [request]
    assert again.requests.queue(request, finish(PARAMS), POINT) == "queued as trial 1"
    again.requests.answer(request, "queued as trial 1")
    assert again.requests.read() == store.requests.read() == []

    (begun,) = [ask(again)]
    assert (begun.number, begun.params, begun.name, begun.queued) == (1, finish(PARAMS), None, True)
    assert begun.seeds != asked.seeds
    records = read_records(place.folder).records
    assert [record.request for record in records] == [None, request.id]
    assert again.n_searched() == 1, "it does not count as one of the sampler's trials"
    assert again.study.trials[1].params == POINT, "the sampler learns from it"


def test_params_that_a_trial_has_are_not_queued_unless_that_trial_is_excluded(place: Place) -> None:
    store = place.opened()
    asked = ask(store)
    twin = Request(RequestKind.ADD, asked.params)
    assert store.requests.queue(twin, asked.params, None) == "refused: trial 0 has the same params"
    write_exclusion(place.folder, 0, Exclusion("bad data"))
    store.requests.read()
    assert store.requests.queue(twin, asked.params, None) == "queued as trial 1"


def test_an_excluded_trial_is_kept_and_marked_and_ranks_no_more(place: Place) -> None:
    store = place.opened(facts={"objective": "NDCG@10"})
    for number in range(2):
        store.complete(ask(store).number, report_all(store, number), seconds=1, log="")
    assert load_leaderboard(place.folder).best.record.number == 1
    exclusion = Exclusion("it saw the holdout", "me", "2026-01-01T00:00:00.000+00:00")
    write_exclusion(place.folder, 1, exclusion)

    board = load_leaderboard(place.folder)
    assert [(row.record.number, row.rank) for row in board.rows] == [(0, 1), (1, None)]
    assert board.rows[1].record.excluded == exclusion
    store.requests.read()
    assert store.records() == read_records(place.folder).records


@pytest.mark.parametrize("use", ["tpe", "random", "gp", "nsga2"])
def test_a_sampler_does_not_learn_from_an_excluded_trial(tmp_path: Path, use: str) -> None:
    """It suggests the same as in a study in which that trial has failed."""

    def suggestions(folder: Path, *, excludes: bool) -> list[object]:
        from tests.store.test_contract import made

        options = {"n_startup_trials": 3} if use in {"tpe", "gp"} else {}
        place = made(folder, None)
        store = place.opened(sampler=Sampler(use=use, options=options))
        for number in range(6):
            asked = ask(store)
            if number == 2 and not excludes:
                from tuner.trials.outcomes import Failure

                store.fail(asked.number, failure=Failure("it", "E"), seconds=1, log="")
            else:
                store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
            if number == 2 and excludes:
                write_exclusion(place.folder, 2, Exclusion("a test"))
                store.requests.read()
                assert isinstance(store.study.sampler, ExcludingSampler)
        return [trial.params for trial in store.study.trials]

    assert suggestions(tmp_path / "a", excludes=True) == suggestions(tmp_path / "b", excludes=False)


def test_a_duplicate_of_an_excluded_trial_brings_no_result(place: Place) -> None:
    store = place.opened(sampler=Sampler(use="random"))
    asked = store.ask(FEW, N_FOLDS, finish)
    store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
    write_exclusion(place.folder, asked.number, Exclusion("a test"))
    store.requests.read()
    while store.ask(FEW, N_FOLDS, finish) is not None:
        pass
    repeats = [t for t in store.study.trials if t.user_attrs.get("repeats") == asked.number]
    assert repeats
    assert {trial.value for trial in repeats} == {None}


def _write_many(folder: Path, n: int) -> None:
    for _ in range(n):
        write_request(folder, Request(RequestKind.STOP, trial=0))


def test_nothing_is_lost_or_torn_while_several_processes_write(place: Place) -> None:
    """The driver writes evaluations while two other processes write requests."""
    store = place.opened()
    asked = ask(store)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_write_many, args=(place.folder, 20)) for _ in range(2)]
    for process in others:
        process.start()
    n_rounds = 0
    while any(process.is_alive() for process in others) or not n_rounds:
        report_all(store, asked.number)
        n_rounds += 1
    for process in others:
        process.join()
        assert process.exitcode == 0
    assert len(store.requests.read()) == 40
    assert place.opened().requests.read() == store.requests.read()
    assert len(read_records(place.folder).records[0].evaluations) == 6


def test_a_half_written_record_does_not_swallow_a_request(tmp_path: Path) -> None:
    """A driver that was killed while it wrote has left half a line."""
    from tests.store.test_contract import made

    place = made(tmp_path / "shop", None)
    ask(place.opened())
    journal = place.folder / "journal.log"
    with journal.open("a") as file:
        file.write('{"op_code":8,"worker')
    request = requested()
    write_request(place.folder, request)
    assert place.opened().requests.read() == [request]
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_request_survives_a_change_of_the_space(place: Place) -> None:
    from tuner.space import Int, Space
    from tuner.store.space_migration import SPACE_FACT, Growth

    store = place.opened(facts={f"{SPACE_FACT}n_blocks": "old"})
    ask(store)
    request = requested()
    write_request(place.folder, request)
    write_exclusion(place.folder, 0, Exclusion("a test"))
    space = Space({"cls": "SASRecModel", "n_blocks": Int(1, 9)})
    grow = Growth(place.folder, place.storage, space, lambda _: None, lambda _: None)
    grown = place.opened(facts={f"{SPACE_FACT}n_blocks": "new"}, grow=grow)
    assert grown.requests.read() == [request]
    assert set(grown.requests.excluded) == {0}


# ####  --------------  Notes of optuna-dashboard  --------------  #### #


def test_commands_in_notes_are_requests_with_ids_of_their_own() -> None:
    notes = {
        "dashboard:note_str:0": 'look here\n/add {"cls": "SASRecModel", "n_factors": 8}\n/add {"cls": "SAS',
        "dashboard:7:note_str:0": "diverges\n/st",
        "dashboard:7:note_str:1": "op\n",
        "dashboard:9:note_str:0": "/exclude it saw  the holdout\n/exclude\n/stop it\nnot /stop",
        "dashboard:11:note_str:0": "/stop",
        "dashboard:7:note_ver": 3,
        "other": "/stop",
    }
    found = dict(commands_in(notes, {7: 3, 9: 5}))
    assert dict(commands_in(notes, {7: 3, 9: 5})).keys() == found.keys(), "the same each time"
    exclusion = found.pop(excluded_key(5))
    assert (exclusion["why"], exclusion["by"]) == ("it saw  the holdout", "optuna-dashboard")
    requests = [Request.from_plain(key.removeprefix(request_key("")), one) for key, one in found.items()]
    assert [(r.kind, r.params, r.trial) for r in requests] == [
        (RequestKind.ADD, {"cls": "SASRecModel", "n_factors": 8}, None),
        (RequestKind.STOP, {}, 3),
        (RequestKind.STOP, {}, 5),
    ]


def test_a_driver_takes_commands_from_notes_once(place: Place) -> None:
    optuna_dashboard = pytest.importorskip("optuna_dashboard")
    store = place.opened()
    ask(store)
    trial = optuna.trial.Trial(store.study, store.study.trials[0]._trial_id)
    optuna_dashboard.save_note(trial, "/stop")  # as the page saves it
    optuna_dashboard.save_note(store.study, '/add {"cls": "SASRecModel"}')
    found = {request.kind: request for request in store.requests.read()}
    assert found[RequestKind.STOP].trial == 0
    assert found[RequestKind.ADD].params == {"cls": "SASRecModel"}
    for request in found.values():
        store.requests.answer(request, "done")
    assert store.requests.read() == place.opened().requests.read() == []
