"""A session on a Ray that the user has started."""

from __future__ import annotations

import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
import ray

from tuner.errors import UserError
from tuner.execution.session import ray_session
from tuner.space import Choice, Space

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CELL = "cell_0123456789ab"


@pytest.fixture
def started():
    """Start Ray as a cell of a notebook may do before it searches."""
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_modules_of_cells_are_refused_after_an_init_of_the_users(started, tmp_path, monkeypatch):
    (tmp_path / f"{CELL}.py").write_text("class Own: pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, CELL, import_module(CELL))
    space = Space({"cls": "SASRecModel", "transformer_layers_type": Choice(f"{CELL}.Own")})
    study = SimpleNamespace(metrics=SimpleNamespace(own=()))
    prepared = SimpleNamespace(space=space, baselines=(), study=study)
    with pytest.raises(UserError, match=CELL) as refused, ray_session(prepared):
        pass
    assert "ray.shutdown()" in str(refused.value)
    assert ray.is_initialized()
