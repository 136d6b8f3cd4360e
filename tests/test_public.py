"""What others may import, frozen: a change here is a change for them."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

import search_spaces
import tuner

PUBLIC = [
    "AtMost",
    "Choice",
    "Divides",
    "Fixed",
    "Float",
    "Int",
    "Leaderboard",
    "Space",
    "Study",
    "Subset",
    "SumAtMost",
    "add_trial",
    "exclude_trial",
    "list_studies",
    "run",
    "stop_trial",
]
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
