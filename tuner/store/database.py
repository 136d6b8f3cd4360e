"""A study in a database: its URL without secrets, and opened with them.

A URL may name environment variables, as in ``postgresql+psycopg://me:${PGPASSWORD}@host/db``. It is kept and
shown as written; the variables are filled in where a connection is made, and nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tuner.errors import Problem, SearchError, StoreError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

__all__ = ["connected", "database_lost", "filled_url", "open_database", "told_if_database_lost"]

#: Seconds to wait for an answer when a connection is made.
CONNECT_TIMEOUT = 10
#: Seconds to wait for another process that writes to SQLite.
SQLITE_TIMEOUT = 60


def open_database(url: str, folder: Path, check: Callable[[], None] | None = None) -> RDBStorage:
    """Open the storage at a URL, making its tables if there are none.

    Parameters
    ----------
    url
        As the study has it.
    folder
        Of the study; a relative SQLite path is taken from there.
    check
        Raises if the study is no longer ours to write; is called whenever a connection has been made or
        taken up again, and before anything is done with it. See `tuner.store.locking.drivers.Hold`.

    Raises
    ------
    StoreError
        If it cannot be reached or used; no message holds the password.
    """
    from optuna.storages import RDBStorage  # noqa: PLC0415  # SQLAlchemy; most studies have a journal

    full = filled_url(url, folder)
    with _told(url, full):
        storage = RDBStorage(full.render_as_string(hide_password=False), engine_kwargs=_engine_options(full))
    if check is not None:
        _check_each_time(storage, check)
    return storage


def _check_each_time(storage: RDBStorage, check: Callable[[], None]) -> None:
    """Let no transaction begin that `check` has not passed.

    The connection is there when the check is made. A server that goes down after that takes the connection
    with it, and one that went down before has let go of the study, which the check tells: so what is written
    is written by who holds the study.
    """
    from sqlalchemy import event  # noqa: PLC0415  # as in `open_database`

    @event.listens_for(storage.engine, "checkout")
    def _checkout(*_: object) -> None:
        check()


@contextmanager
def connected(url: str, folder: Path) -> Iterator[Connection]:
    """Connect outside Optuna's pool, each statement its own transaction.

    Raises
    ------
    StoreError
        If the database cannot be reached.
    """
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415  # as in `open_database`

    full = filled_url(url, folder)
    with _told(url, full):
        engine = create_engine(full, poolclass=NullPool, **_engine_options(full))
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        yield connection


def _engine_options(full: URL) -> dict[str, object]:
    if full.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_TIMEOUT}}
    return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}, "pool_pre_ping": True}


def filled_url(url: str, folder: Path) -> URL:
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
        raise database_lost(url, _cause(error, url, filled_url(url, folder)), goes_on) from None


def database_lost(url: str, cause: str, goes_on: str) -> SearchError:
    """Return what is said of a database that can no longer be used; arguments as above."""
    hint = f"see that it runs and has room; {goes_on}"
    return SearchError(f"{url} can no longer be used: {cause}", hint=hint)


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
