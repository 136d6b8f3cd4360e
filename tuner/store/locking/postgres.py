"""Locks of a study in PostgreSQL: advisory locks, which the database releases when their session ends.

Each driver has a separate connection for its locks. It holds

- the lock of the study, exclusive or shared;
- the lock of its id, which shows other drivers that it is alive;
- while it starts a trial, the lock of the turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.store.database import connected, database_lost, report_lost_database
from tuner.store.hints import how_to_share
from tuner.store.locking.drivers import Driver, Hold, new_driver_id
from tuner.store.locking.files import busy, this_process

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["advisory_drivers", "hold_by_advisory_locks"]

#: PostgreSQL's settings for the connection with the locks. With them the server notices within a minute that
#: the driver's host is lost; by default it takes two hours.
_KEEPALIVE = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
#: Query for the drivers of a study in this database. Keys that consist of two halves are ids of drivers.
_DRIVERS = """
    SELECT to_hex(objid::bigint), application_name, shares FROM pg_locks AS one
    JOIN pg_stat_activity USING (pid)
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS shares FROM pg_locks AS other
        WHERE other.pid = one.pid AND other.locktype = 'advisory' AND other.mode = 'ShareLock'
    ) AS mode
    WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = :half
    AND one.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY backend_start
"""
_GONE = "the connection that held the study's lock was lost; the database may have been restarted"


@contextmanager
def hold_by_advisory_locks(
    url: str, folder: Path, study: str, *, shared: bool, goes_on: str
) -> Iterator[Hold]:
    """Hold the lock of a study in PostgreSQL. The server releases it when this process or its host ends.

    Parameters
    ----------
    url, folder
        See `tuner.store.database.open_database`.
    study
        Name of the study.
    shared
        Whether other drivers may run the study, too.
    goes_on
        Hint how to continue the search if the lock is lost.

    Raises
    ------
    StoreError
        If another process runs the study and does not share it (the message names it), or if the database
        cannot be reached.
    """
    with connected(url, folder) as connection:
        for name, value in {"application_name": this_process()[:63], **_KEEPALIVE}.items():
            _run(connection, "SELECT set_config(:name, :value, false)", name=name, value=value)
        lock = "SELECT pg_try_advisory_lock_shared(:key)" if shared else "SELECT pg_try_advisory_lock(:key)"
        if not _run(connection, lock, key=_key(study)):
            found = _drivers(connection, study)
            who = ", ".join(driver.words for driver, _ in found)
            together = any(shares for _, shares in found)
            hint = how_to_share(together=together) if together or shared else None
            raise busy(url, who, name=repr(study), hint=hint)
        driver = _numbered(connection, study)
        held = _Held(connection, url, folder, study, goes_on)
        yield Hold(driver, shared, held.living, held.turn, held.check)


@dataclass(frozen=True)
class _Held:
    """A connection that holds a study."""

    connection: Connection
    url: str
    folder: Path
    study: str
    goes_on: str

    def check(self) -> None:
        """Raise `SearchError` if the connection is gone, and the lock with it."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # most studies have a journal

        try:
            _run(self.connection, "SELECT 1")
        except SQLAlchemyError as error:
            raise database_lost(self.url, _GONE, self.goes_on) from error

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other drivers from taking a turn within it."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as above

        self.check()
        key = _key(f"{self.study} turn")
        with report_lost_database(self.url, self.folder, self.goes_on):
            _run(self.connection, "SELECT pg_advisory_lock(:key)", key=key)
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # a lock that is gone needs no unlocking; `check` will tell
                _run(self.connection, "SELECT pg_advisory_unlock(:key)", key=key)

    def living(self) -> tuple[Driver, ...]:
        """Return all drivers that run the study at the moment."""
        self.check()
        return tuple(driver for driver, _ in _drivers(self.connection, self.study))


def advisory_drivers(url: str, folder: Path, study: str) -> tuple[Driver, ...]:
    """Return the drivers that run a study now.

    Raises
    ------
    StoreError
        If the database cannot be reached.
    """
    with connected(url, folder) as connection:
        return tuple(driver for driver, _ in _drivers(connection, study))


def _numbered(connection: Connection, study: str) -> Driver:
    """Return a driver for this process, with an id that no other driver of the study has."""
    while True:
        number = new_driver_id()
        lock = "SELECT pg_try_advisory_lock(:half, :number)"
        if _run(connection, lock, half=_signed(_half(study)), number=_signed(int(number, 16))):
            return Driver(number, this_process())


def _drivers(connection: Connection, study: str) -> list[tuple[Driver, bool]]:
    """Return all drivers of a study, each with whether it shares the study."""
    from sqlalchemy import text  # noqa: PLC0415  # as in `hold_by_advisory_locks`

    rows = connection.execute(text(_DRIVERS), {"half": _half(study)})
    return [(Driver(number.zfill(8), words or "another process"), shares) for number, words, shares in rows]


def _run(connection: Connection, statement: str, **values: object) -> object:
    from sqlalchemy import text  # noqa: PLC0415  # as in `hold_by_advisory_locks`

    return connection.execute(text(statement), values).scalar()


def _key(name: str) -> int:
    """Return the key of an advisory lock: 63 bits of a hash."""
    return int.from_bytes(hashlib.sha256(f"rectools-tuner {name}".encode()).digest()[:8], "big") >> 1


def _half(study: str) -> int:
    """Return the first half (32 bits) of the keys of a study's drivers, as `pg_locks` shows it."""
    return _key(study) >> 31


def _signed(number: int) -> int:
    """Return 32 bits as a signed number, because PostgreSQL takes signed numbers."""
    return number - 2**32 if number >= 2**31 else number
