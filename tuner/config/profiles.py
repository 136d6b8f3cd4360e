"""Profiles: named pieces of a study file that change it for one place, such as a laptop or a cluster.

A profile has the shape of a study. Its sections are laid over the study's key by key, `space.set` param by
param; each value there replaces the whole value that it meets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.errors import Problem

__all__ = ["laid_over", "leaves", "take_profiles"]


#: Most profiles of a study. Each of them is checked with the whole study.
_MOST = 20


def take_profiles(plain: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Take the profiles out of a study's plain data; return those that can be used, and what is wrong."""
    section = plain.pop("profiles", None)
    if section is None:
        return {}, []
    if not isinstance(section, Mapping):
        return {}, [Problem("profiles", f"must be a mapping of names to changes, but got {section!r}")]
    if len(section) > _MOST:
        return {}, [Problem("profiles", f"must be at most {_MOST} profiles, but got {len(section):,}")]
    usable = {str(name): dict(changes) for name, changes in section.items() if isinstance(changes, Mapping)}
    problems = [
        Problem(f"profiles.{name}", f"must be a mapping of sections, but got {changes!r}")
        for name, changes in section.items()
        if not isinstance(changes, Mapping)
    ]
    return usable, problems


def laid_over(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's plain data with a profile's changes."""
    changed = dict(plain)
    for name, section in changes.items():
        under = changed.get(name)
        if name == "space" and isinstance(under, str):
            under = {"use": under}
        if not isinstance(section, Mapping) or not isinstance(under, Mapping):
            changed[name] = section
            continue
        changed[name] = {**under, **section}
        if (
            name == "space"
            and isinstance(under.get("set"), Mapping)
            and isinstance(section.get("set"), Mapping)
        ):
            changed[name]["set"] = {**under["set"], **section["set"]}
    return changed


def leaves(changes: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the path of each section and key that a profile changes."""
    for name, section in changes.items():
        yield (str(name),)
        for key in section if isinstance(section, Mapping) else ():
            yield (str(name), str(key))
