"""What a study file may say, what it means, and what is said about one that is broken."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tuner.config import (
    Baseline,
    Metric,
    Metrics,
    Search,
    SpaceSection,
    Study,
    load_study,
    study_from_mapping,
)
from tuner.config.metrics import METRICS, _known
from tuner.config.snapshot import snapshot
from tuner.errors import Problem, StudyError
from tuner.space import Space

MINIMAL = """\
study: shop
data:
  interactions: events.csv
folds: {split: last_n, size: 1}
metrics:
  objective: NDCG@10
  direction: maximize
space: search_spaces.guide
"""

FULL = """\
study: shop-2.b_1
data:
  interactions: s3://bucket/events.parquet
  columns: {user: u, item: i, datetime: t, weight: w}
  datetime: unix_ms
  item_features: features.csv
  numeric_features: [price]
  duplicates: keep_last
folds: {split: time_range, size: 14D, n_folds: 3, holdout: 0, filter_viewed: false, seed: 1}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true, log_base: 3}}
  direction: maximize
  report: [Recall@20, {F1Beta@5: {beta: 2}}, Intersection@10]
  reference: popular
space:
  use: search_spaces.guide
  set: {lr: {float: [1.0e-4, 1.0e-2], log: true}, transformer_layers_kwargs.n_inner_groups: 1}
baselines:
  - popular
  - {name: wide, use: sasrec, params: {n_factors: 512}}
search: {trials: 0, time_budget: 1h30m, sampler: random, seed: 0}
training: {epochs: 8, evaluate_every: 2, patience: 3}
resources: {cpus_per_trial: 2, gpus_per_trial: 0.25, concurrency: 4}
"""

#: Five mistakes in each; `line` counts from 1.
BROKEN_ONE = """\
study: my shop
data:
  interactions: events.csv
  datetme: unix_s
folds:
  split: last_n
  size: 0
metrics:
  objective: NDGC@10
  direction: up
space:
  use: search_spaces.guide
"""
PROBLEMS_ONE = [
    ("study", 1, "must be letters, digits, '.', '_' or '-', at most 80, but got 'my shop'", None),
    ("data.datetme", 4, "is no key of this section", "did you mean 'datetime'?"),
    ("folds.size", 7, "must be an integer of at least 1 for a last_n split, but got 0", None),
    (
        "metrics.objective",
        9,
        "must be a metric of RecTools, or the import path of your own class, as my_metrics.NDGC@10, "
        "but got 'NDGC'; did you mean 'NDCG'?",
        None,
    ),
    ("metrics.direction", 10, "must be one of maximize, minimize, but got 'up'", None),
]
BROKEN_TWO = """\
study: shop
study: shop2
data: {}
folds: {split: random, size: 0.4, n_folds: 2}
metrics:
  objective: NDCG@10
  direction: maximize
  report: [Recall@10, Intersection@10]
space:
  set:
    cls: SASRecModel
    n_blocks: {int: [4, 1]}
"""
PROBLEMS_TWO = [
    ("study", 2, "must be there once, but is also on line 1", None),
    ("data.interactions", 3, "must be given, but is missing", None),
    (
        "folds.size",
        4,
        "must be a share for a random split, with 0 < size x 3 folds < 1, but got 0.4",
        None,
    ),
    (
        "metrics.reference",
        5,
        "must name a baseline when Intersection@10 is measured, but is missing",
        None,
    ),
    ("space.set.n_blocks", 12, "low <= high must hold, but got low=4, high=1", "put the lower bound first"),
]


@pytest.fixture
def study_file(tmp_path):
    """Write a study file."""

    def write(text):
        path = tmp_path / "shop.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def minimal(**changes):
    """Return the minimal study as a mapping with some keys changed: ``folds__size=2``."""
    plain = yaml.safe_load(MINIMAL)
    for path, value in changes.items():
        *sections, key = path.split("__")
        target = plain
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return plain


def problems_of(plain: Any) -> list[Problem]:
    with pytest.raises(StudyError) as caught:
        study_from_mapping(plain)
    return list(caught.value.problems)


# --- what is right ------------------------------------------------------------------------------


def test_a_minimal_study_has_these_defaults(study_file):
    study = Study.load(study_file(MINIMAL))
    plain = study.model_dump(exclude={"metrics"})
    assert plain == {
        "study": "shop",
        "storage": None,
        "data": {
            "format": {"delimiter": None, "header": True, "encoding": "utf-8", "decimal": "."},
            "ids": "auto",
            "interactions": "events.csv",
            "columns": {"user": "user_id", "item": "item_id", "datetime": "datetime", "weight": None},
            "datetime": "iso",
            "item_features": None,
            "numeric_features": (),
            "user_features": None,
            "numeric_user_features": (),
            "scaling": "none",
            "items_to_recommend": None,
            "extra_columns": (),
            "min_user_interactions": 1,
            "min_item_interactions": 1,
            "duplicates": "keep",
        },
        "folds": {
            "splitter": None,
            "split": "last_n",
            "n_folds": 1,
            "holdout": 1,
            "size": 1,
            "filter_viewed": True,
            "filter_cold_users": True,
            "filter_cold_items": True,
            "seed": 60,
        },
        "space": {"use": "search_spaces.guide", "set": {}},
        "baselines": (),
        "search": {
            "trials": 20,
            "time_budget": None,
            "cpu_hours": None,
            "gpu_hours": None,
            "target": None,
            "plateau": None,
            "terminator": None,
            "grace": 600,
            "constraints": (),
            "sampler": {"use": "tpe", "options": {}, "prior": True},
            "folds": "at_once",
            "seed": 60,
            "warm_start": (),
        },
        "stopping": {
            "halving": {
                "rungs": None,
                "keep": 0.25,
                "resume": 0.5,
                "grace": 2,
                "hold": 4,
                "leaders": True,
            },
            "race": {"z": 1.64},
            "complete": 3,
        },
        "training": {
            "epochs": 10,
            "evaluate_every": 1,
            "evaluate_users": None,
            "patience": None,
            "fast": True,
            "precision": "float32",
            "keep_checkpoints": 0,
            "timeout": None,
        },
        "resources": {
            "cpus_per_trial": 1,
            "gpus_per_trial": 0,
            "devices": None,
            "custom": {},
            "accelerator_type": None,
            "concurrency": None,
        },
        "final": None,
        "tracking": None,
        "artifacts": None,
        "share": False,
    }
    assert study.metrics == Metrics(objective=Metric("NDCG", 10), direction="maximize")
    assert (study.metrics.report, study.metrics.reference) == ((), None)


def test_a_full_study_is_read_as_it_stands(study_file):
    study = Study.load(study_file(FULL))
    assert study.folds.size == "14D"
    assert study.metrics.objective == Metric("NDCG", 10, {"divide_by_achievable": True, "log_base": 3})
    assert [metric.label for metric in study.metrics.all] == [
        "Recall@20",
        "F1Beta@5",
        "Intersection@10",
        "NDCG@10",
    ]
    assert study.metrics.k == 20
    assert isinstance(study.space, SpaceSection)
    assert study.space.set["lr"] == {"float": [1e-4, 1e-2], "log": True}
    assert study.baselines == (
        Baseline(name="popular"),
        Baseline(name="wide", use="sasrec", params={"n_factors": 512}),
    )
    assert study.search.time_budget == 5400.0
    assert study.resources.gpus_per_trial == 0.25


@pytest.mark.parametrize(
    ("resources", "n_devices"),
    [
        ({}, 1),
        ({"gpus_per_trial": 0.5}, 1),
        ({"gpus_per_trial": "auto"}, 1),
        ({"gpus_per_trial": 2}, 2),
        ({"gpus_per_trial": 4, "devices": 4}, 4),
        ({"cpus_per_trial": 2}, 1),
        ({"cpus_per_trial": 2, "devices": 2}, 2),
    ],
)
def test_a_trial_trains_on_whole_gpus_or_on_the_devices_asked_for(resources, n_devices):
    assert study_from_mapping(minimal(resources=resources)).resources.n_devices == n_devices


def test_a_study_may_hold_a_space_made_in_python():
    space = Space({"cls": "SASRecModel"})
    assert study_from_mapping(minimal(space=space)).space == space


def test_the_objective_is_measured_once_and_its_options_win():
    metrics = study_from_mapping(minimal(metrics__report=["MAP@5", "NDCG@10", "NDCG@20"])).metrics
    assert [metric.label for metric in metrics.all] == ["MAP@5", "NDCG@10", "NDCG@20"]


def test_relative_data_paths_are_found_beside_the_study(study_file, tmp_path, monkeypatch):
    path = study_file(MINIMAL)
    (tmp_path / "events.csv").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert Study.load(path).data.interactions == str(tmp_path / "events.csv")
    (elsewhere / "events.csv").touch()
    assert Study.load(path).data.interactions == "events.csv", "the working folder comes first"


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("2E3", 2000.0), ("-1e-4", -1e-4), ("1.5e-4", 1.5e-4), ("1.e2", 100.0), ("0.1", 0.1)],
)
def test_numbers_with_an_exponent_are_floats(study_file, text, number):
    study = Study.load(
        study_file(f"{MINIMAL.replace('space: ', 'space: {set: {lr: ' + text + '}, use: ')[:-1]}}}\n")
    )
    value = study.space.set["lr"]
    assert type(value) is float
    assert value == number


@pytest.mark.parametrize("text", ["e4", "1e", "1e4x", "a1e4"])
def test_text_that_looks_like_an_exponent_stays_text(study_file, text):
    assert Study.load(study_file(MINIMAL), [f"study={text}"]).study == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1d2h3m4s", 93784.0),
        ("90M", 5400.0),
        (90, 90.0),
        (0.5, 0.5),
    ],
)
def test_durations(text, seconds):
    assert Search(time_budget=text).time_budget == seconds


@pytest.mark.parametrize("text", ["2 hours", "h", "", "1m2h", "-5s", "1.5h", True, [1]])
def test_what_is_no_duration_is_refused(text):
    (problem,) = problems_of(minimal(search__time_budget=text))
    assert problem.where == "search.time_budget"
    rule, _, _ = problem.rule.partition("; write ")
    assert rule == f"must be a duration, as 45s, 30m, 2h or 1h30m, but got {text!r}"


def test_a_study_is_frozen():
    study = study_from_mapping(minimal())
    for section in (study, study.data, study.folds, study.metrics, study.space, study.search):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), None)


# --- every rule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "where", "rule", "hint"),
    [
        ({"serach": {}}, "serach", "is no key of this section", "did you mean 'search'?"),
        ({"search__trails": 5}, "search.trails", "is no key of this section", "did you mean 'trials'?"),
        (
            {"data__columns": {"users": "u"}},
            "data.columns.users",
            "is no key of this section",
            "did you mean 'user'?",
        ),
        (
            {"baselines": ["popular", {"name": "a", "parms": {}}]},
            "baselines[1].parms",
            "is no key of this section",
            "did you mean 'params'?",
        ),
        (
            {"training__qqqq": 1},
            "training.qqqq",
            "is no key of this section",
            "valid: epochs, evaluate_every, evaluate_users, fast, keep_checkpoints, patience, precision, "
            "timeout",
        ),
        ({"study": 5}, "study", "must be text, but got 5", "if it is text, put it in quotes"),
        (
            {"study": "../shop"},
            "study",
            "must be letters, digits, '.', '_' or '-', at most 80, but got '../shop'",
            None,
        ),
        (
            {"study": ".."},
            "study",
            "must be letters, digits, '.', '_' or '-', at most 80, but got '..'",
            None,
        ),
        (
            {"data": "events.csv"},
            "data",
            "must be a mapping of keys, but got 'events.csv'",
            "write it as data: {interactions: ...}",
        ),
        ({"folds__seed": -1}, "folds.seed", "must be at least 0, but got -1", None),
        (
            {"data__columns": {"user": "a", "item": "a"}},
            "data.columns",
            "each column must have one role, but 'a' is both user and item",
            None,
        ),
        (
            {"data__format": {"encoding": "utf8x"}},
            "data.format.encoding",
            "must be an encoding that Python knows, but got 'utf8x'",
            None,
        ),
        (
            {"data__interactions": 5},
            "data.interactions",
            "must be a path, a list of paths, or from Python a table of pandas, polars or pyarrow or "
            "RecTools' Dataset, but got 5",
            None,
        ),
        (
            {"data__datetime": "unix"},
            "data.datetime",
            'must be one of iso, unix_s, unix_ms, unix_us, unix_ns, or a format such as "%d.%m.%Y", '
            "but got 'unix'",
            None,
        ),
        (
            {"data__min_user_interactions": 0},
            "data.min_user_interactions",
            "must be at least 1, but got 0",
            None,
        ),
        (
            {"data__min_item_interactions": 1.5},
            "data.min_item_interactions",
            "must be an integer, but got 1.5",
            None,
        ),
        ({"data__numeric_features": "a"}, "data.numeric_features", "must be a list, but got 'a'", None),
        ({"folds__n_folds": 0}, "folds.n_folds", "must be at least 1, but got 0", None),
        (
            {"folds__n_folds": "2"},
            "folds.n_folds",
            "must be an integer, but got '2'",
            "write it without quotes",
        ),
        ({"folds__n_folds": "two"}, "folds.n_folds", "must be an integer, but got 'two'", None),
        ({"folds__n_folds": True}, "folds.n_folds", "must be an integer, but got True", None),
        ({"folds__holdout": -1}, "folds.holdout", "must be at least 0, but got -1", None),
        ({"folds__filter_viewed": 1}, "folds.filter_viewed", "must be true or false, but got 1", None),
        (
            {"folds__split": "lastn"},
            "folds.split",
            "must be one of time_range, last_n, random, but got 'lastn'",
            "did you mean 'last_n'?",
        ),
        ({"folds": {"split": "last_n"}}, "folds.size", "must be given, but is missing", None),
        (
            {"folds__size": "14D"},
            "folds.size",
            "must be an integer of at least 1 for a last_n split, but got '14D'",
            None,
        ),
        (
            {"folds__size": True},
            "folds.size",
            "must be an integer of at least 1 for a last_n split, but got True",
            None,
        ),
        (
            {"folds": {"split": "time_range", "size": 14}},
            "folds.size",
            "must be days or hours for a time_range split, as 14D or 12H, but got 14",
            None,
        ),
        (
            {"folds": {"split": "time_range", "size": "0D"}},
            "folds.size",
            "must be days or hours for a time_range split, as 14D or 12H, but got '0D'",
            None,
        ),
        (
            {"folds": {"split": "random", "size": 0.5}},
            "folds.size",
            "must be a share for a random split, with 0 < size x 2 folds < 1, but got 0.5",
            None,
        ),
        (
            {"folds": {"split": "random", "size": "1D"}},
            "folds.size",
            "must be a share for a random split, with 0 < size x 2 folds < 1, but got '1D'",
            None,
        ),
        ({"metrics": {"objective": "MAP@1"}}, "metrics.direction", "must be given, but is missing", None),
        (
            {"metrics__objective": "NDCG"},
            "metrics.objective",
            "must be a metric and its k, as NDCG@10, but got 'NDCG'",
            None,
        ),
        (
            {"storage": "sqlite://trials.db"},
            "storage",
            "must be a URL that begins with sqlite:/// or postgresql+psycopg://, but does not",
            None,
        ),
        ({"data__interactions": " "}, "data.interactions", "must be a path, but got ' '", None),
        ({"data__item_features": ""}, "data.item_features", "must be a path, but got ''", None),
        (
            {"metrics__objective": "NDCG@0"},
            "metrics.objective",
            "must be a metric and its k, as NDCG@10, but got 'NDCG@0'",
            None,
        ),
        (
            {"metrics__objective": 10},
            "metrics.objective",
            "must be NAME@K or {NAME@K: {option: value}}, but got 10",
            None,
        ),
        (
            {"metrics__objective": {"NDCG@10": 5}},
            "metrics.objective",
            "must be NAME@K or {NAME@K: {option: value}}, but got {'NDCG@10': 5}",
            None,
        ),
        (
            {"metrics__objective": {"NDCG@10": {"log_bas": 2}}},
            "metrics.objective",
            "NDCG takes no option 'log_bas'; did you mean 'log_base'?",
            None,
        ),
        (
            {"metrics__objective": {"NDCG@10": {"log_base": 2.5}}},
            "metrics.objective",
            "NDCG's log_base must be int, but got 2.5",
            None,
        ),
        (
            {"metrics__objective": {"NDCG@10": {"log_base": True}}},
            "metrics.objective",
            "NDCG's log_base must be int, but got True",
            None,
        ),
        *(
            (
                {"metrics__objective": {metric: {option: value}}},
                "metrics.objective",
                f"{metric.partition('@')[0]}'s {option} must be {rule}, but got {value!r}",
                None,
            )
            for metric, option, value, rule in [
                ("NDCG@10", "log_base", 1, "at least 2"),
                ("NDCG@10", "log_base", -2, "at least 2"),
                ("F1Beta@10", "beta", 0, "above 0"),
                ("F1Beta@10", "beta", math.nan, "above 0"),
                ("Intersection@10", "ref_k", 0, "at least 1"),
                ("DebiasedRecall@10", "iqr_coef", -1.0, "at least 0"),
                ("PAP@10", "insufficient_handling", "skip", "one of ignore, exclude, raise"),
            ]
        ),
        (
            {"metrics__objective": {"MAP@10": {"divide_by_k": 1}}},
            "metrics.objective",
            "MAP's divide_by_k must be bool, but got 1",
            None,
        ),
        (
            {"metrics__report": ["HitRate@5", "hitrat@10"]},
            "metrics.report[1]",
            "must be a metric of RecTools, or the import path of your own class, as my_metrics.hitrat@10, "
            "but got 'hitrat'; did you mean 'HitRate'?",
            None,
        ),
        (
            {"metrics__report": [{"Recall@5": {"beta": 1}}]},
            "metrics.report[0]",
            "Recall takes no option 'beta'; it takes none beside k",
            None,
        ),
        (
            {"metrics__report": [{"NDCG@10": {"log_base": 3}}]},
            "metrics.report",
            "must measure a metric one way, but NDCG@10 has different options in two places",
            None,
        ),
        (
            {"metrics__objective": "Intersection@5"},
            "metrics.reference",
            "must name a baseline when Intersection@5 is measured, but is missing",
            None,
        ),
        (
            {"space": "search_spaces.gide"},
            "space.use",
            "must be an importable module, but got 'search_spaces.gide'",
            "did you mean 'guide'? search_spaces has: albert, all_action, classic, esasrec, everything, "
            "guide, hstu, negatives, next_action, objectives, optimisation, priors, similarity, transformers",
        ),
        (
            {"space": "my_spaces"},
            "space.use",
            "must be an importable module, but got 'my_spaces'",
            "for a file my_space.py next to the study file, write `use: my_space`",
        ),
        (
            {"space": {"use": "search_spaces.guide", "set": {"lr": {"float": [0, 1], "log": True}}}},
            "space.set.lr",
            "log needs low > 0 and no step, but got low=0.0, step=None",
            "let low be above 0",
        ),
        (
            {"space": {"set": {"n": 1}}},
            "space.set.cls",
            "must say which model to build, but is missing",
            "add the name of a model, such as `cls: SASRecModel`",
        ),
        (
            {"space": {"set": {"model": "SASRecModel"}}},
            "space.set.cls",
            "must say which model to build, but is missing",
            "write `cls` instead of `model`",
        ),
        (
            {"space": {"set": {"cls": "SASRecModel", "n": {"int": [1, 2], "when": {"clz": 1}}}}},
            "space.set.n",
            "must depend on params that come before it, but got 'clz'",
            "did you mean 'cls'?",
        ),
        ({"baselines": "popular"}, "baselines", "must be a list, but got 'popular'", None),
        (
            {"baselines": ["popular", "ease", "popular"]},
            "baselines",
            "names must differ, but 'popular' is there 2 times",
            None,
        ),
        ({"baselines": [{"use": "sasrec"}]}, "baselines[0].name", "must be given, but is missing", None),
        ({"search__trials": -1}, "search.trials", "must be at least 0, but got -1", None),
        ({"search__seed": 2**32}, "search.seed", f"must be below {2**32}, but got {2**32}", None),
        ({"search__time_budget": 0}, "search.time_budget", "must be above 0, but got 0", None),
        (
            {"search__sampler": "TPE"},
            "search.sampler.use",
            "must be an import path or one of tpe, model, random, gp, cmaes, nsga2, nsga3, brute_force, "
            "but got 'TPE'; did you mean 'tpe'?",
            None,
        ),
        ({"training__epochs": 0}, "training.epochs", "must be at least 1, but got 0", None),
        ({"training__patience": 0}, "training.patience", "must be at least 1, but got 0", None),
        (
            {"training__precision": "tf23"},
            "training.precision",
            "must be one of float32, tf32, bf16, but got 'tf23'",
            "did you mean 'tf32'?",
        ),
        *(
            (
                {"training__precision": half},
                "training.precision",
                f"must be float32, tf32 or bf16, but got {half!r}; of 16 bits there is bf16, which is mixed",
                None,
            )
            for half in ("fp16", "half", 16, "16-mixed", "bf16-true")
        ),
        ({"training__timeout": 0}, "training.timeout", "must be above 0, but got 0", None),
        ({"training": None}, "training", "must be a mapping of keys, but got None", None),
        (
            {"resources__cpus_per_trial": 0},
            "resources.cpus_per_trial",
            "must be at least 0.0001, but got 0",
            None,
        ),
        *(
            (
                {f"resources__{key}": 0.00001},
                f"resources.{key}",
                f"must be {least} 0.0001, but got 1e-05",
                None,
            )
            for key, least in (("cpus_per_trial", "at least"), ("gpus_per_trial", "0 or at least"))
        ),
        (
            {"resources__custom": {"fast_disk": 0.00001}},
            "resources.custom.fast_disk",
            "must be at least 0.0001, but got 1e-05",
            None,
        ),
        *(
            (
                {"resources__custom": {name: 64}},
                f"resources.custom.{name}",
                f"must be the name of another resource, but got {name!r}; {cure}",
                None,
            )
            for name, cure in (
                ("CPU", "write resources.cpus_per_trial"),
                ("GPU", "write resources.gpus_per_trial"),
                ("object_store_memory", "leave it out: Ray does not reserve it for a trial"),
            )
        ),
        (
            {"resources__custom": {" ": 1}},
            "resources.custom. ",
            "must be the name of a resource, as the nodes have it, but got ' '",
            None,
        ),
        (
            {"resources__gpus_per_trial": 1.5},
            "resources.gpus_per_trial",
            "must be a fraction up to 1 or a whole number, but got 1.5",
            None,
        ),
        (
            {"resources__gpus_per_trial": "all"},
            "resources.gpus_per_trial",
            "must be a number, but got 'all'",
            None,
        ),
        (
            {"resources__gpus_per_trial": -1},
            "resources.gpus_per_trial",
            "must be at least 0.0, but got -1",
            None,
        ),
        ({"resources__concurrency": 0}, "resources.concurrency", "must be at least 1, but got 0", None),
        (
            {"resources__devices": 2},
            "resources.devices",
            "must be at most cpus_per_trial without GPUs, which is 1, but got 2",
            None,
        ),
        *(
            (
                {"resources__gpus_per_trial": gpus, "resources__devices": devices},
                "resources.devices",
                f"must be the whole GPUs of gpus_per_trial, which is {gpus}, but got {devices}; leave it out",
                None,
            )
            for gpus, devices in ((0.5, 2), (2, 1), (2, 3), ("auto", 2))
        ),
    ],
)
def test_a_rule_that_is_broken_is_named_with_key_and_value(changes, where, rule, hint):
    (problem,) = problems_of(minimal(**changes))
    assert (problem.where, problem.rule, problem.hint) == (where, rule, hint)


@pytest.mark.parametrize(
    "codec", ["punycode", "idna", "rot13", "base64", "hex", "zlib", "undefined", "unicode_escape"]
)
def test_a_codec_that_is_no_encoding_of_text_is_refused(codec):
    (problem,) = problems_of(minimal(data__format={"encoding": codec}))
    rule = f"must be an encoding of text, as utf-8, latin-1 or cp1251, but got {codec!r}"
    assert (problem.where, problem.rule) == ("data.format.encoding", rule)


@pytest.mark.parametrize("codec", ["utf-16", "utf_8_sig", "koi8-r", "gb18030", "shift_jis", "cp037"])
def test_an_encoding_of_text_is_taken(codec):
    assert study_from_mapping(minimal(data__format={"encoding": codec})).data.format.encoding == codec


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "float32") for name in ("float32", "fp32", 32, "32", "32-true", "single", "FP32")),
        *((name, "bf16") for name in ("bf16", "bf16-mixed", "bfloat16")),
        ("tf32", "tf32"),
    ],
)
def test_a_precision_has_the_names_that_lightning_and_people_give_it(name, precision):
    assert study_from_mapping(minimal(training__precision=name)).training.precision == precision


def test_false_switches_off_what_null_does():
    off = study_from_mapping(
        minimal(
            tracking=False,
            search={"trials": 1, "plateau": False, "time_budget": False, "cpu_hours": False, "target": False},
            training={"timeout": False, "patience": False, "evaluate_users": False},
            stopping={"halving": {"resume": False}},
        )
    )
    null = study_from_mapping(
        minimal(search={"trials": 1}, stopping={"halving": {"resume": None}}),
    )
    assert off == null
    (problem,) = problems_of(minimal(search__grace=False))
    assert problem.where == "search.grace", "it has no off"


@pytest.mark.parametrize(("text", "got"), [("1e3", 1000.0), ("yes", True), ("2024-01-01", "")])
def test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(study_file, text, got):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(MINIMAL.replace("study: shop", f"study: {text}")))
    (problem,) = caught.value.problems
    assert problem.rule.startswith(f"must be text, but got {got}")
    assert problem.hint == "if it is text, put it in quotes"


# What a person may write by mistake: any YAML, much of it made of words that mean something elsewhere.
WORDS = ["int", "float", "choice", "when", "log", "cls", "NDCG@10", "{x}", "popular", "name", "", "1e-4"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.sampled_from(WORDS)
    | st.text(max_size=3)
)
anything = st.recursive(
    scalars,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(WORDS), part, max_size=3),
    max_leaves=6,
)


def places(plain):
    """Yield every mapping and list of a study with each of its keys."""
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        yield plain, key
        if isinstance(value, dict | list):
            yield from places(value)


@given(st.data(), anything, scalars, st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_a_study_holds_is_read_or_told(data, value, key, add):
    """No mistake ends in a traceback."""
    plain = yaml.safe_load(FULL)
    section, place = data.draw(st.sampled_from(list(places(plain))))
    section[key if add and isinstance(section, dict) else place] = value
    try:
        study_from_mapping(plain)
    except StudyError as error:
        message = str(error)
    else:
        return
    assert re.match(r"study: \d+ problems?\n  ", message)


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), [(BROKEN_ONE, PROBLEMS_ONE), (BROKEN_TWO, PROBLEMS_TWO)])
def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(study_file, text, expected):
    path = study_file(text)
    with pytest.raises(StudyError) as caught:
        Study.load(path)
    found = [(problem.where, problem.line, problem.rule, problem.hint) for problem in caught.value.problems]
    assert sorted(found, key=str) == sorted(expected, key=str)
    message = str(caught.value)
    assert message.startswith(f"{path}: 5 problems\n")
    assert all(f"{where} (line {line}): {rule}" in message for where, line, rule, _ in expected)


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("", "must be a mapping of sections, but the file is empty", None),
        ("- a\n- b\n", "must be a mapping of sections, but got list", None),
        (
            "study: a\n\tb: c\n",
            "must be indented with spaces, but has a tab",
            2,
        ),
        ("study: shop\na: 010\n", "YAML reads 010 as 8: write '010' if it is text", 2),
        ("a: [01, 08]\n", "YAML reads 01 as 1: write '01' if it is text", 1),
        ("study: shop\n07: a\n", "YAML reads 07 as 7: write '07' if it is text", 2),
        ("a: 12:30\n", "YAML reads 12:30 as 750: write '12:30' if it is text", 1),
        ("study: [a\n", "must be valid YAML, but did not find expected ',' or ']'", 2),
        ("study: !!python/name:os.system\n", "could not determine a constructor", 1),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_with_its_line(study_file, text, rule, line):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(text))
    (problem,) = caught.value.problems
    assert rule in problem.rule
    assert problem.line == line


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path, rule in [
        (tmp_path / "no.yaml", "must be a readable file, but No such file or directory"),
        (tmp_path, "must be a readable file, but Is a directory"),
    ]:
        with pytest.raises(StudyError) as caught:
            load_study(path)
        assert caught.value.source == str(path)
        assert [problem.rule for problem in caught.value.problems] == [rule]


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_bytes(MINIMAL.replace("shop", "é").encode("latin-1"))
    with pytest.raises(StudyError) as caught:
        Study.load(path)
    (problem,) = caught.value.problems
    assert (problem.rule, problem.line) == ("must be UTF-8 text, but has the byte 0xe9", 1)
    assert problem.hint == "save it as UTF-8; it may be in latin-1 or another old encoding"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_that_powershell_wrote_is_told(tmp_path, encoding):
    path = tmp_path / "shop.yaml"
    path.write_bytes(MINIMAL.encode(encoding))
    with pytest.raises(StudyError) as caught:
        Study.load(path)
    (problem,) = caught.value.problems
    assert problem.rule == "must be UTF-8 text, but has bytes 0, as text in UTF-16 has"
    assert problem.hint == "save it as UTF-8; `>` of Windows PowerShell writes UTF-16"


def test_a_change_that_cannot_be_read_is_the_only_problem_of_its_key(study_file):
    path = study_file(MINIMAL.replace("split: last_n, size: 1", "split: time_range, size: 7D"))
    with pytest.raises(StudyError) as caught:
        load_study(path, ["folds.split=last_n", "folds.size=9223372036854775808", "training.epochs=0"])
    assert [(one.where, one.rule) for one in caught.value.problems] == [
        (
            "overrides folds.size",
            "the value must have integers between -2^63 and 2^63, but got 9223372036854775808",
        ),
        ("training.epochs", "must be at least 1, but got 0"),
    ]


def test_a_key_that_stands_twice_is_told_wherever_it_is(study_file):
    text = MINIMAL.replace("space: search_spaces.guide", "space:\n  set:\n    cls: A\n    cls: B\n")
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(text))
    (problem,) = caught.value.problems
    assert (problem.where, problem.line) == ("space.set.cls", 11)
    assert problem.rule == "must be there once, but is also on line 10"


# --- overrides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        ("search.trials=100", lambda study: study.search.trials, 100),
        ("search.time_budget=2h", lambda study: study.search.time_budget, 7200.0),
        ("training.patience=null", lambda study: study.training.patience, None),
        ("data.columns.user=uid", lambda study: study.data.columns.user, "uid"),
        ("metrics.report=[MAP@5]", lambda study: study.metrics.report, (Metric("MAP", 5),)),
        ("data.interactions=a=b.csv", lambda study: study.data.interactions, "a=b.csv"),
        (
            "space.set.lr={float: [1e-4, 1e-2]}",
            lambda study: study.space.set,
            {"lr": {"float": [1e-4, 1e-2]}},
        ),
        ("space.set.model.factors=64", lambda study: study.space.set, {"model.factors": 64}),
        (
            "space.set.transformer_layers_kwargs.n_inner_groups=1",
            lambda study: study.space,
            SpaceSection(use="search_spaces.guide", set={"transformer_layers_kwargs.n_inner_groups": 1}),
        ),
    ],
)
def test_an_override_changes_one_key(study_file, override, look, value):
    path = study_file(MINIMAL)
    assert look(Study.load(path)) != value or value is None
    assert look(Study.load(path, [override])) == value


def test_of_several_overrides_the_last_wins(study_file):
    study = Study.load(study_file(MINIMAL), ["search.trials=1", "search.seed=3", "search.trials=2"])
    assert (study.search.trials, study.search.seed) == (2, 3)


@pytest.mark.parametrize(
    ("override", "where", "rule"),
    [
        ("search.trials", "overrides", "must be key=value, but got 'search.trials'"),
        ("=5", "overrides", "must be key=value, but got '=5'"),
        (
            "study=007",
            "overrides study",
            "the value must be a decimal number, or text in quotes, but YAML reads 007 as 7: write '007' if "
            "it is text",
        ),
        ("search.trials=[", "overrides search.trials", "the value must be valid YAML, but got '['"),
        ("study.name=a", "overrides study.name", "must lead through sections, but 'study' holds 'shop'"),
        ("search.trails=5", "search.trails", "is no key of this section"),
        ("search.trials=many", "search.trials", "must be an integer, but got 'many'"),
    ],
)
def test_an_override_that_cannot_be_applied_is_told(study_file, override, where, rule):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(MINIMAL), [override])
    (problem,) = caught.value.problems
    assert (problem.where, problem.rule) == (where, rule)


def test_a_bad_override_is_told_together_with_the_file(study_file):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(BROKEN_ONE), ["trials", "search.trials=0.5"])
    assert {"overrides", "search.trials"} < {problem.where for problem in caught.value.problems}
    assert len(caught.value.problems) == 7


# --- metrics ------------------------------------------------------------------------------------


def test_the_table_of_metrics_is_that_of_rectools():
    import attr
    import rectools.metrics
    from rectools.metrics.base import MetricAtK

    objects = {"debias_config", "distance_calculator"}  # cannot be written in a study file
    real = {}
    for name in rectools.metrics.__all__:
        cls = getattr(rectools.metrics, name)
        if isinstance(cls, type) and issubclass(cls, MetricAtK):
            fields = {field.name: field for field in attr.fields(cls) if field.name != "k"}
            real[name] = {key: plain_type(field.type) for key, field in fields.items() if key not in objects}
            assert ("debias_config" in fields) == (f"Debiased{name}" in _known())
    assert real == METRICS


def plain_type(annotation):
    """Return the type of an optional one."""
    (kind,) = [part for part in get_args(annotation) or (annotation,) if part is not type(None)]
    return kind


def test_every_metric_can_be_made_from_its_options():
    import rectools.metrics

    examples = {bool: True, int: 3, float: 0.5, str: "ignore"}
    for name, options in METRICS.items():
        if name == "IntraListDiversity":  # it needs item features; see tests/evaluation/test_metrics.py
            continue
        metric = Metric.parse({f"{name}@7": {option: examples[kind] for option, kind in options.items()}})
        made = getattr(rectools.metrics, name)(k=metric.k, **metric.options)
        assert made.k == 7
        assert {option: getattr(made, option) for option in options} == metric.options


@given(st.sampled_from(sorted(METRICS)), st.integers(1, 10**6), st.data())
def test_a_metric_is_read_as_it_is_written(name, k, data):
    kinds = {
        bool: st.booleans(),
        int: st.integers(2),
        float: st.floats(0, exclude_min=True, allow_infinity=False),
        str: st.sampled_from(["ignore", "exclude", "raise"]),
    }
    options = {
        option: data.draw(kinds[kind]) for option, kind in METRICS[name].items() if data.draw(st.booleans())
    }
    metric = Metric(name, k, options)
    assert Metric.parse(metric.plain()) == metric
    assert Metric.parse(metric) is metric
    assert metric.needs_reference == (name == "Intersection")


@pytest.mark.parametrize("label", ["NDCG@", "@10", "NDCG@-1", "NDCG@1.5", "NDCG @10", "NDCG@10 ", "NDCG@010"])
def test_a_label_that_is_no_metric_and_k_is_refused(label):
    with pytest.raises(ValueError, match="must be a metric and its k, as NDCG@10"):
        Metric.parse(label)


# --- regressions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "where", "rule", "hint"),
    [
        (
            {"space": {"usee": "x", "use": "search_spaces.guide"}},
            "space.usee",
            "is no key of this section",
            "did you mean 'use'?",
        ),
        ({"space": 5}, "space", "must be a mapping of keys, but got 5", None),
        (
            {"space": {}},
            "space",
            "must name a space with `use`, or list params under `set`, but has neither",
            None,
        ),
        ({"space": {"use": 5}}, "space.use", "must be text, but got 5", "if it is text, put it in quotes"),
        (
            {"space": {"use": "search_spaces.guide", "set": 5}},
            "space.set",
            "must be a mapping, but got 5",
            None,
        ),
    ],
)
def test_a_mistake_in_the_space_section_is_told_once(changes, where, rule, hint):
    (problem,) = problems_of(minimal(**changes))
    assert (problem.where, problem.rule, problem.hint) == (where, rule, hint)


@pytest.mark.parametrize(
    "key", ["training__epochs", "search__trials", "data__interactions", "study", "baselines"]
)
def test_a_mapping_where_a_plain_value_belongs_is_told(key):
    """``epochs: {int: [5, 10]}`` is an easy mistake: that is how a space is written."""
    (problem,) = problems_of(minimal(**{key: {"int": [5, 10]}}))
    assert problem.where == key.replace("__", ".")
    assert problem.rule.endswith("but got {'int': [5, 10]}")


def test_no_time_budget_may_be_written_out():
    assert study_from_mapping(minimal(search__time_budget=None)).search.time_budget is None


def test_an_infinite_share_is_told():
    (problem,) = problems_of(minimal(resources__cpus_per_trial=float("inf")))
    assert problem.where == "resources.cpus_per_trial"


@pytest.mark.parametrize("overrides", [[], ["study=2024-02-30"]])
def test_a_date_that_does_not_exist_is_told(study_file, overrides):
    text = MINIMAL if overrides else MINIMAL.replace("shop", "2024-02-30")
    with pytest.raises(StudyError, match="must be valid YAML"):
        Study.load(study_file(text), overrides)


def test_a_key_named_like_a_type_is_told():
    (problem,) = problems_of(minimal(search__int=5))
    assert (problem.where, problem.rule) == ("search.int", "is no key of this section")


def test_a_key_that_is_no_text_is_told_by_its_name(study_file):
    """YAML reads ``on`` as true."""
    with pytest.raises(StudyError, match=r"search\.True.*no key of this section"):
        Study.load(study_file(MINIMAL + "search: {on: 5}\n"))


def test_a_size_beside_a_wrong_split_is_told_once():
    found = problems_of(minimal(folds={"split": "lastn", "size": [1]}))
    assert [problem.where for problem in found] == ["folds.split", "folds.size"]


def test_an_override_has_no_line_in_the_file(study_file):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(MINIMAL + "search:\n  trials: 5\n"), ["search.trials=many"])
    (problem,) = caught.value.problems
    assert problem.line is None


# --- limits -------------------------------------------------------------------------------------


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("study: shop\ndata: &d [*d]\n", "must not contain itself, but an alias stands within its anchor", 2),
        ("study: shop\ndata: &d {<<: *d}\n", "must not contain itself", 2),
        (BOMB, "must have at most 10,000 values, but has more", None),
        ("a: " + "[" * 100_000, "must have at most 64 values within each other, but has more", 1),
        ("- " * 100_000, "must have at most 64 values within each other, but has more", 1),
        ("a: [" + "1, " * 100_000 + "1]", "must have at most 10,000 values, but has more", 1),
        ("# " + "a" * 2**20, "must have at most 1,048,576 bytes, but has more", None),
        ("study: 1" + "0" * 30, "must have integers between -2^63 and 2^63, but got 1" + "0" * 30, 1),
        ("study: 0x" + "f" * 100_000, "must have integers between -2^63 and 2^63, but got", 1),
        ("study: 1:59" + ":59" * 100_000, "must have integers between -2^63 and 2^63, but got", 1),
        ("study: !!bool maybe\n", "must be valid YAML, but", None),
        ("study: !!int ''\n", "must be valid YAML, but", None),
        ("study: !!binary gA==\n", "could not determine a constructor for the tag", 1),
        ("study: !!set {a}\n", "could not determine a constructor for the tag", 1),
        ("a: 1\n---\nb: 1\n", "must be valid YAML, but found another document", None),
    ],
)
def test_a_file_beyond_the_limits_is_refused(study_file, text, rule, line):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(text))
    (problem,) = caught.value.problems
    assert rule in problem.rule
    assert line is None or problem.line == line


def test_aliases_and_merge_keys_are_read(study_file):
    text = MINIMAL + "baselines:\n  - &wide {name: wide, use: sasrec}\n  - {<<: *wide, name: wider}\n"
    study = Study.load(study_file(text))
    assert [(one.name, one.use) for one in study.baselines] == [("wide", "sasrec"), ("wider", "sasrec")]


def test_a_message_about_a_long_value_is_short(study_file):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(MINIMAL.replace("study: shop", "study: " + "a b" * 50_000)))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("place", ["a" * 5000, "a**b", "/**/x.csv", "*" * 3000, "x\\0y"])
def test_a_place_that_cannot_be_looked_for_is_read_as_it_is(study_file, place):
    text = MINIMAL.replace("events.csv", f'"{place}"')
    assert Study.load(study_file(text)).data.interactions == place.replace("\\0", "\0")


def test_an_option_that_is_no_utf_8_or_too_deep_is_refused(study_file):
    path = study_file(MINIMAL)
    for override, rule in [("stoppi\udcffng=1", "must be text in UTF-8"), ("a." * 100 + "b=1", "at most 64")]:
        with pytest.raises(StudyError, match=rule):
            Study.load(path, [override])


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("folds.seed=-1", "folds.seed"),
        ("search.time_budget=0h", "search.time_budget"),
        ("search.time_budget=9999999999d", "search.time_budget"),
        ("metrics.objective=NDCG@9999999999", "metrics.objective"),
        ("space={set: {cls: EASEModel, n: {float: [0, 1e300], step: 1e-5}}}", "space.set.n"),
        ("space={set: {cls: EASEModel, n: {float: [-1e308, 1e308]}}}", "space.set.n"),
        (
            "space={set: {cls: EASEModel, m: {int: [1, 99]}, n: {int: [1, 9000000], divides: m}}}",
            "space.set.n",
        ),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(study_file, override, where):
    with pytest.raises(StudyError) as caught:
        Study.load(study_file(MINIMAL), [override])
    assert [problem.where for problem in caught.value.problems] == [where]


def test_a_study_that_is_made_in_python_has_the_problems_of_its_file():
    plain = {**minimal(), "serach": {}, "folds": {"split": "last_n", "size": 0}, "study": "shop"}
    plain["data"] = {"interaction": "events.csv"}
    with pytest.raises(StudyError) as from_file:
        study_from_mapping(plain, source="shop")
    with pytest.raises(StudyError) as from_python:
        Study(**plain)
    assert str(from_python.value) == str(from_file.value)
    assert [problem.where for problem in from_python.value.problems][-1] == "serach"
    with pytest.raises(StudyError, match="Folds: 1 problem\n  size: must be given, but is missing"):
        type(study_from_mapping(minimal()).folds)(split="last_n")


def test_the_snapshot_keeps_what_a_study_prefers():
    metrics = {"objective": "NDCG@10", "direction": "maximize", "prefer": ["parameters"]}
    study = study_from_mapping({**minimal(), "metrics": metrics})
    assert study_from_mapping(yaml.safe_load(snapshot(study))).metrics == study.metrics


# --- keys in a wrong place, and sections in Python -----------------------------------------------


@pytest.mark.parametrize(
    ("changes", "where", "hint"),
    [
        ({"trials": 4}, "trials", "write it below `search`: it is search.trials"),
        ({"holdout": 1}, "holdout", "write it below `folds`: it is folds.holdout"),
        ({"search__epochs": 4}, "search.epochs", "valid: "),
        ({"space": {"cls": "A"}}, "space.cls", "write params of models below `set`: it is space.set.cls"),
        ({"metrics": "NDCG@10"}, "metrics", "write it as metrics: {objective: ..., direction: ...}"),
        ({"data": ["a.csv"]}, "data", "write it as data: {interactions: ...}"),
    ],
)
def test_a_key_in_a_wrong_place_is_told_its_right_one(changes, where, hint):
    with pytest.raises(StudyError) as caught:
        Study(**minimal(**changes))
    (problem,) = caught.value.problems
    assert problem.where == where
    assert problem.hint.startswith(hint)


def test_a_section_without_names_is_refused_with_how_it_is_made():
    with pytest.raises(
        StudyError, match=r"as Study\(key=value\), but got 'p1' without one\n.*Study.load reads"
    ):
        Study("p1")


def test_a_study_shows_what_was_given_and_no_table():
    table = pd.DataFrame({"user_id": [1], "item_id": [2], "datetime": ["2024-01-01"]})
    study = Study(**minimal(data={"interactions": table}, search={"trials": 3}))
    assert "data=Data(interactions=<in memory: pandas DataFrame>)" in repr(study)
    assert "search=Search(trials=3)" in repr(study)
    assert str(study) == repr(study)
    with pytest.raises(StudyError, match="data: must be a mapping of keys, but got pandas DataFrame\n"):
        Study(**minimal(data=table))
