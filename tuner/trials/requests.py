"""Requests to the drivers of a study, and exclusions of trials. Any process can write them into the store.

A driver carries out each request once, and writes an answer. An exclusion is a fact: it counts as soon as it
is written, and a driver stops the excluded trial if it has not ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from tuner.space import Value

__all__ = ["Exclusion", "Request", "RequestKind", "utc_now"]


def utc_now() -> str:
    """Return the time now, UTC in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


class RequestKind(str, Enum):
    """The kinds of requests."""

    ADD = "add"
    STOP = "stop"


@dataclass(frozen=True)
class Request:
    """A request to the drivers of a study.

    Attributes
    ----------
    kind
        ADD queues a configuration, STOP stops a trial early.
    params
        Flat params of a configuration to add; empty for STOP.
    trial
        Number of the trial to stop; None for ADD.
    by
        Who asks: user and host, or ``optuna-dashboard``.
    at
        Time of the request, UTC in ISO 8601.
    id
        Hexadecimal digits. Two requests with the same id are one request.
    """

    kind: RequestKind
    params: Mapping[str, Value] = field(default_factory=dict)
    trial: int | None = None
    by: str = ""
    at: str = field(default_factory=utc_now)
    id: str = field(default_factory=_new_id)

    def to_plain(self) -> dict[str, Any]:
        """Return the request as JSON types, without its id, which is its key."""
        plain = {**asdict(self), "kind": self.kind.value, "params": dict(self.params)}
        del plain["id"]
        return plain

    @classmethod
    def from_plain(cls, request: str, plain: Mapping[str, Any]) -> Request:
        """Read a request that `to_plain` returned, given its id. JSON has no tuples: lists become tuples."""
        params = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.get("params", {}).items()}
        return cls(**{**plain, "kind": RequestKind(plain["kind"]), "params": params, "id": request})


@dataclass(frozen=True)
class Exclusion:
    """Why a trial is excluded from ranking and sampling.

    Attributes
    ----------
    why
        Reason, for people.
    by, at
        See `Request`.
    """

    why: str
    by: str = ""
    at: str = ""
