"""The place of a study's artifacts: one suite for a folder, a URL of fsspec's, and S3 on a real server."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.s3 import serve_s3
from tests.store.test_database import PLAIN
from tuner.artifacts.places import Artifacts, Folder, artifacts_at, try_out
from tuner.artifacts.sync import Mirror
from tuner.artifacts.user_values import read_users
from tuner.config import Study
from tuner.errors import StoreError
from tuner.execution.artifact_checks import check_here
from tuner.trials.records import Users


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with serve_s3() as url:
        yield url


@pytest.fixture(params=["folder", "fsspec", "s3"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    if request.param == "s3":
        url, mark, options = request.getfixturevalue("s3").partition("?")
        return artifacts_at(f"{url}/{uuid.uuid4().hex}{mark}{options}", "shop")
    place = f"memory://{uuid.uuid4().hex}" if request.param == "fsspec" else str(tmp_path / "shared")
    return artifacts_at(place, "shop")


def test_files_are_written_read_listed_and_removed_by_name(artifacts: Artifacts) -> None:
    assert artifacts.read("logs/a.log") is None
    assert list(artifacts.names("logs")) == []
    artifacts.delete("logs/a.log")
    artifacts.write("logs/a.log", b"one")
    artifacts.write("logs/a.log", b"two")
    artifacts.write("logs/deep/b.log", b"")
    artifacts.write("users/c", bytes(range(256)) * 1000)
    elsewhere: Artifacts = pickle.loads(pickle.dumps(artifacts))
    assert elsewhere.read("logs/a.log") == b"two"
    assert elsewhere.read("users/c") == bytes(range(256)) * 1000
    assert list(elsewhere.names("logs")) == ["logs/a.log", "logs/deep/b.log"]
    elsewhere.delete("logs/a.log")
    assert artifacts.read("logs/a.log") is None
    assert "/shop" in artifacts.place


def test_a_place_is_tried_out_and_left_as_it_was(artifacts: Artifacts) -> None:
    assert try_out(artifacts) is None
    assert list(artifacts.names(".check")) == []
    artifacts.write(".check/driver", b"")
    assert try_out(artifacts, ".check/driver") is None
    assert "is not visible here" in str(try_out(artifacts, ".check/other"))


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("/proc/nowhere", "No such file"),
        ("nonsense://x", "nonsense"),
        ("s3://no-such-bucket/x?scheme=http&endpoint_override=127.0.0.1:1&region=us-east-1", "onnect"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_clear_error(place: str, cause: str) -> None:
    with pytest.raises(StoreError, match="must be a place to write and read, but here: ") as raised:
        check_here(artifacts_at(place, "shop"))
    assert cause in str(raised.value)
    assert raised.value.exit_code == 2


def test_wrong_credentials_are_reported(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _, options = s3.partition("?")
    cause = try_out(artifacts_at(f"{url}-other?{options}", "shop"))
    assert cause is None  # below the same bucket
    cause = try_out(artifacts_at(f"s3://no-such-bucket?{options}", "shop"))
    assert cause is not None
    assert "bucket" in cause.lower()


def test_drivers_leave_each_other_what_the_race_needs(artifacts: Artifacts, tmp_path: Path) -> None:
    from tests.monitoring.test_tensorboard import POPULAR

    one, two = tmp_path / "one", tmp_path / "two"
    events = one / "tensorboard" / "0000-popular" / "events"
    events.parent.mkdir(parents=True)
    events.write_bytes(b"curves")
    users = Users(0, (1, 2), np.arange(6, dtype=np.float32).reshape(2, 3))
    artifacts.write("logs/trial-0000.log", b"said")
    artifacts.write("checkpoints/trial-0000.ckpt", b"half")
    job = POPULAR.__class__(0, POPULAR.params, POPULAR.seeds, "popular")
    mirror = Mirror(one, artifacts, n_folds=2)
    mirror.keep_users(0, users)
    mirror.failed(job, "cause", "log")
    assert (one / "logs" / "trial-0000.log").read_bytes() == b"said"
    assert list(artifacts.names("tensorboard")) == ["tensorboard/0000-popular/events"]
    other = Mirror(two, artifacts, n_folds=2)
    other.bring_users()
    other.bring_logs()
    (brought,) = read_users(two, 0)
    assert (brought.fold, brought.epochs, brought.values.tolist()) == (0, (1, 2), users.values.tolist())
    assert (two / "logs" / "trial-0000.log").exists()
    other.drop_checkpoint(0)
    assert list(artifacts.names("checkpoints")) == []


def test_a_file_that_is_not_written_whole_is_not_there(tmp_path: Path) -> None:
    place = Folder(str(tmp_path))
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="irectory"):
        place.write("a", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("place", ["s3://bucket/prefix", "/mnt/shared", "gs://bucket", "file:///mnt/x"])
def test_a_study_names_its_place(place: str) -> None:
    assert Study.model_validate({**PLAIN, "artifacts": place}).artifacts == place


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("results", "must be an absolute path that all hosts share, or a URL, but got 'results'"),
        ("s3://key:s3cret@bucket", "must hold no credentials"),
        ("s3://bucket?secret_key=s3cret", "must hold no credentials"),
        ("s3://bucket?endpoint_override=http://me:s3cret@host:9000", "must hold no credentials"),
        ("s3://bucket?endpoint_override=me:s3cret@host:9000", "must hold no credentials"),
    ],
)
def test_what_is_no_place_is_refused_without_repeating_a_secret(place: str, rule: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Study.model_validate({**PLAIN, "artifacts": place})
    (error,) = raised.value.errors()
    assert rule in error["msg"]
    assert "s3cret" not in error["msg"]
