"""Which modules are sent to workers: the user's own, and no others."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from tuner.execution.user_modules import own_modules, path_variables, see_user_folders, shadow_lines


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


def test_a_module_with_the_name_of_an_installed_one_is_named(tmp_path: Path) -> None:
    for name in ("queue.py", "mine.py", "test.py"):
        (tmp_path / name).write_text("")
    for name in ("torch", "my_package"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    lines = shadow_lines([tmp_path, tmp_path])
    assert [line.split()[1] for line in lines] == ["queue.py", "test.py", "torch"]
    assert "a module of Python" in lines[0]
    assert "a module of an installed package" in lines[2]
    assert shadow_lines([tmp_path / "nowhere"]) == []


def test_the_folders_of_the_user_come_last_and_sent_copies_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = "/tmp/ray/py_modules_files/_ray_pkg_1"
    monkeypatch.setattr(sys, "path", [sent, "/usr/lib/python3", "/env/site-packages"])
    monkeypatch.setenv("TUNER_USER_FOLDERS", os.pathsep.join(["/home/me/shop", "/env/site-packages"]))
    see_user_folders()
    assert sys.path == ["/usr/lib/python3", "/env/site-packages", "/home/me/shop", sent]


def test_the_files_of_a_job_come_last_too(monkeypatch: pytest.MonkeyPatch) -> None:
    job = "/tmp/ray/session_1/working_dir_files/_ray_pkg_1"
    monkeypatch.setattr(sys, "path", [job, "/usr/lib/python3"])
    monkeypatch.delenv("TUNER_USER_FOLDERS", raising=False)
    see_user_folders()
    assert sys.path == [job, "/usr/lib/python3", f"{job}/user-files"]


def test_workers_get_the_import_paths_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/home/me/lib")
    monkeypatch.syspath_prepend("/home/me/more")
    variables = path_variables()
    folders = variables["TUNER_USER_FOLDERS"].split(os.pathsep)
    assert folders[:2] == [str(tmp_path), "/home/me/more"]
    assert not any(folder.startswith((sys.prefix, sys.base_prefix)) for folder in folders)
    assert variables["PYTHONPATH"].split(os.pathsep)[0] == "/home/me/lib"
