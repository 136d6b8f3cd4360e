"""What an export cannot be asked for is refused in one line, and unknown users are named."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tuner.workflows.export.asked import broken_rule, unknown_users


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
    assert re.match(rule, broken_rule(users, k))


def test_many_unknown_users_are_counted():
    assert unknown_users([*map(str, range(1200))]).endswith(
        ": 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (1,200 in all)"
    )
