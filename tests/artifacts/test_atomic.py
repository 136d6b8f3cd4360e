"""Files and folders are replaced as a whole, also by a writer that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.artifacts.atomic import is_unfinished, remove_leftovers, replaced_file, replaced_folder, write_file

N_BYTES = 200_000

#: Writes half of the new content, says so, and waits.
HALF_A_FILE = """
import sys
from pathlib import Path
from tuner.artifacts.atomic import replaced_file

with replaced_file(Path(sys.argv[1])) as path, path.open("wb") as file:
    file.write(b"new" * 1000)
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
"""
HALF_A_FOLDER = """
import sys
from pathlib import Path
from tuner.artifacts.atomic import replaced_folder

with replaced_folder(Path(sys.argv[1])) as folder:
    (folder / "one").write_text("new")
    print("half", flush=True)
    sys.stdin.read()
"""
#: Writes without end; each content is one byte, many times.
WITHOUT_END = """
import itertools, sys
from pathlib import Path
from tuner.artifacts.atomic import write_file

for number in itertools.count():
    write_file(Path(sys.argv[1]), bytes([number % 256]) * int(sys.argv[2]))
    print(number, flush=True)
"""


def killed(script: str, *words: object, at: str) -> None:
    """Run a script until it prints a line, then kill it."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert any(line.strip() == at for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if is_unfinished(path.name)]


def test_a_writer_killed_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a" / "file.txt"
    write_file(path, b"old")
    write_file(path.with_name("file.txt2"), b"another")
    killed(HALF_A_FILE, path, at="half")
    assert path.read_bytes() == b"old"
    assert len(leftovers(path.parent)) == 1
    remove_leftovers(path.with_name("file.txt2"))
    assert len(leftovers(path.parent)) == 1, "of another file"
    remove_leftovers(path)
    assert sorted(one.name for one in path.parent.iterdir()) == ["file.txt", "file.txt2"]


@pytest.mark.parametrize("after", [0, 1, 7, 30])
def test_a_writer_killed_at_any_time_leaves_one_content(tmp_path, after):
    path = tmp_path / "file"
    killed(WITHOUT_END, path, N_BYTES, at=str(after))
    content = path.read_bytes()
    assert len(content) == N_BYTES
    assert len(set(content)) == 1, "of one writing"


def test_a_reader_sees_whole_files_only(tmp_path):
    path = tmp_path / "file"
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_END, str(path), str(N_BYTES)], stdout=subprocess.PIPE, text=True
    )
    with process:
        seen = {process.stdout.readline().strip()}
        for _ in range(200):
            content = path.read_bytes()
            assert (len(content), len(set(content))) == (N_BYTES, 1)
        seen.add(process.stdout.readline().strip())
        process.kill()
    assert len(seen) == 2, "it wrote meanwhile"


def test_a_writer_killed_half_way_leaves_the_old_folder(tmp_path):
    target = tmp_path / "model"
    with replaced_folder(target) as folder:
        (folder / "one").write_text("old")
        (folder / "two").write_text("old")
    killed(HALF_A_FOLDER, target, at="half")
    assert {path.name: path.read_text() for path in target.iterdir()} == {"one": "old", "two": "old"}
    assert len(leftovers(tmp_path)) == 1


def test_a_folder_is_replaced_with_all_its_files(tmp_path):
    target = tmp_path / "deep" / "model"
    for content in ({"one": "1", "two": "2"}, {"three": "3"}):
        with replaced_folder(target) as folder:
            for name, text in content.items():
                (folder / name).write_text(text)
        assert {path.name: path.read_text() for path in target.iterdir()} == content
    assert leftovers(target.parent) == []
    assert [path for path in (target, *target.iterdir()) if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_no_trace(tmp_path, error):
    path, target = tmp_path / "file", tmp_path / "folder"
    write_file(path, b"old")
    target.mkdir()
    (target / "one").write_text("old")

    def fail_in_file() -> None:
        with replaced_file(path) as unfinished:
            unfinished.write_bytes(b"new")
            raise error

    def fail_in_folder() -> None:
        with replaced_folder(target) as folder:
            (folder / "two").write_text("new")
            raise error

    for fail in (fail_in_file, fail_in_folder):
        with pytest.raises(error):
            fail()
    assert path.read_bytes() == b"old"
    assert [one.name for one in target.iterdir()] == ["one"]
    assert leftovers(tmp_path) == []


def test_where_a_file_stands_no_folder_is_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):  # noqa: PT011  # the system's message
        write_file(tmp_path / "file" / "below", b"new")
