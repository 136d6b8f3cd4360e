"""Folds by a splitter of the user's own: those that it yields, the last ones as holdout; clear errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Data, Folds, Study
from tuner.config.snapshot import snapshot
from tuner.data.folds import before_holdout, development_dataset, holdout_fold, search_folds
from tuner.data.plausible import holdout_text
from tuner.data.reading import deduplicated
from tuner.data.source import Source
from tuner.errors import DataError, StudyError

pytestmark = pytest.mark.filterwarnings("ignore")

SPLITTERS = '''
import numpy as np
import pandas as pd
from rectools.model_selection import Splitter


class Months(Splitter):
    """A fold for each of some days: everything before, and the `width` days from it."""

    def __init__(self, days, width=7, filter_already_seen=True):
        super().__init__(filter_already_seen=filter_already_seen)
        self.days, self.width = days, width

    def _split_without_filter(self, interactions, collect_fold_stats=False):
        times = interactions.df["datetime"]
        for day in map(pd.Timestamp, self.days):
            end = day + pd.Timedelta(days=self.width)
            train, test = times < day, (times >= day) & (times < end)
            yield np.flatnonzero(train), np.flatnonzero(test), {"start": day, "end": end}


class Odd(Splitter):
    def __init__(self, how, n_splits):
        super().__init__()
        self.how, self.n_splits = how, n_splits

    def _split_without_filter(self, interactions, collect_fold_stats=False):
        rows = np.arange(len(interactions.df))
        if self.how == "fails":
            raise RuntimeError("no\\nluck")
        for fold in range(self.n_splits - (self.how == "few")):
            train, test = rows[: 100 * (fold + 1)], rows[100 * (fold + 1) : 100 * (fold + 2)]
            if self.how == "newest first":
                train, test = rows[: 500 - 100 * fold], rows[500 - 100 * fold : 600 - 100 * fold]
            if self.how == "empty":
                test = test[:0]
            if self.how == "twice":
                test = rows[90:110]
            if self.how == "empty list":
                test = []
            if self.how == "masks":
                test = np.isin(rows, test)
            if self.how == "outside":
                test = np.array([10**9])
            yield train, test, {}


class Lazy(Splitter):
    pass


def function():
    pass
'''
DAYS = ["2024-04-05", "2024-04-12", "2024-04-19"]


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("splitters")
    (folder / "own_months.py").write_text(SPLITTERS, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    del sys.modules["own_months"]


def section(**changes: Any) -> Folds:
    given = {"splitter": "own_months.Months", "days": DAYS, "n_folds": 2, **changes}
    return Folds.model_validate({key: value for key, value in given.items() if value is not None})


def source_of(interactions: pd.DataFrame, policy: str = "keep") -> Source:
    raw = interactions if policy in {"keep_first", "keep_last"} else None
    return Source(deduplicated(interactions, policy), None, "", 0, 0, raw)


def test_keys_that_the_section_does_not_have_are_arguments() -> None:
    folds = section(width=3, size=5, seed=1)
    assert folds.splitter is not None
    assert folds.splitter.options == {"days": DAYS, "width": 3, "size": 5, "seed": 1}
    assert Folds.model_validate(folds.model_dump(mode="json")) == folds
    assert holdout_text(folds) == "the last fold of own_months.Months"


@pytest.mark.parametrize("policy", ["keep", "drop_exact", "keep_first", "keep_last"])
@pytest.mark.parametrize("minimum", [1, 8])
def test_folds_are_those_of_the_splitter(policy: str, minimum: int, interactions: pd.DataFrame) -> None:
    """Each policy counts for the rows before the holdout by themselves, as with RecTools' splitters."""
    data = Data(interactions="x.csv", duplicates=policy, min_user_interactions=minimum)
    folds, source = section(), source_of(interactions, policy)
    development = development_dataset(source, data, folds).get_raw_interactions()
    assert development[Columns.Datetime].max() < pd.Timestamp(DAYS[2])
    for fold, day in zip(search_folds(source, data, folds), map(pd.Timestamp, DAYS), strict=False):
        assert_frame_equal(
            fold.seen.reset_index(drop=True),
            development[development[Columns.Datetime] < day].reset_index(drop=True),
        )
        times = fold.test[Columns.Datetime]
        assert (times.min(), times.max() < day + pd.Timedelta("7D")) >= (day, True)
        assert set(fold.test[Columns.User]) <= set(fold.seen[Columns.User])
    judged = holdout_fold(source, data, folds)
    assert_frame_equal(judged.seen, development)
    assert judged.test[Columns.Datetime].between(DAYS[2], "2024-04-26", inclusive="left").all()


def test_without_a_holdout_folds_are_those_of_cross_validate(interactions: pd.DataFrame) -> None:
    import own_months

    folds = section(n_folds=3, holdout=0, filter_viewed=False)
    dataset = Dataset.construct(interactions)
    expected = own_months.Months(DAYS, filter_already_seen=False).split(dataset.interactions)
    found = search_folds(source_of(interactions), Data(interactions="x.csv"), folds)
    for fold, (train, test, _) in zip(found, expected, strict=True):
        assert_frame_equal(fold.seen, dataset.filter_interactions(train).get_raw_interactions())
        assert fold.test[Columns.Datetime].tolist() == interactions[Columns.Datetime].iloc[test].tolist()
    assert len(before_holdout(interactions, folds)) == len(interactions)


@pytest.mark.parametrize(
    ("changes", "where", "rule", "hint"),
    [
        (
            {"days": None},
            "folds.days",
            "must be given to own_months.Months, but is missing",
            "add `days: ...`",
        ),
        (
            {"widht": 3},
            "folds.widht",
            "must be a key of the section or an argument of own_months.Months, but is neither",
            "did you mean 'width'?",
        ),
        (
            {"n_folds": 1},
            "folds.n_folds",
            "must yield n_folds + holdout = 2 folds, but Months yields 3",
            "set `n_folds: 2`",
        ),
        (
            {"splitter": "own_month.Months"},
            "folds.splitter",
            "must be importable, but 'own_month.Months' is not (ModuleNotFoundError: No module named 'own_",
            "next to the study file",
        ),
        (
            {"splitter": "own_months.function"},
            "folds.splitter",
            "must be a subclass of RecTools' Splitter",
            "inherit",
        ),
        (
            {"splitter": "own_months.Lazy"},
            "folds.splitter",
            "must define _split_without_filter",
            "let it yield",
        ),
        (
            {"days": "soon"},
            "folds.splitter",
            "must split the interactions without an error, but Months raises",
            None,
        ),
        *(
            ({"splitter": "own_months.Odd", "days": None, "how": how}, where, rule, hint)
            for how, where, rule, hint in [
                ("fails", "folds.splitter", "but Odd raises RuntimeError: no luck", None),
                ("few", "folds.n_folds", "= 3 folds, but Odd yields 2", "set `n_folds: 1`"),
                ("empty", "folds, fold 1", "but Odd yields no test rows", None),
                ("twice", "folds, fold 1", "must have each row once, in train or in test", "a row in both"),
                ("empty list", "folds, fold 1", "but Odd yields no test rows", None),
                ("masks", "folds, fold 1", "numbers of rows, as integers, but Odd yields", "np.flatnonzero"),
                ("outside", "folds, fold 1", "must have rows from 0 to", "not labels of its index"),
                (
                    "newest first",
                    "folds, fold 1",
                    "must have rows that the holdout is trained on",
                    "oldest fold",
                ),
            ]
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    changes: dict[str, Any], where: str, rule: str, hint: str | None, interactions: pd.DataFrame
) -> None:
    with pytest.raises(DataError) as raised:
        search_folds(source_of(interactions), Data(interactions="x.csv"), section(**changes))
    problem = raised.value.problems[0]
    assert problem.where == where
    assert rule in problem.rule
    assert "\n" not in problem.rule
    assert (hint or "") in (problem.hint or "")


def test_a_study_names_its_splitter_beside_other_keys(tmp_path: Path) -> None:
    text = (
        "study: own\ndata: {interactions: x.csv}\n"
        "folds: {splitter: own_months.Months, days: [2024-04-05], n_folds: 1, holdout: 0}\n"
        "metrics: {objective: NDCG@5, direction: maximize}\nspace: {set: {cls: EASEModel}}\n"
    )
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    study = Study.load(tmp_path / "s.yaml")
    (tmp_path / "again.yaml").write_text(snapshot(study), encoding="utf-8")
    assert Study.load(tmp_path / "again.yaml").folds == study.folds
    (tmp_path / "s.yaml").write_text(text.replace("n_folds", "split: last_n, n_folds"), encoding="utf-8")
    with pytest.raises(StudyError, match="must not be given beside a splitter, but got 'last_n'"):
        Study.load(tmp_path / "s.yaml")


def test_rows_of_the_data_are_enough(interactions: pd.DataFrame) -> None:
    assert len(interactions) > 700
    assert np.isin(DAYS, interactions[Columns.Datetime].dt.strftime("%Y-%m-%d")).all()
