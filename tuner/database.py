"""A study in a database: its URL without secrets, opened with them, and held by one driver.

A URL may name environment variables, as in ``postgresql+psycopg://me:${PGPASSWORD}@host/db``. It is kept and
shown as written; the variables are filled in where a connection is made, and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tuner.errors import Problem, SearchError, StoreError
from tuner.locks import hold_lock, lock_holder

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

__all__ = ["database_holder", "hold_database", "open_database", "told_if_database_lost"]

#: Seconds to wait for an answer when a connection is made.
CONNECT_TIMEOUT = 10
#: PostgreSQL's settings for the connection that holds a study: it notices within a minute that the driver's
#: host is gone, where its own default is two hours.
_KEEPALIVE = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
#: Who has the advisory lock with a key of 64 bits; PostgreSQL shows it as two halves.
_HOLDER = """
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND (classid::bigint << 32) | objid::bigint = :key
"""


def open_database(url: str, folder: Path) -> RDBStorage:
    """Open the storage at a URL, making its tables if there are none.

    Parameters
    ----------
    url
        As the study has it.
    folder
        Of the study; a relative SQLite path is taken from there.

    Raises
    ------
    StoreError
        If it cannot be reached or used; no message holds the password.
    """
    from optuna.storages import RDBStorage  # noqa: PLC0415  # SQLAlchemy; most studies have a journal

    full = _filled(url, folder)
    with _told(url, full):
        return RDBStorage(full.render_as_string(hide_password=False), engine_kwargs=_engine_options(full))


@contextmanager
def hold_database(url: str, folder: Path, study: str) -> Iterator[None]:
    """Hold a study in a database for this process; the database lets go when the process or its host dies.

    PostgreSQL holds it by an advisory lock of the session, SQLite by a locked file beside the database.

    Raises
    ------
    StoreError
        If another process runs the study, saying which; or if the database cannot be reached.
    """
    full = _filled(url, folder)
    if full.get_backend_name() == "sqlite":
        with hold_lock(*_lock_file(full, study), source=url):
            yield
        return
    with _connected(url, full) as connection:
        if not _lock(connection, study):
            holder = _who(connection, study) or "another process"
            hint = "wait for it, or end it; `tuner leaderboard` works meanwhile"
            problem = Problem("", f"must be free, but {holder} is running {study!r}", hint)
            raise StoreError(url, [problem])
        yield


def database_holder(url: str, folder: Path, study: str) -> str | None:
    """Return who runs a study at the moment, None if nobody does.

    Raises
    ------
    StoreError
        If the database cannot be reached.
    """
    full = _filled(url, folder)
    if full.get_backend_name() == "sqlite":
        return lock_holder(*_lock_file(full, study))
    with _connected(url, full) as connection:
        return _who(connection, study)


def _lock_file(full: URL, study: str) -> tuple[Path, str]:
    path = Path(full.database or "")
    return path.parent, f".{path.name}.{study}.lock"


def _lock(connection: Connection, study: str) -> bool:
    """Try to take a study's lock for as long as the connection lives."""
    from sqlalchemy import text  # noqa: PLC0415  # as in `open_database`

    settings = {"application_name": f"process {os.getpid()} on {socket.gethostname()}"[:63], **_KEEPALIVE}
    for name, value in settings.items():
        connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})
    taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(study)})
    return bool(taken.scalar())


def _who(connection: Connection, study: str) -> str | None:
    from sqlalchemy import text  # noqa: PLC0415  # as in `open_database`

    row = connection.execute(text(_HOLDER), {"key": _key(study)}).first()
    return None if row is None else row[0] or "another process"


def _key(study: str) -> int:
    """Return a study's number among advisory locks: 63 bits of a hash."""
    return int.from_bytes(hashlib.sha256(f"rectools-tuner {study}".encode()).digest()[:8], "big") >> 1


@contextmanager
def _connected(url: str, full: URL) -> Iterator[Connection]:
    """Connect outside Optuna's pool, each statement its own transaction."""
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415  # as in `open_database`

    with _told(url, full):
        engine = create_engine(full, poolclass=NullPool, **_engine_options(full))
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        yield connection


def _engine_options(full: URL) -> dict[str, object]:
    if full.get_backend_name() == "sqlite":
        return {}
    return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}, "pool_pre_ping": True}


def _filled(url: str, folder: Path) -> URL:
    """Return a URL with its environment variables, and with an absolute path.

    Raises
    ------
    StoreError
        If a variable is not set or it is no URL.
    """
    from sqlalchemy import make_url  # noqa: PLC0415  # as in `open_database`

    missing = [name for name in re.findall(r"\$\{(\w+)\}", url) if name not in os.environ]
    if missing:
        hint = f"export {missing[0]}=..., or leave the password to ~/.pgpass"
        problem = Problem("storage", f"must name variables that are set, but {missing[0]} is not", hint)
        raise StoreError(url, [problem])
    with _told(url, None):
        full = make_url(re.sub(r"\$\{(\w+)\}", lambda name: quote(os.environ[name[1]], safe=""), url))
    if full.get_backend_name() == "sqlite":
        full = full.set(database=str(folder / (full.database or "study.db")))
    return full


@contextmanager
def _told(url: str, full: URL | None) -> Iterator[None]:
    """Tell what a driver says about a database in one line, without the password."""
    from optuna.exceptions import OptunaError  # noqa: PLC0415  # as in `open_database`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as in `open_database`

    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError, ValueError) as error:
        cause = _cause(error, url, full)
        missing = isinstance(error, ImportError)
        hint = "pip install 'rectools-tuner[postgres]'" if missing else "is it running, and the URL right?"
        raise StoreError(
            url, [Problem("storage", f"must be a database to work in, but {cause}", hint)]
        ) from None


@contextmanager
def told_if_database_lost(url: str, folder: Path, goes_on: str) -> Iterator[None]:
    """Tell that a database which could be used no longer can.

    Parameters
    ----------
    url, folder
        As `open_database` takes them.
    goes_on
        How the search can be continued.

    Raises
    ------
    SearchError
        With the cause in one line, without the password.
    """
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415  # as in `open_database`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as in `open_database`

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = _cause(error, url, _filled(url, folder))
        hint = f"see that it runs and has room; {goes_on}"
        raise SearchError(f"{url} can no longer be used: {cause}", hint=hint) from None


def _cause(error: Exception, url: str, full: URL | None) -> str:
    """Return what the driver says, in one line and without secrets; Optuna and SQLAlchemy say less."""
    told = error.__cause__ if isinstance(error.__cause__, Exception) else error
    cause = str(getattr(told, "orig", None) or told).strip().splitlines()[0]
    for secret in _secrets(url, full):
        cause = cause.replace(secret, "***")
    return cause


def _secrets(url: str, full: URL | None) -> list[str]:
    """Return what a message must not hold: the password, and the variables that the URL names."""
    values = [os.environ.get(name, "") for name in re.findall(r"\$\{(\w+)\}", url)]
    password = str(full.password) if full is not None and full.password else ""
    return [secret for value in {*values, password} if value for secret in (value, quote(value, safe=""))]
