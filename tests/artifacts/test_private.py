"""Rights of files: what is made in `private_files` belongs to its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tuner.artifacts.private import narrow_rights, private_files
from tuner.store.database import open_database


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def rights(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_files_folders_and_those_of_processes_are_their_owners(tmp_path: Path, umask: int) -> None:
    with private_files():
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("text")
        subprocess.run(["touch", str(tmp_path / "other")], check=True)
    assert rights(tmp_path) == {0o700, 0o600}
    assert os.umask(umask) == umask, "it is as it was"


def test_sqlite_keeps_its_journals_private(tmp_path: Path, umask: int) -> None:
    with private_files():
        storage = open_database("sqlite:///trials.db", tmp_path)
        with storage.engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))
            connection.execute(text("CREATE TABLE more (a INTEGER)"))
            names = {path.name for path in tmp_path.iterdir()}
            assert names == {"trials.db", "trials.db-wal", "trials.db-shm"}
            assert rights(tmp_path) == {0o600}
        storage.engine.dispose()


def test_rights_are_narrowed_in_a_folder_and_links_are_left(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "folder"
    target.write_text("text")
    target.chmod(0o644)
    folder.mkdir()
    (folder / "script").write_text("text")
    (folder / "link").symlink_to(target)
    (folder / "script").chmod(0o755)
    folder.chmod(0o777)
    assert narrow_rights(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "script").stat().st_mode) == 0o700
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert not narrow_rights(folder)
