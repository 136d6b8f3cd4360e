"""Earlier studies: what a study takes from them, as results or as hints, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.store.test_contract import Place
from tests.store.test_study_store import FACTS, N_FOLDS, finish, opened
from tuner.config import Sampler, Study, study_from_mapping
from tuner.errors import StudyError
from tuner.preparation.warm_start import HINTS, Earlier, read_earlier, warm_start
from tuner.reporting.leaderboard import load_leaderboard
from tuner.space import Float, Int, Space, Value
from tuner.store import Asked, StudyStore, read_records
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Failure
from tuner.trials.records import Evaluation
from tuner.trials.schema import HINT, WARM

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore::FutureWarning", "ignore::UserWarning"
)

SPACE = Space({"cls": "SASRecModel", "n_blocks": Int(1, 3), "lr": Float(1e-3, 1e-1, log=True)})
#: Has `dropout_rate`, 0.2 by default, and fewer blocks.
OTHER = Space({**SPACE.domains, "n_blocks": Int(1, 2), "dropout_rate": Float(0.1, 0.5)})
HERE: dict[str, object] = {**FACTS, "objective": "NDCG@10", "direction": "maximize", "seed": 5}
N_EARLIER = 8


def facts_of(space: Space, **changes: object) -> dict[str, object]:
    return {**HERE, **{f"space {p.name}": repr(p.domain) for p in space.parameters}, **changes}


def ask(store: StudyStore, space: Space) -> Asked:
    asked = store.ask(space, N_FOLDS, finish)
    assert asked is not None
    return asked


def complete(store: StudyStore, number: int, value: float) -> None:
    evaluations = [Evaluation(fold, 3, {"NDCG@10": value}) for fold in range(N_FOLDS)]
    store.complete(number, summarise(evaluations, "NDCG@10", "maximize"), seconds=1, log="")


def value_of(params: dict[str, Value]) -> float:
    return float(str(params["lr"]))


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A study with eight complete trials, whose value is their rate, and one of each other end."""
    return run_earlier(Place(tmp_path / "earlier", None))


def run_earlier(place: Place, **changes: Any) -> Path:
    store = place.opened(**{"name": place.folder.name, "facts": facts_of(SPACE), "seed": 7, **changes})
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    complete(store, ask(store, SPACE).number, 0.99)
    for _ in range(N_EARLIER):
        asked = ask(store, SPACE)
        complete(store, asked.number, value_of(asked.params))
    failed, _running = ask(store, SPACE), ask(store, SPACE)
    store.fail(failed.number, failure=Failure("no", "ValueError"), seconds=1, log="")
    return place.folder


def study_of(*folders: Path, **metrics: Any) -> Study:
    objective = {"objective": "NDCG@10", "direction": "maximize", "report": [], **metrics}
    return study_from_mapping(
        {
            "study": "now",
            "data": {"interactions": "clicks.csv"},
            "folds": {"split": "last_n", "size": 1, "n_folds": N_FOLDS},
            "metrics": objective,
            "space": {"set": {"cls": "SASRecModel"}},
            "search": {"warm_start": [str(folder) for folder in folders]},
            "training": {"epochs": 3},
        }
    )


def read(folder: Path, space: Space, **facts: object) -> Earlier:
    (found,) = read_earlier(study_of(folder), space, facts_of(space, **facts))
    return found


def lr_of(record: Any) -> float:
    return float(record.params["lr"])


def complete_of(folder: Path) -> list[Any]:
    records = [r for r in read_records(folder).records if r.status == "complete" and r.name is None]
    return sorted(records, key=lr_of, reverse=True)


# ####  --------------  Results  --------------  #### #


def test_results_measured_alike_are_reported_and_are_no_trials(earlier: Path, place: Place) -> None:
    store = place.opened(facts=facts_of(SPACE))
    said = warm_start(store, read(earlier, SPACE), SPACE, 10)

    assert said == "warm start from earlier: the sampler received 8 results; 1 outside this space"
    warm = store.study.trials
    assert {t.state for t in warm} == {TrialState.COMPLETE}
    assert [t.value for t in warm] == [lr_of(record) for record in complete_of(earlier)]
    assert [t.user_attrs[WARM]["trial"] for t in warm] == [r.number for r in complete_of(earlier)]
    assert [SPACE.decode(t.params)["lr"] for t in warm] == [t.value for t in warm]
    assert (store.n_searched(), store.n_waiting(), store.interrupted()) == (0, 0, [])
    assert {record.status for record in read_records(place.folder).records} == {"imported"}
    assert load_leaderboard(place.folder).rows == ()

    asked = ask(store, SPACE)
    complete(store, asked.number, 0.5)
    assert asked.number == N_EARLIER
    assert store.n_searched() == 1
    (row,) = load_leaderboard(place.folder).rows
    assert (row.rank, row.record.number) == (1, N_EARLIER)


def test_the_sampler_learns_from_them(earlier: Path, place: Place) -> None:
    tpe = Sampler(use="tpe", options={"n_startup_trials": N_EARLIER})
    store = place.opened(facts=facts_of(SPACE), sampler=tpe)
    warm_start(store, read(earlier, SPACE), SPACE, 10)
    ask(store, SPACE)
    assert any("relative" in key for key in store.study.trials[-1].system_attrs), "past its random start"


def test_results_are_reported_once_and_new_ones_later(earlier: Path, place: Place) -> None:
    for _ in range(2):
        store = place.opened(facts=facts_of(SPACE))
        warm_start(store, read(earlier, SPACE), SPACE, 10)
        assert len(store.study.trials) == N_EARLIER
    more = opened(earlier, name="earlier", facts=facts_of(SPACE), seed=7)
    complete(more, ask(more, SPACE).number, 0.7)
    warm_start(store, read(earlier, SPACE), SPACE, 10)
    assert [trial.value for trial in store.study.trials][N_EARLIER:] == [0.7]


def test_a_point_of_theirs_may_be_run_here(tmp_path: Path) -> None:
    few = Space({"cls": "SASRecModel", "n_blocks": Int(1, 2)})
    before = opened(tmp_path / "earlier", name="earlier", facts=facts_of(few))
    for value in (0.1, 0.2):
        complete(before, ask(before, few).number, value)
    store = opened(tmp_path / "now", facts=facts_of(few))
    warm_start(store, read(tmp_path / "earlier", few), few, 10)
    assert sorted(ask(store, few).params["n_blocks"] for _ in range(2)) == [1, 2]


def test_what_a_space_has_more_is_at_its_default_and_what_lies_outside_is_left(
    earlier: Path, tmp_path: Path
) -> None:
    store = opened(tmp_path / "now", facts=facts_of(OTHER))
    inside = [record for record in complete_of(earlier) if record.params["n_blocks"] < 3]
    assert 0 < len(inside) < N_EARLIER
    said = warm_start(store, read(earlier, OTHER), OTHER, 10)
    assert said.endswith(f"the sampler received {len(inside)} results; {9 - len(inside)} outside this space")
    assert [trial.params["lr"] for trial in store.study.trials] == [lr_of(record) for record in inside]
    assert {trial.params["dropout_rate"] for trial in store.study.trials} == {0.2}


def test_nothing_in_the_space_is_said(earlier: Path, tmp_path: Path) -> None:
    far = Space({"cls": "BERT4RecModel", "lr": Float(1e-3, 1e-1)})
    store = opened(tmp_path / "now", facts=facts_of(far))
    said = warm_start(store, read(earlier, far), far, 10)
    assert said == "warm start from earlier: none of its 9 complete trials is in this study's space"
    assert store.study.trials == []


def test_another_seed_and_space_measure_alike(earlier: Path) -> None:
    assert read(earlier, OTHER, seed=6).differs == ()


# ####  --------------  Hints  --------------  #### #


def test_the_best_of_another_measurement_run_first(earlier: Path, place: Place) -> None:
    facts = facts_of(SPACE, data="xyz", epochs=5)
    store = place.opened(facts=facts)
    said = warm_start(store, read(earlier, SPACE, data="xyz", epochs=5), SPACE, 10)

    assert said == (
        "warm start from earlier: it measured in another way (data, epochs), so "
        f"its best {HINTS} configurations run first; 1 outside this space"
    )
    best = complete_of(earlier)[:HINTS]
    assert (store.n_waiting(), store.n_searched()) == (HINTS, HINTS)
    asked = [ask(store, SPACE) for _ in range(HINTS + 1)]
    assert [trial.params["lr"] for trial in asked[:HINTS]] == [lr_of(record) for record in best]
    assert [trial.queued for trial in asked] == [True] * HINTS + [False]
    assert {trial.name for trial in asked} == {None}
    assert (store.n_waiting(), store.n_searched()) == (0, HINTS + 1)
    origins = [t.user_attrs[HINT]["trial"] for t in store.study.trials[:HINTS]]
    assert origins == [record.number for record in best]
    assert store.study.trials[0].params == {key: best[0].params[key] for key in ("n_blocks", "lr")}


def test_no_more_hints_run_than_the_budget_has_and_none_twice(earlier: Path, place: Place) -> None:
    facts = facts_of(SPACE, data="xyz")
    for budget, n_hints in ((3, 3), (3, 3), (4, 4), (20, HINTS), (20, HINTS)):
        store = place.opened(facts=facts)
        said = warm_start(store, read(earlier, SPACE, data="xyz"), SPACE, budget)
        assert f"its best {n_hints} configurations" in said
        assert store.n_searched() == n_hints
    points = [trial.system_attrs["fixed_params"]["lr"] for trial in store.study.trials]
    assert points == [lr_of(record) for record in complete_of(earlier)[:HINTS]]


def test_a_hint_that_a_baseline_has_tried_already_is_left_out(earlier: Path, tmp_path: Path) -> None:
    first, second = complete_of(earlier)[:2]
    store = opened(tmp_path / "now", facts=facts_of(SPACE))
    point = {key: first.params[key] for key in ("n_blocks", "lr")}
    store.add_baselines([("mine", dict(first.params), point)])
    warm_start(store, read(earlier, SPACE, data="xyz"), SPACE, 1)
    assert [ask(store, SPACE).params["lr"] for _ in range(2)] == [lr_of(first), lr_of(second)]
    assert store.n_searched() == 1


# ####  --------------  What cannot be used  --------------  #### #


def broken(folder: Path) -> Path:
    folder.mkdir()
    (folder / "journal.log").write_text("not a journal\nat all\n", encoding="utf-8")
    return folder


def unnamed(folder: Path) -> Path:
    folder.mkdir()
    (folder / "study.yaml").write_text("[", encoding="utf-8")
    return folder


def test_every_folder_that_cannot_be_used_is_reported_at_once(earlier: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "nowhere", broken(tmp_path / "broken"), earlier, unnamed(tmp_path / "unnamed")]
    with pytest.raises(StudyError) as raised:
        read_earlier(study_of(*folders), SPACE, facts_of(SPACE))
    first, second, third = raised.value.problems
    assert [p.where for p in raised.value.problems] == [f"search.warm_start[{n}]" for n in (0, 1, 3)]
    assert first.rule == f"{folders[0]} must be the folder of a study, but it has no journal.log"
    assert "must be a journal of Optuna, but line 1 cannot be read" in second.rule
    assert "must contain the study as it was run, but cannot be read" in third.rule
    assert raised.value.exit_code == 2


def test_values_in_the_other_direction_are_refused(earlier: Path) -> None:
    with pytest.raises(StudyError, match="must minimize its objective as this study does, but ") as raised:
        read_earlier(study_of(earlier, direction="minimize"), SPACE, facts_of(SPACE))
    assert [problem.where for problem in raised.value.problems] == ["search.warm_start[0]"]


def test_a_study_is_not_warmed_by_itself(tmp_path: Path) -> None:
    from tuner.workflows.run import run

    with pytest.raises(StudyError, match=r"search\.warm_start\[0\]: must be the folder of another study"):
        run(study_of(tmp_path / "studies" / "now"), tmp_path / "studies")


def test_one_path_or_several_beside_the_study_file_or_from_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside" / "old").mkdir(parents=True)
    plain = study_of().model_dump(mode="json", include={"study", "data", "folds", "space", "training"})
    plain["metrics"] = {"objective": "NDCG@10", "direction": "maximize"}
    for given, found in (
        ("old", (str(tmp_path / "beside" / "old"),)),
        (["old", "elsewhere"], (str(tmp_path / "beside" / "old"), "elsewhere")),
        ([], ()),
    ):
        study = study_from_mapping({**plain, "search": {"warm_start": given}}, folder=tmp_path / "beside")
        assert study.search.warm_start == found
    with pytest.raises(StudyError, match=r"search\.warm_start: must be a list, but got 3"):
        study_from_mapping({**plain, "search": {"warm_start": 3}})
