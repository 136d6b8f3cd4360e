"""The study file's `storage`: which URLs it takes, and that it repeats no password."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tuner.config import Study

PLAIN = {
    "study": "shop",
    "data": {"interactions": "events.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": "NDCG@10", "direction": "maximize"},
    "space": "search_spaces.guide",
}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///trials.db",
        "sqlite:////var/trials.db",
        "postgresql+psycopg://me@host/db",
        "postgresql+psycopg://me:${PGPASSWORD}@host:5432/db",
        "postgresql+psycopg://me@/db?host=/run/postgresql&password=${PGPASSWORD}",
    ],
)
def test_a_database_is_named_by_its_url(url: str) -> None:
    assert Study.model_validate({**PLAIN, "storage": url}).storage == url


def test_by_default_a_study_has_a_journal() -> None:
    assert Study.model_validate(PLAIN).storage is None


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("trials-s3cret.db", "must be a URL that begins with sqlite:/// or postgresql"),
        ("mysql://me:s3cret@host/db", "must be a URL that begins with"),
        ("postgresql+psycopg://me:s3cret@host/db", "must hold no password"),
        ("postgresql+psycopg://me:s3cret/p@ss@host/db", "must hold no password"),
        ("postgresql+psycopg://me:${USER}s3cret@host/db", "must hold no password"),
        ("postgresql+psycopg://me@host/db?password=s3cret", "must hold no password"),
        ("postgresql+psycopg://me@host/db?x=1&sslpassword=s3cret", "must hold no password"),
        ("postgresql+psycopg://me@host/db?pass%77ord=s3cret", "must hold no password"),
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str, rule: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Study.model_validate({**PLAIN, "storage": url})
    (error,) = raised.value.errors()
    assert error["msg"].startswith(f"Value error, {rule}")
    assert "s3cret" not in error["msg"]


def test_only_a_database_can_be_shared() -> None:
    shared = {**PLAIN, "share": True}
    assert Study.model_validate({**shared, "storage": "sqlite:///trials.db"}).share
    with pytest.raises(ValidationError, match="must be used with a database, because only one driver"):
        Study.model_validate(shared)
    with pytest.raises(ValidationError) as raised:  # what is wrong with the storage is all there is to say
        Study.model_validate({**shared, "storage": "trials.db"})
    assert raised.value.error_count() == 1
