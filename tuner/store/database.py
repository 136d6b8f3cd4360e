"""Opens a study in a database.

A URL may name environment variables, as in ``postgresql+psycopg://me:${PGPASSWORD}@host/db``. It is stored
and shown as it is written. Only when a connection is made, the variables are filled in.
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

__all__ = ["connected", "database_lost", "filled_url", "open_database", "report_lost_database"]

#: Seconds to wait for an answer when a connection is made.
CONNECT_TIMEOUT = 10
#: Seconds to wait for another process that writes to SQLite.
SQLITE_TIMEOUT = 60


def open_database(url: str, folder: Path, check: Callable[[], None] | None = None) -> RDBStorage:
    """Open the storage at a URL. Missing tables are created.

    Parameters
    ----------
    url
        URL as in the study.
    folder
        Folder of the study. A relative path of SQLite begins there.
    check
        Function that raises an error if this process no longer holds the study's lock. It is called each time
        a connection is made or taken from the pool, before the connection is used. See
        `tuner.store.locking.drivers.Hold`.

    Raises
    ------
    StoreError
        If the database cannot be reached or used. The message does not contain the password.
    """
    from optuna.storages import RDBStorage  # noqa: PLC0415  # imports SQLAlchemy, but most studies have a journal

    full = filled_url(url, folder)
    with _one_line_errors(url, full):
        storage = RDBStorage(full.render_as_string(hide_password=False), engine_kwargs=_engine_options(full))
    if check is not None:
        _check_each_time(storage, check)
    return storage


def _check_each_time(storage: RDBStorage, check: Callable[[], None]) -> None:
    """Call `check` before each transaction.

    Only the driver that holds the lock can write. `check` runs when the connection exists already. If the
    server goes down later, the connection is lost and nothing is written. If the server went down earlier,
    the lock was lost with it, and `check` raises an error.
    """
    from sqlalchemy import event  # noqa: PLC0415  # as in `open_database`

    @event.listens_for(storage.engine, "checkout")
    def _checkout(*_: object) -> None:
        check()


@contextmanager
def connected(url: str, folder: Path) -> Iterator[Connection]:
    """Connect outside Optuna's pool. Each statement is its own transaction.

    Raises
    ------
    StoreError
        If the database cannot be reached.
    """
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415  # as in `open_database`

    full = filled_url(url, folder)
    with _one_line_errors(url, full):
        engine = create_engine(full, poolclass=NullPool, **_engine_options(full))
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        yield connection


def _engine_options(full: URL) -> dict[str, object]:
    if full.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_TIMEOUT}}
    return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}, "pool_pre_ping": True}


def filled_url(url: str, folder: Path) -> URL:
    """Return a URL with the values of its environment variables, and with an absolute path for SQLite.

    Raises
    ------
    StoreError
        If a variable is not set, or the text is not a URL.
    """
    from sqlalchemy import make_url  # noqa: PLC0415  # as in `open_database`

    missing = [name for name in re.findall(r"\$\{(\w+)\}", url) if name not in os.environ]
    if missing:
        hint = f"export {missing[0]}=..., or leave the password to ~/.pgpass"
        problem = Problem("storage", f"must name variables that are set, but {missing[0]} is not set", hint)
        raise StoreError(url, [problem])
    with _one_line_errors(url, None):
        full = make_url(re.sub(r"\$\{(\w+)\}", lambda name: quote(os.environ[name[1]], safe=""), url))
    if full.get_backend_name() == "sqlite":
        full = full.set(database=str(folder / (full.database or "study.db")))
    return full


@contextmanager
def _one_line_errors(url: str, full: URL | None) -> Iterator[None]:
    """Raise errors of the database as a `StoreError` in one line, without the password."""
    from optuna.exceptions import OptunaError  # noqa: PLC0415  # as in `open_database`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as in `open_database`

    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError, ValueError) as error:
        cause = _cause(error, url, full)
        missing = isinstance(error, ImportError)
        hint = "pip install 'rectools-tuner[postgres]'" if missing else "is it running, and is the URL right?"
        rule = f"must be a database that can be used, but got the error: {cause}"
        raise StoreError(url, [Problem("storage", rule, hint)]) from None


@contextmanager
def report_lost_database(url: str, folder: Path, goes_on: str) -> Iterator[None]:
    """Raise a `SearchError` if a database can no longer be used.

    Parameters
    ----------
    url, folder
        See `open_database`.
    goes_on
        How the search can be continued.

    Raises
    ------
    SearchError
        If the database can no longer be used. The message has the cause in one line, without the password.
    """
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415  # as in `open_database`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as in `open_database`

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise database_lost(url, _cause(error, url, filled_url(url, folder)), goes_on) from None


def database_lost(url: str, cause: str, goes_on: str) -> SearchError:
    """Return the error for a database that can no longer be used; see `report_lost_database`."""
    hint = f"check that it runs and has free disk space; {goes_on}"
    return SearchError(f"{url} can no longer be used: {cause}", hint=hint)


def _cause(error: Exception, url: str, full: URL | None) -> str:
    """Return the message of the database's driver in one line and without secrets.

    The messages of Optuna and SQLAlchemy have less information.
    """
    inner = error.__cause__ if isinstance(error.__cause__, Exception) else error
    cause = str(getattr(inner, "orig", None) or inner).strip().splitlines()[0]
    for secret in _secrets(url, full):
        cause = cause.replace(secret, "***")
    return cause


def _secrets(url: str, full: URL | None) -> list[str]:
    """Return texts that a message must not contain: the password, and the values of the URL's variables."""
    values = [os.environ.get(name, "") for name in re.findall(r"\$\{(\w+)\}", url)]
    password = str(full.password) if full is not None and full.password else ""
    return [secret for value in {*values, password} if value for secret in (value, quote(value, safe=""))]
