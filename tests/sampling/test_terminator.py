"""Optuna's terminator on trials of ours: where it ends a search, where not, and what it looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner.config import Sampler, Search, study_from_mapping
from tuner.errors import StudyError
from tuner.search.budgets import Budget
from tuner.space import Float, Space
from tuner.store import StudyStore, open_store
from tuner.trials.objective import summarise
from tuner.trials.records import Evaluation

OBJECTIVE = "NDCG@10"
SPACE = Space({"cls": "SASRecModel", "dropout_rate": Float(0, 0.5)})


def filled(folder: Path, *, n_trials: int, noise: float, slope: float = 0.0) -> StudyStore:
    """Make a study whose objective is flat but for a slope, with noise between two folds."""
    store = open_store(
        folder,
        name="shop",
        direction="maximize",
        sampler=Sampler(use="random"),
        seed=1,
        facts={"objective": OBJECTIVE},
    )
    rng = np.random.default_rng(3)
    for _ in range(n_trials):
        asked = store.ask(SPACE, 2, dict)
        assert asked is not None
        level = 0.1 + slope * float(str(asked.params["dropout_rate"])) + 1e-6 * rng.standard_normal()
        values = (level + noise, level - noise)
        made = [Evaluation(fold, 1, {OBJECTIVE: value}) for fold, value in enumerate(values)]
        for one in made:
            store.report(asked.number, one, OBJECTIVE, 1)
        store.complete(asked.number, summarise(made, OBJECTIVE, "maximize"), seconds=1, log="")
    return store


def test_where_folds_differ_by_more_than_trials_it_ends(tmp_path: Path) -> None:
    assert filled(tmp_path, n_trials=12, noise=0.01).is_settled()


def test_a_search_continues_if_trials_differ_by_more_than_folds(tmp_path: Path) -> None:
    assert not filled(tmp_path, n_trials=12, noise=1e-6, slope=0.2).is_settled()


def test_a_search_continues_without_trials_of_the_sampler(tmp_path: Path) -> None:
    store = filled(tmp_path, n_trials=0, noise=0.01)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    asked = store.ask(SPACE, 2, dict)
    assert asked is not None
    made = [Evaluation(fold, 0, {OBJECTIVE: 0.1}) for fold in range(2)]
    store.complete(asked.number, summarise(made, OBJECTIVE, "maximize"), seconds=1, log="")
    assert not store.is_settled()


def test_it_is_asked_from_so_many_complete_trials_on_and_once_for_each() -> None:
    asked: list[int] = []

    def settled() -> bool:
        asked.append(1)
        return len(asked) == 2

    search = Search(trials=9, terminator=2)
    budget = Budget(search, objective=OBJECTIVE, direction="maximize", settled=settled)
    budget.ended(0, 0.1, baseline=False)
    budget.ended(1, None, baseline=False)
    assert budget.no_more(2) is None
    assert not asked, "one trial is complete, the other was stopped"
    budget.ended(2, 0.1, baseline=False)
    assert budget.no_more(3) is None
    assert budget.no_more(3) is None
    assert len(asked) == 1
    budget.ended(3, 0.1, baseline=False)
    end = budget.no_more(4)
    assert end is not None
    assert str(end).startswith("after 3 complete trials further ones can gain only the noise of the folds")


@pytest.mark.parametrize(
    ("folds", "metrics", "rule"),
    [
        ({"n_folds": 1}, {}, "needs at least 2 folds"),
        ({"n_folds": 2}, {"further_objectives": {"parameters": "minimize"}}, "needs a single objective"),
    ],
)
def test_what_it_cannot_judge_is_refused(folds: dict, metrics: dict, rule: str) -> None:
    plain = {
        "study": "shop",
        "data": {"interactions": "clicks.csv"},
        "folds": {"split": "last_n", "size": 1, **folds},
        "metrics": {"objective": OBJECTIVE, "direction": "maximize", **metrics},
        "space": "search_spaces.guide",
        "search": {"terminator": 20},
    }
    with pytest.raises(StudyError, match=rule):
        study_from_mapping(plain)
