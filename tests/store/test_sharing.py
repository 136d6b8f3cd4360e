"""Drivers that share a study in a database: who lives, whose trials are whose, and one budget for all."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from tests.store.test_contract import Place, ask
from tests.store.test_study_store import BASELINES, N_FOLDS, SPACE, finish, report_all
from tuner.config import Sampler, Search
from tuner.errors import StoreError
from tuner.reporting.leaderboard import load_leaderboard
from tuner.search.budgets import Budget
from tuner.store import hold_study, study_drivers
from tuner.store.locking.drivers import Hold

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def database(place: Place) -> Place:
    if place.storage is None:
        pytest.skip("a journal is written by one driver")
    return place


def held(place: Place, *, shared: bool = True) -> AbstractContextManager[Hold]:
    return hold_study(place.folder, "shop", place.storage, shared=shared)


def test_each_driver_has_its_trials_and_those_of_a_dead_one_are_taken_up_once(database: Place) -> None:
    facts = {"objective": "NDCG@10"}
    with held(database) as one:
        with held(database) as two:
            assert {driver.id for driver in study_drivers(database.folder)} == {one.driver.id, two.driver.id}
            mine = database.opened(facts=facts, hold=one)
            mine.add_baselines(BASELINES)
            others = database.opened(facts=facts, hold=two)
            others.add_baselines(BASELINES)
            with one.turn():
                assert ask(mine).name == "popular"
            with two.turn():
                begun = [ask(others) for _ in range(3)]
            assert [trial.number for trial in begun] == [1, 2, 3]
            others.complete(3, report_all(others, 3), seconds=1, log="")
            news = mine.news({0: [1]})
            assert ([*news.interrupted], news.waiting, news.searched) == ([], 0, 2)
            assert [record.number for record in news.others] == [3]
            assert mine.news({0: [1]}).others == []
            assert others.interrupted() == [1, 2]
            board = load_leaderboard(database.folder)
            assert [row.status for row in board.rows] == ["complete"] + ["running"] * 3
            lines = {f"run by {one.driver.words}: trial 0", f"run by {two.driver.words}: trials 1, 2"}
            assert board.run_by is not None
            assert set(board.run_by.split("\n")) == lines
        assert study_drivers(database.folder) == (one.driver,)
        assert mine.interrupted() == [0, 1, 2]
        states = [row.status for row in load_leaderboard(database.folder).rows]
        assert states == ["complete", "running", "queued", "queued"], "no machine had begun with them"
        assert mine.ask_again(1, SPACE, N_FOLDS, finish) == begun[0]
        with held(database) as three:
            assert database.opened(facts=facts, hold=three).interrupted() == [2]


def test_a_point_that_another_driver_tried_is_not_run_again(database: Place) -> None:
    with held(database) as one, held(database) as two:
        stores = [database.opened(hold=hold, sampler=Sampler(use="random")) for hold in (one, two)]
        seen = []
        for turn in range(12):
            store = stores[turn % 2]
            store.news({})
            seen.append(ask(store))
        points = [repr(sorted(trial.params.items())) for trial in seen]
        assert len(set(points)) == 12


def test_hours_that_others_have_held_count_once(database: Place) -> None:
    from tuner.trials.outcomes import Usage

    with held(database) as one, held(database) as two:
        mine, others = (database.opened(hold=hold) for hold in (one, two))
        ask(mine)
        ask(others)
        mine.note_usage(0, Usage(100, 0))
        others.note_usage(1, Usage(10, 0))
        budget = Budget(Search(cpu_hours=111 / 3600), objective="NDCG@10", direction="maximize")
        budget.renew(mine.news({0: [1]}).records)
        budget.renew(mine.news({0: [1]}).records)
        assert budget.time_is_up(Usage(100, 0)) is None
        others.note_usage(1, Usage(11, 0))
        budget.renew(mine.news({0: [1]}).records)
        assert budget.time_is_up(Usage(100, 0)) is not None


def test_who_shares_and_who_does_not_refuse_each_other(database: Place) -> None:
    with held(database) as hold:
        with pytest.raises(StoreError, match=f"{hold.driver.words} is running") as raised:
            held(database, shared=False).__enter__()
        assert "a study with share=True joins it" in str(raised.value)
    with held(database, shared=False) as hold:
        with pytest.raises(StoreError, match=f"{hold.driver.words} is running") as raised:
            held(database).__enter__()
        assert "it does not share the study" in str(raised.value)


def test_the_space_stays_while_others_run_the_study(database: Place) -> None:
    with held(database) as one, held(database) as two:
        database.opened(facts={"space lr": "0..1"}, hold=one)
        with pytest.raises(StoreError, match=f"must stay as it is while {one.driver.words} runs"):
            database.opened(facts={"space lr": "0..2"}, hold=two, grow=lambda study, _: study)
