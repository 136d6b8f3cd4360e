"""`final`, both kinds of export and `reproduce` fit on the rows and the features that the study says.

Each of them runs as it does for a person, and what its model is given to fit on is noted. The rows are
compared with a table that pandas makes by the words of docs/data.md, and with RecTools' own splitter.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel

from tuner.config import Study
from tuner.data.folds import make_splitter
from tuner.evaluation import evaluate_folds
from tuner.execution.holdout_fits import refit
from tuner.models.build import trial_params
from tuner.preparation.prepare import Prepared, prepare, prepare_final
from tuner.store import read_records
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.workflows.export.make import fit_model
from tuner.workflows.opening import open_prepared, write_snapshot
from tuner.workflows.reproduce import reproduce

pytestmark = pytest.mark.filterwarnings("ignore")

SPLITS: dict[str, dict[str, Any]] = {
    "time_range": {"split": "time_range", "size": "7D"},
    "last_n": {"split": "last_n", "size": 2},
    "random": {"split": "random", "size": 0.2},
}
POLICIES = ("keep", "drop_exact", "keep_first", "keep_last")
PAIR, EVENT = [Columns.User, Columns.Item], [Columns.User, Columns.Item, Columns.Datetime]


@pytest.fixture(scope="module")
def shop(interactions: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a shop in which much is bought again, some of it twice at once; users and items have features."""
    folder = tmp_path_factory.mktemp("shop")
    again = interactions.sample(frac=0.3, random_state=1)
    later = interactions.sample(frac=0.5, random_state=2)
    later = later.assign(datetime=later["datetime"] + pd.Timedelta("9D"))
    whole = pd.concat([interactions, again, later]).sort_values("datetime", kind="stable", ignore_index=True)
    whole.assign(page=whole.index).to_csv(folder / "clicks.csv", index=False)
    for entity, numeric in (("user", "age"), ("item", "price")):
        ids = np.unique(interactions[f"{entity}_id"])
        numbers = pd.DataFrame({"id": ids, "feature": numeric, "value": ids % 17})
        kinds = pd.DataFrame({"id": ids, "feature": "kind", "value": [f"k{one % 3}" for one in ids]})
        pd.concat([numbers, kinds[:-3]]).to_csv(folder / f"{entity}s.csv", index=False)
    return folder


def study_of(folder: Path, policy: str, split: str) -> Study:
    data = {
        "interactions": str(folder / "clicks.csv"),
        "columns": {"weight": "weight"},
        "duplicates": policy,
        "min_user_interactions": 4,
        "min_item_interactions": 2,
        "extra_columns": ["page"],
        "user_features": str(folder / "users.csv"),
        "numeric_user_features": ["age"],
        "item_features": str(folder / "items.csv"),
        "numeric_features": ["price"],
        "scaling": "min_max",
    }
    return Study.model_validate(
        {
            "study": "rows",
            "data": data,
            "folds": {**SPLITS[split], "n_folds": 2, "filter_viewed": False},
            "metrics": {"objective": "NDCG@5", "direction": "maximize"},
            "space": {"set": {"cls": "EASEModel"}},
            "baselines": ["ease"],
        }
    )


def searched(study: Study, prepared: Prepared, results: Path) -> None:
    """Run the baseline as a search does, and store it."""
    results.mkdir(parents=True)
    store = open_prepared(prepared, results)
    write_snapshot(study, results)
    store.add_baselines([(one.name, one.params, one.point) for one in prepared.baselines])
    asked = store.ask(prepared.space, 2, lambda params: trial_params(params, study.training.epochs))
    assert asked is not None
    made: list[Any] = []
    evaluate_folds(asked.params, prepared.folds, prepared.plan, asked.seeds, made.append)
    for evaluation in made:
        store.report(asked.number, evaluation, "NDCG@5", study.training.epochs)
    store.complete(asked.number, summarise(made, "NDCG@5", "maximize"), seconds=1.0, log="logs/trial.log")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """Note each dataset on which a model is fitted."""
    noted: list[Dataset] = []
    plain = EASEModel.fit

    def fit(model: EASEModel, dataset: Dataset, *args: Any, **kwargs: Any) -> EASEModel:
        noted.append(dataset)
        return plain(model, dataset, *args, **kwargs)

    monkeypatch.setattr(EASEModel, "fit", fit)
    return noted


def rows_of(dataset: Dataset) -> pd.DataFrame:
    return dataset.get_raw_interactions().reset_index(drop=True)


def features_of(dataset: Dataset) -> dict[str, dict[tuple[Any, str], float]]:
    """Return the features as ids and names with their numbers, whatever ids RecTools gave them inside."""
    found: dict[str, dict[tuple[Any, str], float]] = {}
    for entity, made, ids in (
        ("user", dataset.user_features, dataset.user_id_map),
        ("item", dataset.item_features, dataset.item_id_map),
    ):
        assert made is not None
        cells = made.get_sparse().tocoo()
        outside = ids.get_external_sorted_by_internal()
        found[entity] = {
            (outside[row], str(made.names[column])): float(value)
            for row, column, value in zip(cells.row, cells.col, cells.data, strict=True)
            if value
        }
    return found


def by_policy(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return what a policy leaves of rows in the order of time, and then what the minimal counts leave."""
    if policy in {"keep_first", "keep_last"}:
        frame = frame.drop_duplicates(PAIR, keep=policy.removeprefix("keep_"))
    frame = frame[frame.groupby(Columns.User)[Columns.User].transform("size") >= 4]
    return frame[frame.groupby(Columns.Item)[Columns.Item].transform("size") >= 2]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("policy", POLICIES)
def test_all_that_fit_a_trial_fit_on_the_same_rows_and_features(
    policy: str, split: str, shop: Path, fits: list[Dataset], tmp_path: Path, one_thread: None
) -> None:
    study, results = study_of(shop, policy, split), tmp_path / "studies" / "rows"
    quiet = lambda line: None  # noqa: E731  # a sink of lines
    prepared = prepare(study, quiet)
    searched(study, prepared, results)
    search = fits.copy()

    assert next(reproduce(study, results, ["ease"], quiet)).equal
    reproduced = fits[len(search) :]
    (record,) = read_records(results).records
    job = Job(record.number, dict(record.params), (1,), record.label)
    last = prepare_final(study, quiet)
    ended = refit(job, last.folds[0], last.plan, str(results), threads=1, timeout=None)
    assert ended.failure is None, ended.failure
    for whole in (False, True):
        fit_model(study, results, "ease", say=quiet, whole=whole, seed=None, other_data=False)
    assert len(fits) == 2 + 2 + 1 + 2
    final, before, everything = fits[4:]

    # The final judgement and the export before the holdout: the same rows, as pandas finds them.
    assert_same(before, final)
    clicks = pd.read_csv(shop / "clicks.csv", parse_dates=["datetime"])
    if policy == "drop_exact":  # events that are told twice: they are dropped before anything is split
        clicks = clicks.drop_duplicates(EVENT, ignore_index=True)
    held = held_out(clicks, study)
    assert Counter(rows_of(final)["page"]) == Counter(by_policy(clicks[~held], policy)["page"])
    # The export on all data: the same words, applied to all rows; what was known before has its features.
    assert Counter(rows_of(everything)["page"]) == Counter(by_policy(clicks, policy)["page"])
    for entity, known in features_of(final).items():
        assert known.items() <= features_of(everything)[entity].items()
    # The search and `reproduce`: RecTools' own folds of the rows before the holdout, with the same features.
    folds = [train for train, _, _ in splitter_of(study).split(final.interactions)]
    for searched_on, again, train in zip(search, reproduced, folds, strict=True):
        assert_same(again, searched_on)
        assert rows_of(again)["page"].tolist() == rows_of(final)["page"].iloc[train].tolist()
        assert features_of(again) == features_of(final)


def assert_same(one: Dataset, other: Dataset) -> None:
    pd.testing.assert_frame_equal(rows_of(one), rows_of(other))
    assert features_of(one) == features_of(other)


def splitter_of(study: Study) -> Any:
    """Return RecTools' splitter of what is before the holdout: `size` is a share of all rows."""
    size = study.folds.size
    return make_splitter(study.folds, size=size / (1 - size) if isinstance(size, float) else size)


def held_out(clicks: pd.DataFrame, study: Study) -> pd.Series[bool]:
    """Mark the rows of the holdout: the newest fold of RecTools' splitter over all rows."""
    whole = Dataset.construct(clicks).interactions
    filters = {"filter_cold_users": False, "filter_cold_items": False, "filter_viewed": False}
    folds = study.folds.model_copy(update={**filters, "n_folds": 1})
    ((_, test, _),) = make_splitter(folds).split(whole)
    return pd.Series(np.isin(np.arange(len(clicks)), test))
