"""What an export cannot be asked for is refused in one line; what it answers otherwise than asked is told."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from rectools.dataset import Dataset, Interactions

from tuner.data import reading
from tuner.workflows.export import serving
from tuner.workflows.export.asked import DEFAULT_K, broken_options, broken_rule, to_tell
from tuner.workflows.export.code import Code, requirements


@pytest.mark.parametrize(
    ("users", "k", "rule"),
    [
        ("U1", 1, r"users must be a list of ids, but got the single text 'U1'; give \['U1'\]"),
        (pd.DataFrame({"user_id": [1]}), 1, "users must be a list of ids, but got a table"),
        (None, 1, "users must be a list of ids, but got None"),
        (7, 1, "users must be a list of ids, but got 7"),
        ([7], 2.0, "k must be a whole number of items, such as 10, but got 2.0"),
        ([7], "3", "k must be a whole number of items, such as 10, but got '3'"),
        ([7], True, "k must be a whole number of items, such as 10, but got True"),
        ([7], 0, "k must be at least 1, but got 0"),
        ([7], -1, "k must be at least 1, but got -1"),
    ],
)
def test_what_no_model_can_be_asked_for(users, k, rule):
    assert re.match(rule, broken_rule(users, k, None))


@pytest.mark.parametrize("at", ["soon", "", ["2024-01-01"], float("nan")])
def test_what_is_no_time_is_refused_whatever_the_model(at):
    assert broken_rule([7], 1, at) == f"at must be a time, such as 2024-12-31, but got {at!r}"
    assert broken_rule([7], 1, "2024-12-31") is None


@pytest.fixture(scope="module")
def dataset(interactions):
    """Interactions in which a user of the fit has no row, as in newer interactions."""
    whole = Dataset.construct(interactions)
    user = whole.user_id_map.convert_to_internal([100])[0]
    rows = whole.interactions.df
    return Dataset(whole.user_id_map, whole.item_id_map, Interactions(rows[rows["user_id"] != user].copy()))


def test_many_users_are_counted(dataset):
    (line,) = to_tell(dataset, [], [*map(str, range(1200))], at=None, uses_time=False)
    assert line.endswith("not in the interactions: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (1,200 in all)")


def test_a_user_without_a_row_and_a_time_without_effect_are_told(dataset):
    without, time = to_tell(dataset, [101, 100, 102], [], at="2024-12-31", uses_time=False)
    assert without.startswith("no rows in these interactions for 100: they get what the model recommends")
    assert time == "the time of the recommendation changes nothing: this model does not use it"
    assert not [*to_tell(dataset, [101, 102], [], at="2024-12-31", uses_time=True)]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, None),
        ({"k": 3}, None),
        ({"check": True}, None),
        ({"k": 0}, "-k must be at least 1, but got 0"),
        ({"check": True, "k": 3}, "--check makes the sample of the export again: leave -k"),
        ({"check": True, "interactions": "new.csv"}, "--check makes the sample of the export again"),
    ],
)
def test_a_check_of_an_export_takes_no_other_question(options, rule):
    given = {"check": False, "k": DEFAULT_K, "interactions": None, **options}
    found = broken_options(argparse.Namespace(**given))
    assert found is None if rule is None else found.startswith(rule)


def test_all_that_an_export_imports_is_in_its_requirements():
    """Also without torch, which would bring fsspec."""
    exported = [Path(serving.__file__).with_name(f"{name}.py") for name in ("serving", "asked", "newer")]
    exported += sorted(Path(reading.__file__).parent.glob("*.py"))
    names = set()
    for path in exported:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    lines = requirements(Code({}, ()), trained_by_torch=False)
    pinned = {line.partition("==")[0].partition("[")[0] for line in lines}
    assert names - sys.stdlib_module_names - {"__future__"} <= pinned
    assert {"fsspec", "pandas", "rectools"} <= names
