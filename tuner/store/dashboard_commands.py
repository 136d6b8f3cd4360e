"""Commands in the notes of optuna-dashboard: a line of a note that begins with a slash.

    /stop               in the note of a trial: stop the trial early
    /exclude WHY        in the note of a trial: leave it out of ranking and sampling
    /add {...}          in the note of the study: queue a configuration; flat params in JSON on one line

A command has an id that is derived from its text and place, so it is carried out once however often the note
is read or saved.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tuner.trials.requests import Exclusion, Request, RequestKind, utc_now
from tuner.trials.schema import excluded_key, request_key

__all__ = ["commands_in"]

_BY = "optuna-dashboard"
#: Key of a part of a note: of the study, or of a trial by its id in the storage.
_NOTE = re.compile(r"dashboard:(?:(\d+):)?note_str:(\d+)")


def commands_in(notes: Mapping[str, Any], numbers: Mapping[int, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the commands in notes mean: keys and values of attributes of the study.

    Parameters
    ----------
    notes
        System attributes of the study, some of which are parts of notes.
    numbers
        Trial numbers by the ids of the storage.
    """
    for trial_id, text in _texts(notes).items():
        number = None if trial_id is None else numbers.get(trial_id)
        for line in text.splitlines():
            found = _command(line.strip(), number) if trial_id is None or number is not None else None
            if found is not None:
                yield found


def _texts(notes: Mapping[str, Any]) -> dict[int | None, str]:
    """Return the text of each note; the key is the id of its trial, or None for the study."""
    parts: dict[int | None, list[tuple[int, str]]] = {}
    for key, value in notes.items():
        match = _NOTE.fullmatch(key)
        if match is not None:
            parts.setdefault(int(match[1]) if match[1] else None, []).append((int(match[2]), str(value)))
    return {trial_id: "".join(text for _, text in sorted(found)) for trial_id, found in parts.items()}


def _command(line: str, number: int | None) -> tuple[str, dict[str, Any]] | None:
    name, _, rest = line.partition(" ")
    request = hashlib.sha256(f"{number} {line}".encode()).hexdigest()[:12]
    if number is None:
        params = _params(rest) if name == "/add" else None
        asked = None if params is None else Request(RequestKind.ADD, params, by=_BY)
    elif name == "/exclude" and rest.strip():
        return excluded_key(number), asdict(Exclusion(rest.strip(), _BY, utc_now()))
    else:
        asked = Request(RequestKind.STOP, trial=number, by=_BY) if name == "/stop" else None
    return None if asked is None else (request_key(request), asked.to_plain())


def _params(text: str) -> dict[str, Any] | None:
    try:
        plain = json.loads(text)
    except ValueError:  # the person may still be typing
        return None
    return plain if isinstance(plain, dict) and "cls" in plain else None
