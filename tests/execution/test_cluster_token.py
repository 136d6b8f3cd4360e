"""The token of a cluster: other users cannot read its file, or it is refused."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.errors import ClusterError
from tuner.execution.cluster_token import use_cluster_token

NOBODY = 65534


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    file = folder / "auth_token"
    file.write_text("s3cret")
    file.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # so that it is restored
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    yield file
    shutil.rmtree(folder)


def test_a_token_that_others_can_read_is_narrowed_and_used(token: Path) -> None:
    use_cluster_token()
    assert token.stat().st_mode & 0o777 == 0o600
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.skipif(os.geteuid() != 0, reason="to become another user needs root")
def test_a_token_of_another_user_that_all_can_read_is_refused(token: Path) -> None:
    os.seteuid(NOBODY)
    try:
        with pytest.raises(
            ClusterError, match=r"must be readable by its owner only(.|\n)*chmod 600"
        ) as raised:
            use_cluster_token()
    finally:
        os.seteuid(0)
    assert "s3cret" not in str(raised.value)
    assert "RAY_AUTH_MODE" not in os.environ


def test_a_token_in_the_environment_needs_no_file(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "other")
    use_cluster_token()
    assert token.stat().st_mode & 0o777 == 0o644, "it is not used"
    assert os.environ["RAY_AUTH_MODE"] == "token"
