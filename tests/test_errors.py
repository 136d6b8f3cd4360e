"""The exception tree, and what a person reads."""

from __future__ import annotations

import copy
import pickle
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tuner
import tuner.errors
from tuner import load_study
from tuner.cli import main
from tuner.errors import (
    DataError,
    Problem,
    SearchError,
    SpaceError,
    StoreError,
    StudyError,
    TrialError,
    TunerError,
    UserError,
    did_you_mean,
)
from tuner.errors.caller import argument, command_line, hint

USER_ERRORS = [DataError, SpaceError, StoreError, StudyError, UserError]


def test_the_docstring_draws_the_tree():
    drawn = {}
    above = {}
    for line in tuner.errors.__doc__.splitlines():
        match = re.match(r"^([\s│├└─]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1])
            parents = [name for other, name in sorted(above.items()) if other < depth]
            drawn[match[2]] = parents[-1] if parents else "Exception"
            above[depth] = match[2]
    real = {
        name: value.__base__.__name__
        for name, value in vars(tuner.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert drawn == real
    assert set(real) < set(tuner.errors.__all__)


def test_exit_codes():
    assert {cls.exit_code for cls in USER_ERRORS} == {2}
    assert {cls.exit_code for cls in (TunerError, TrialError, SearchError)} == {1}


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("search.trials", "must be at least 1, but got 0"),
            "search.trials: must be at least 1, but got 0",
        ),
        (Problem("a.b", "is no key", None, 7), "a.b (line 7): is no key"),
        (Problem("", "must be a file"), "must be a file"),
        (Problem("a", "is no key", "did you mean 'b'?", 3), "a (line 3): is no key\n    did you mean 'b'?"),
    ],
)
def test_a_problem_says_where_the_rule_and_what_to_do(problem, text):
    assert str(problem) == text


def test_an_error_lists_all_its_problems():
    one = StudyError("shop.yaml", [Problem("a", "must be b")])
    assert str(one) == "shop.yaml: 1 problem\n  a: must be b"
    two = StudyError("shop.yaml", iter([Problem("a", "must be b", "do c", 1), Problem("d", "is no key")]))
    assert str(two) == "shop.yaml: 2 problems\n  a (line 1): must be b\n      do c\n  d: is no key"
    assert [problem.where for problem in two.problems] == ["a", "d"]


def test_a_hint_is_below_the_message():
    assert str(SearchError("all failed")) == "all failed"
    assert str(SearchError("all failed", hint="see logs")) == "all failed\n  see logs"


@pytest.mark.parametrize("cls", USER_ERRORS)
@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_crosses_processes_with_its_problems(cls, duplicate):
    error = cls("shop.yaml", [Problem("a", "must be b", "do c", 1)])
    again = duplicate(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert (again.source, again.problems) == (error.source, error.problems)


@pytest.mark.parametrize("cls", [TunerError, TrialError, SearchError])
def test_a_message_crosses_processes_with_its_hint(cls):
    again = pickle.loads(pickle.dumps(cls("all failed", hint="see logs")))
    assert type(again) is cls
    assert (again.message, again.hint, str(again)) == ("all failed", "see logs", "all failed\n  see logs")


@pytest.mark.parametrize(
    ("name", "valid", "hint"),
    [
        ("trails", ["trials", "seed"], "did you mean 'trials'?"),
        ("ndcg", ["NDCG", "MAP"], "did you mean 'NDCG'?"),
        ("NDGC", ["NDCG", "MAP"], "did you mean 'NDCG'?"),
        ("zzz", ["b", "a"], "valid: a, b"),
    ],
)
def test_the_nearest_name_is_suggested(name, valid, hint):
    assert did_you_mean(name, valid) == hint


@given(st.lists(st.text("abcXYZ_", min_size=1), min_size=1, unique_by=str.lower), st.data())
def test_a_valid_name_in_another_case_is_found(valid, data):
    name = data.draw(st.sampled_from(valid))
    assert did_you_mean(name.swapcase(), valid) == f"did you mean {name!r}?"


def test_messages_are_in_the_words_of_who_calls(tmp_path, capsys):
    names = (
        argument("--json-lines"),
        argument("--set", "overrides"),
        hint(command="a command", python="a call"),
    )
    assert names == ("json_lines", "overrides", "a call")
    with command_line():
        assert (argument("--json-lines"), argument("--set", "overrides")) == ("--json-lines", "--set")
    with pytest.raises(StoreError, match=r"run run\(study\) first"):
        load_study(tmp_path)
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert "run `tuner run STUDY.yaml` first" in capsys.readouterr().err
    assert argument("--to") == "to"


@pytest.mark.parametrize(
    ("call", "where", "shown"),
    [
        (lambda: tuner.init(pd.DataFrame({"user_id": [1]})), "data", "DataFrame"),
        (lambda: tuner.init(None), "data", "None"),
        (lambda: tuner.init("clicks.csv", 5), "to", "5"),
        (lambda: tuner.list_studies([]), "folder", "list"),
        (lambda: tuner.load_model(""), "folder", "''"),
        (lambda: tuner.export("studies/shop", to=None), "to", "None"),
        (lambda: tuner.report("studies/shop", 5), "to", "5"),
    ],
)
def test_what_is_no_path_is_refused_in_a_line(call, where, shown):
    with pytest.raises(UserError) as caught:
        call()
    (problem,) = caught.value.problems
    assert (problem.where, problem.rule) == (where, f"must be a path, but got {shown}")


def test_one_study_cannot_be_compared():
    with pytest.raises(StoreError, match="must be at least two studies, but got one"):
        tuner.compare("studies/shop")


@pytest.mark.parametrize(
    ("text", "rule", "hint"),
    [
        (
            "low <= high must hold, but got 2, 1; put it first",
            "low <= high must hold, but got 2, 1",
            "put it first",
        ),
        ("must be a number, but got 'a; b'", "must be a number, but got 'a; b'", None),
        ("must be a number", "must be a number", None),
    ],
)
def test_the_hint_of_an_error_follows_a_semicolon(text: str, rule: str, hint: str | None) -> None:
    problem = Problem.of("lr", ValueError(text))
    assert (problem.where, problem.rule, problem.hint) == ("lr", rule, hint)
