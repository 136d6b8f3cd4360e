"""Which modules are sent to workers: the user's own, and no others."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tuner.execution.user_modules import own_modules


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three modules of the user's: one names the second, nobody names the third."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_file.py").write_text("from own_package.inner import Part\n")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "inner.py").write_text("class Part: pass\n")
    (tmp_path / "own_idle.py").write_text("")
    names = ("own_file", "own_package", "own_idle")
    for name in names:
        importlib.import_module(name)
    yield tmp_path
    for name in [loaded for loaded in sys.modules if loaded.partition(".")[0] in names]:
        del sys.modules[name]


def test_a_named_module_is_sent_with_what_it_imports(own: Path) -> None:
    both = [str(own / "own_file.py"), str(own / "own_package")]
    assert own_modules(["softmax", 0.5, None, "own_file.Layers"]) == both
    assert own_modules([("own_package.inner.Part", "x")]) == both[1:]


def test_what_is_installed_and_what_is_ours_is_not_sent(own: Path) -> None:
    values = (
        "rectools.models.nn.item_net.IdEmbeddingsItemNet",
        "search_spaces.albert.AlbertLayers",
        "json.x",
        "0.5",
    )
    assert own_modules([values, "tuner.workflows.run.run", "__main__.Mine", "nowhere.Mine"]) == []


def test_what_another_environment_lends_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lent = tmp_path / "site-packages"
    lent.mkdir()
    (lent / "lent_module.py").write_text("class Part: pass\n")
    monkeypatch.syspath_prepend(str(lent))
    importlib.import_module("lent_module")
    try:
        assert own_modules(["lent_module.Part"]) == []
    finally:
        del sys.modules["lent_module"]
