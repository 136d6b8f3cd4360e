"""A run in the background that is starting says so, and one that has ended is not asked to stop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tuner.errors import StoreError
from tuner.reporting.place import Place
from tuner.workflows import background


def test_before_its_store_and_after_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, asked = threading.Event(), []

    def search(stop: background.StopRequest) -> object:
        stop.listen(lambda: asked.append(1))
        free.wait(60)
        return "board"

    going = background.BackgroundRun(Place(tmp_path / "shop"), search)
    with pytest.raises(StoreError, match="the run is starting and has none yet"):
        going.board()
    free.set()
    going.wait()
    monkeypatch.setattr(background, "board_of", lambda place: "board")
    assert going.stop() == "board"
    assert not asked
