"""What others may import, frozen: a change here is a change for them."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest

import search_spaces
import tuner

#: Functions with their arguments, and classes.
FUNCTIONS = {
    "Subset": "*options, at_least, when",
    "add_trial": "folder, params",
    "attach": "study, *, address",
    "check": "study",
    "compare": "first, *others, output",
    "exclude_trial": "folder, trial, why",
    "export": ("study, trial, *, to, before_holdout, seed, force, interactions, other_data, output"),
    "fetch": "study, *, address, to",
    "init": "data, to, *, force",
    "judge": "study, *, top, seeds, best, output",
    "list_studies": "folder",
    "load_model": "folder, interactions, *, changed",
    "load_study": "study, *, output, sort",
    "recommend": "model, users, k, *, at",
    "report": "study, to, *, markdown, figures, output",
    "reproduce": "study, trials, *, interactions, ended, output",
    "run": "study, output, *, console, events, address, background",
    "stop": "study, *, address",
    "stop_trial": "folder, trial",
    "submit": "study, *, address, output, overrides, profile",
}
CLASSES = [
    *("AtMost", "Choice", "Divides", "Fixed", "Float", "Int", "Leaderboard", "Space", "Study", "SumAtMost")
]
PUBLIC = sorted([*CLASSES, *FUNCTIONS])
MODULES = sorted(
    module.name
    for package in (tuner, search_spaces)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


def test_the_public_names_of_the_package():
    assert list(tuner.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_the_object_of_that_name(name):
    value = getattr(tuner, name)
    assert value.__name__ == name
    assert value.__module__.startswith("tuner.")
    assert value.__doc__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_what_it_took(name):
    """Names of arguments are in the code of others; those after ``*`` have no place."""
    parts, named = [], False
    for one in inspect.signature(getattr(tuner, name)).parameters.values():
        if one.kind is one.VAR_POSITIONAL:
            parts.append(f"*{one.name}")
        elif one.kind is one.KEYWORD_ONLY and not named and "*" not in "".join(parts):
            parts += ["*", one.name]
        else:
            parts.append(one.name)
        named = named or one.kind is one.KEYWORD_ONLY
    assert ", ".join(parts) == FUNCTIONS[name]


def test_a_function_has_an_example():
    documented = set(FUNCTIONS) - {"Subset", "add_trial", "exclude_trial", "stop_trial", "list_studies"}
    missing = [
        name for name in documented if "Examples\n" not in inspect.cleandoc(getattr(tuner, name).__doc__)
    ]
    assert missing == []


def test_public_names_can_be_imported_as_the_docstring_says():
    from tuner import Space, Study, run
    from tuner.config import Study as RealStudy
    from tuner.space import Space as RealSpace
    from tuner.workflows.run import run as real_run

    assert (Space, Study, run) == (RealSpace, RealStudy, real_run)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tuner' has no attribute 'Studdy'"):
        _ = tuner.Studdy
    assert not hasattr(tuner, "Studdy")


def test_all_modules_are_looked_at():
    assert {"tuner.cli", "tuner.space.domains", "tuner.config.load", "search_spaces.guide"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_is_public_and_has_it(name):
    if name.endswith(".triton_kernels"):
        pytest.importorskip("triton")  # optional: without it the fast paths use torch
    module = import_module(name)
    public = module.__all__
    assert len(set(public)) == len(public)
    assert [word for word in public if not hasattr(module, word)] == []
    assert [word for word in public if word.startswith("_")] == []
    assert module.__doc__, "a module begins by saying what it is"
