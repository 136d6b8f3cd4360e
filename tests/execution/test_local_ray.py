"""The folder of a private Ray: short enough for sockets, and removed with those of killed runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tuner.execution import local_ray


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="r"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    return folder


def test_the_folder_is_private_and_goes(temporary: Path) -> None:
    with local_ray._folder() as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []


def test_folders_of_killed_runs_go_and_those_in_use_stay(temporary: Path) -> None:
    abandoned, fresh, other = (temporary / f"tuner-ray-{name}" for name in ("old", "new", "unlocked"))
    for folder in (abandoned, fresh, other):
        folder.mkdir()
    for folder in (abandoned, fresh):
        (folder / ".lock").touch()
    os.utime(abandoned, (0, 0))
    os.utime(other, (0, 0))
    with local_ray._folder() as used:
        os.utime(used, (0, 0))
        with local_ray._folder() as second:
            assert set(temporary.iterdir()) == {fresh, other, used, second}


def test_a_path_that_is_too_long_for_sockets_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    assert local_ray._base() != long


def test_the_environment_is_restored(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    harmful = dict.fromkeys(local_ray._HARMFUL, "1")
    for name in harmful:
        monkeypatch.setenv(name, "1")
    with local_ray.private_ray() as options:
        assert not harmful.keys() & os.environ.keys(), "under these, processes of Ray die when they start"
        first = os.environ["RAY_AUTH_TOKEN"]
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert options["address"] == "local"
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert harmful.items() <= os.environ.items()
    assert "RAY_AUTH_TOKEN" not in os.environ
    with local_ray.private_ray():
        assert os.environ["RAY_AUTH_TOKEN"] != first
