"""A study whose space has changed: what its trials become, on every storage and through every death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from tests.store.test_contract import Place
from tests.store.test_study_store import BASELINES, FACTS, N_FOLDS, ROOT, evaluations_of, finish, report_all
from tuner.artifacts.layout import JOURNAL
from tuner.config import Sampler
from tuner.errors import SpaceError, StoreError, TrialError
from tuner.space import Choice, Divides, Float, Int, Space, Value
from tuner.store import Asked, StudyStore, read_records
from tuner.store.database import open_database
from tuner.store.journal import open_journal
from tuner.store.space_migration import Growth
from tuner.trials.outcomes import Failure, Stop

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

NEGATIVES = {"n_negatives": Int(1, 99)}
DOMAINS: dict[str, Any] = {
    "cls": Choice("SASRecModel", "BERT4RecModel"),
    "n_blocks": Int(1, 3),
    "lr": Float(1e-3, 1e-1, log=True),
    "loss": Choice({"softmax": {}, "BCE": NEGATIVES, "gBCE": NEGATIVES}),
    "n_factors": 64,
    "mask_prob": Float(0.1, 0.6, when={"cls": "BERT4RecModel"}),
}
SPACE = Space(DOMAINS)
#: A wider range, a fourth loss, a new dimension.
MORE: dict[str, Any] = {
    "n_blocks": Int(1, 6),
    "loss": Choice({"softmax": {}, "sampled_softmax": NEGATIVES, "BCE": NEGATIVES, "gBCE": NEGATIVES}),
    "dropout_rate": Float(0.0, 0.5),
}
GROWN = Space({**DOMAINS, **MORE})
#: What params stand for that a trial does not say.
DEFAULTS: dict[str, Value] = {"n_blocks": 2, "lr": 0.01, "loss": "softmax", "dropout_rate": 0.2, "epochs": 3}


def facts_of(space: Space, **changes: object) -> dict[str, object]:
    return {**FACTS, **{f"space {p.name}": repr(p.domain) for p in space.parameters}, **changes}


def encoded(params: Mapping[str, Value], space: Space) -> dict[str, Value] | None:
    try:
        return space.encode(params, DEFAULTS)
    except SpaceError:
        return None


def opened(place: Place, space: Space, said: list[str] | None = None, **changes: Any) -> StudyStore:
    say = (said if said is not None else []).append
    grow = Growth(place.folder, place.storage, space, lambda params: encoded(params, space), say)
    return place.opened(**{"facts": facts_of(space), "grow": grow, **changes})


def ask(store: StudyStore, space: Space) -> Asked:
    asked = store.ask(space, N_FOLDS, finish)
    assert asked is not None
    return asked


def complete(store: StudyStore, number: int) -> None:
    store.complete(number, report_all(store, number), seconds=1, log="")


#: Params of a baseline that is queued.
LATER: dict[str, Value] = {
    "cls": "SASRecModel",
    "n_blocks": 1,
    "lr": 0.05,
    "loss": "softmax",
    "n_factors": 64,
}


def study_with_trials(place: Place, n_complete: int = 3) -> StudyStore:
    """Leave a study with trials in every state, and one interrupted before its params were written."""
    store = opened(place, SPACE)
    store.add_baselines(BASELINES)
    for number in range(2 + n_complete):
        assert ask(store, SPACE).number == number
        complete(store, number)
    pruned, failed, _running = (ask(store, SPACE).number for _ in range(3))
    store.report(pruned, evaluations_of(0)[0], "NDCG@10", 3)
    store.prune(pruned, stop=Stop("halving", 0, 1, {"value": 0.1}), seconds=1, log="")
    store.fail(failed, failure=Failure("no", "ValueError"), seconds=1, log="")
    store.study.ask().suggest_int("n_blocks", 1, 3)
    store.add_baselines([("later", LATER, SPACE.encode(LATER))])
    return store


def names_of(place: Place) -> list[str]:
    """Return all studies of a storage, or the journals of a folder."""
    if place.storage is None:
        return sorted(path.name for path in place.folder.iterdir() if path.name.startswith("journal"))
    return sorted(optuna.get_all_study_names(open_database(place.storage, place.folder)))


def backup_of(place: Place, number: int) -> list[FrozenTrial]:
    if place.storage is None:
        aside = place.folder / f"aside-{number}"
        aside.mkdir()
        (aside / JOURNAL).write_bytes((place.folder / f"journal.{number}.log").read_bytes())
        return optuna.load_study(study_name="shop", storage=open_journal(aside)).trials
    storage = open_database(place.storage, place.folder)
    return optuna.load_study(study_name=f"shop {number}", storage=storage).trials


def same_but_for_points(before: list[FrozenTrial], after: list[FrozenTrial]) -> None:
    """Check that trials have kept all but what stands for their place in the space."""
    kept = ("number", "state", "values", "datetime_start", "datetime_complete", "user_attrs")
    for old, new in zip(before, after, strict=True):
        assert [getattr(old, name) for name in kept] == [getattr(new, name) for name in kept]
        assert old.intermediate_values == new.intermediate_values


# ####  --------------  Growth  --------------  #### #


def test_all_trials_go_on_in_the_grown_space_and_a_backup_is_kept(place: Place) -> None:
    before = study_with_trials(place)
    old, records = before.study.trials, before.records()

    said: list[str] = []
    after = opened(place, GROWN, said)

    same_but_for_points(old, after.study.trials)
    assert after.records() == read_records(place.folder).records == records
    assert read_records(place.folder).facts == facts_of(GROWN)
    assert [trial.params for trial in backup_of(place, 1)] == [trial.params for trial in old]
    kept = "journal.1.log" if place.storage is None else "study 'shop 1'"
    assert said == [
        "space: n_blocks from 1..3 to 1..6, loss gains sampled_softmax, n_negatives@sampled_softmax is new, "
        f"dropout_rate is new; 10 trials are kept; backup of the study: {kept}"
    ]
    for trial in after.study.trials:
        if trial.params:
            flat = finish(GROWN.decode(trial.params))
            assert trial.user_attrs["params"].items() <= flat.items()
            assert flat["dropout_rate"] == 0.2
            assert trial.distributions == GROWN.distributions(trial.params)
    assert [bool(trial.params) for trial in after.study.trials] == [False] + [True] * 7 + [False] * 2


def test_trials_that_had_not_ended_begin_as_they_would_have(place: Place) -> None:
    study_with_trials(place)
    records = {record.number: record for record in read_records(place.folder).records}
    store = opened(place, GROWN)

    assert store.interrupted() == [7, 8]
    again, never_begun = (store.ask_again(number, GROWN, N_FOLDS, finish) for number in store.interrupted())
    assert (again.params, again.seeds) == (records[7].params, records[7].seeds)
    assert store.attempts(7) == 2
    assert "dropout_rate" in never_begun.params
    later = ask(store, GROWN)
    assert (later.number, later.name) == (9, "later")
    assert store.study.trials[9].params == GROWN.encode({**LATER, "dropout_rate": 0.2})
    for number in (7, 8, 9):
        complete(store, number)
    assert (store.interrupted(), store.n_waiting()) == ([], 0)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2", "cmaes"])
def test_every_sampler_goes_on_in_the_grown_space(sampler: str, tmp_path) -> None:
    place = Place(tmp_path, None)
    store = opened(place, SPACE, sampler=Sampler(use=sampler))
    for _ in range(4):
        complete(store, ask(store, SPACE).number)
    grown = opened(place, GROWN, sampler=Sampler(use=sampler))
    asked = [ask(grown, GROWN) for _ in range(6)]
    assert [trial.number for trial in asked] == list(range(4, 10))
    assert all("dropout_rate" in trial.params for trial in asked)


def test_tpe_learns_from_the_trials_before(place: Place) -> None:
    tpe = Sampler(use="tpe", options={"n_startup_trials": 5})
    store = opened(place, SPACE, sampler=tpe)
    for _ in range(6):
        complete(store, ask(store, SPACE).number)
    grown = opened(place, GROWN, sampler=tpe)
    ask(grown, GROWN)
    (*_, newest) = grown.study.trials
    assert any("relative" in key for key in newest.system_attrs), "it is past its random start"


def test_a_point_of_a_trial_before_is_not_run_again(tmp_path) -> None:
    few, more = ({"cls": "SASRecModel", "n_blocks": Int(1, n)} for n in (2, 4))
    place = Place(tmp_path, None)
    for domains, new in ((few, [1, 2]), (more, [3, 4])):
        store = opened(place, Space(domains))
        ran = []
        while (asked := store.ask(Space(domains), N_FOLDS, finish)) is not None:
            complete(store, asked.number)
            ran.append(asked.params["n_blocks"])
        assert sorted(ran) == new


def test_a_study_grows_again_and_no_backup_is_overwritten(place: Place) -> None:
    store = study_with_trials(place)
    first, records = store.study.trials, store.records()
    second = opened(place, GROWN).study.trials
    third = opened(
        place, Space({**DOMAINS, **MORE, "n_heads": Choice(1, 2, relations=[Divides("n_factors")])})
    )
    same_but_for_points(first, third.study.trials)
    assert len(names_of(place)) == 3
    assert [trial.params for trial in backup_of(place, 1)] == [trial.params for trial in first]
    assert [trial.params for trial in backup_of(place, 2)] == [trial.params for trial in second]
    assert opened(place, GROWN).records() == records


def test_a_study_whose_space_is_the_same_is_left_alone(place: Place) -> None:
    study_with_trials(place)
    said: list[str] = []
    before = names_of(place)
    opened(place, SPACE, said)
    assert (names_of(place), said) == (before, [])


# ####  --------------  What lies outside, and what is refused  --------------  #### #


def test_trials_outside_a_smaller_space_stay_on_record_and_teach_nothing(place: Place) -> None:
    store = study_with_trials(place, n_complete=8)
    before, records = store.study.trials, store.records()
    smaller = SPACE.narrow({"cls": "SASRecModel", "loss": Choice("softmax", "BCE")})
    inside = [encoded(record.params, smaller) for record in records]

    said: list[str] = []
    after = opened(place, smaller, said)

    assert after.records() == records
    left = [one is None for one, trial in zip(inside, before, strict=True) if trial.params]
    assert True in left
    assert False in left
    for trial, point in zip(after.study.trials, inside, strict=True):
        if trial.state != TrialState.WAITING:
            assert trial.params == (point or {})
    n_left = sum(left) - 1  # the last has no params yet, only a dimension
    assert "cls has changed, loss loses gBCE" in said[0]
    assert f"; 15 trials are kept, {n_left} of them are now outside the space; " in said[0]
    for number in after.interrupted():
        asked = after.ask_again(number, smaller, N_FOLDS, finish)
        assert records[number].params in ({}, asked.params)
        complete(after, number)
    grown_back = opened(place, SPACE)
    assert [t.params for t in grown_back.study.trials[1:13]] == [t.params for t in before[1:13]]


def test_a_module_that_can_no_longer_be_imported_puts_its_trials_outside(tmp_path) -> None:
    place = Place(tmp_path, None)
    store = opened(place, SPACE)
    complete(store, ask(store, SPACE).number)

    def point_of(_params: Mapping[str, Value]) -> dict[str, Value]:
        raise TrialError("the model cannot be built: ModuleNotFoundError: mine")

    grow = Growth(place.folder, None, GROWN, point_of, print)
    (trial,) = place.opened(facts=facts_of(GROWN), grow=grow).study.trials
    assert (trial.params, trial.state) == ({}, TrialState.COMPLETE)


@pytest.mark.parametrize("fact", ["data", "folds", "epochs"])
def test_other_data_or_folds_are_refused_also_beside_another_space(fact: str, place: Place) -> None:
    study_with_trials(place)
    before = names_of(place)
    with pytest.raises(StoreError) as raised:
        opened(place, GROWN, facts=facts_of(GROWN, **{fact: "xyz"}))
    assert [problem.where for problem in raised.value.problems] == [
        {"epochs": "training.epochs"}.get(fact, fact)
    ]
    assert names_of(place) == before
    assert read_records(place.folder).facts == facts_of(SPACE)


# ####  --------------  Laws  --------------  #### #


@st.composite
def growths(draw: st.DrawFn) -> Space:
    """Draw a space that has every point of `SPACE`, and more."""
    losses = {"softmax": {}, "BCE": NEGATIVES, "gBCE": {"n_negatives": Int(1, draw(st.integers(99, 500)))}}
    news = dict.fromkeys(draw(st.sets(st.sampled_from(["sampled_softmax", "mine", "other"]))), NEGATIVES)
    order = draw(st.permutations([*losses.items(), *news.items()]))
    domains = {
        **DOMAINS,
        "cls": Choice(*draw(st.permutations(["SASRecModel", "BERT4RecModel", "HSTUModel"]))),
        "n_blocks": Int(1, draw(st.integers(3, 12))),
        "lr": Float(draw(st.floats(1e-6, 1e-3)), draw(st.floats(1e-1, 10)), log=True),
        "loss": Choice(dict(order)),
    }
    new = {
        "dropout_rate": Float(0.0, draw(st.floats(0.2, 0.9))),
        "n_heads": Choice(*draw(st.permutations([1, 2, 4])), relations=[Divides("n_factors")]),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(new))))
    return Space({**domains, **{key: new[key] for key in sorted(chosen)}})


@given(growths(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_growth_changes_no_param_that_a_trial_had(grown: Space, seed: int) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    defaults = {**DEFAULTS, "n_heads": 4}
    grow = Growth(ROOT, None, grown, lambda params: grown.encode(params, defaults), print)
    for _ in range(4):
        trial = study.ask()
        trial.set_user_attr("params", finish(SPACE.suggest(trial)))
        study.tell(trial, 0.5)
    for old in study.trials:
        new = grow._moved(old)
        flat = grown.decode(new.params)
        assert SPACE.decode(old.params).items() <= flat.items()
        assert set(flat) - set(SPACE.decode(old.params)) <= set(defaults)
        assert new.distributions == grown.distributions(new.params)


# ####  --------------  Killed  --------------  #### #

#: For each line of stdin, a fork grows a study. It dies by SIGKILL when it is about to do something the nth
#: time: to a file of its folder, or to its database. The answer is its exit code.
DYING = """
import json, os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from tests.store.test_space_migration import GROWN, Place, opened

folder, storage = Path(sys.argv[1]), sys.argv[2] or None
for line in sys.stdin:
    what, left = json.loads(line)
    if not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()

def about_to(do):
    global left
    left -= do.startswith(what)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def audit(name, arguments):
    if name.startswith(("open", "os.")) and arguments and str(folder) in str(arguments[0]):
        about_to(f"{name} {Path(arguments[0]).name}")

sys.addaudithook(audit)
event.listen(Engine, "before_cursor_execute", lambda _connection, _cursor, statement, *_: about_to(statement))
opened(Place(folder, storage), GROWN)
"""
RENAME = "UPDATE studies SET study_name"
DEATHS = {
    True: [
        ("os.mkdir .growing", 1),
        ("open journal.log", 4),
        ("open journal.log", 20),
        ("open journal.1.log", 1),
        ("os.rename journal.1.log", 1),
        ("os.rename journal.log", 1),
    ],
    False: [
        ("INSERT INTO studies", 1),
        ("INSERT INTO study_user_attributes", 2),
        ("INSERT INTO trials", 1),
        ("INSERT INTO trials", 6),
        ("DELETE", 2),
        (RENAME, 1),
        (RENAME, 2),
    ],
}


@pytest.mark.slow
@pytest.mark.long
def test_growth_that_is_killed_at_any_step_begins_again(place: Place) -> None:
    before = study_with_trials(place).study.trials
    storages = len(names_of(place))
    with subprocess.Popen(
        [sys.executable, "-c", DYING, str(place.folder), place.storage or ""],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as dying:
        assert dying.stdin is not None
        assert dying.stdout is not None
        for what, nth in DEATHS[place.storage is None]:
            print(json.dumps([what, nth]), file=dying.stdin, flush=True)
            assert int(dying.stdout.readline()) == -signal.SIGKILL, (what, nth)
            assert read_records(place.folder).facts == facts_of(SPACE)
            same_but_for_points(before, opened(place, SPACE).study.trials)
        dying.stdin.close()
    after = opened(place, GROWN)
    same_but_for_points(before, after.study.trials)
    assert after.study.trials[7].params["dropout_rate"] == DEFAULTS["dropout_rate"]
    kept = storages + (2 if place.storage is None else 1)  # one journal died between its backup and its end
    assert len(names_of(place)) == kept
    assert [trial.params for trial in backup_of(place, 1)] == [trial.params for trial in before]
