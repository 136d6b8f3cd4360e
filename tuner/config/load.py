"""Reading a study file: YAML with line numbers, overrides, and all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuner.config.origin import Origin
from tuner.config.paths import located
from tuner.config.problems import MOST_PROBLEMS, dotted, problems_of
from tuner.config.profiles import laid_over, leaves, take_profiles
from tuner.config.search import SpaceSection
from tuner.config.study import Study
from tuner.config.yaml_text import DEEPEST, Lines, YamlError, parse, read_text
from tuner.errors import Problem, SpaceError, StudyError, did_you_mean
from tuner.errors.caller import argument
from tuner.space import Space, domain_from_plain
from tuner.space.imports import find_module, no_module, see_modules

__all__ = ["load_study", "study_from_mapping"]

_NO_LINE = 0  # of a key that came from the command line


def load_study(path: Path, overrides: Sequence[str] = (), profile: str | None = None) -> Study:
    """Read, override and check a study file, all its profiles too.

    Parameters
    ----------
    path
        Path of the study file.
    overrides
        Changes as ``search.trials=100``.
    profile
        Name of the profile to lay over the study, before overrides; None for none.

    Raises
    ------
    StudyError
        With every problem found.
    """
    plain, lines, problems = _parse(path)
    profiles, found = take_profiles(plain)
    problems.extend(found)
    for name, changes in profiles.items():
        if name != profile:
            problems.extend(_profile_problems(name, plain, changes, path.parent))
    if profile in profiles:
        plain = laid_over(plain, profiles[profile])
        for key in leaves(profiles[profile]):
            _move_lines(lines, ("profiles", profile, *key), key)
    elif profile is not None:
        rule = f"must be a profile of the study, but got {profile!r}"
        hint = did_you_mean(profile, list(profiles)) if profiles else "the study has no section profiles"
        problems.append(Problem(argument("--profile"), rule, hint))
    for override in overrides:
        problems.extend(_override(plain, override, lines))
    return study_from_mapping(plain, source=str(path), folder=path.parent, lines=lines, problems=problems)


def study_from_mapping(
    plain: Mapping[str, Any],
    *,
    source: str = "study",
    folder: Path | None = None,
    lines: Lines | None = None,
    problems: Sequence[Problem] = (),
) -> Study:
    """Check a study given as plain data, the content of a study file.

    Parameters
    ----------
    plain
        Sections by name.
    source
        What to call it in messages.
    folder
        Where relative paths are looked for besides the working folder.
    lines
        Line of each key path in the file.
    problems
        Problems already found, reported with those found here.

    Raises
    ------
    StudyError
        With every problem found.
    """
    study, found = _checked(plain, folder)
    unread = {problem.where.removeprefix(_changes()).strip() for problem in problems}
    # Where a change could not be read, the file still has its own value, which may not fit the other changes.
    found = [*problems, *(one for one in found if one.where not in unread - {""})]
    origin = Origin(source, {dotted(path): line for path, line in (lines or {}).items()})
    if found or study is None:
        refusal = StudyError(source, [origin.located(problem) for problem in _unique(found)])
        refusal.rest = None if study is None else _rest(study.from_origin(origin), found)
        raise refusal
    return study.from_origin(origin) if lines is not None else study


def _checked(plain: Mapping[str, Any], folder: Path | None) -> tuple[Study | None, list[Problem]]:
    """Return a study, None if it cannot be made, and everything that is wrong with it."""
    for beside in (Path.cwd(), folder):
        if beside is not None:
            see_modules(beside)
    study, found = None, []
    try:
        study = Study.model_validate(located(_text_keys(plain), folder))
    except ValidationError as error:
        found = problems_of(error, Study)
    return study, [*found, *_space_problems(plain.get("space"))]


def _profile_problems(
    name: str, plain: Mapping[str, Any], changes: Mapping[str, Any], folder: Path
) -> list[Problem]:
    """Return what is wrong with a study under a profile, and not without it."""
    before = set(_checked(plain, folder)[1])
    _, found = _checked(laid_over(plain, changes), folder)
    return [replace(one, where=f"profiles.{name}.{one.where}") for one in found if one not in before]


def _parse(path: Path) -> tuple[dict[str, Any], Lines, list[Problem]]:
    """Return the content of a study file, the line of each key, and the keys that stand twice."""
    try:
        document = parse(read_text(path))
    except YamlError as error:
        raise StudyError(str(path), [Problem("", error.rule, error.hint, error.line)]) from error
    if not isinstance(document.plain, dict):
        what = "the file is empty" if document.plain is None else f"got {type(document.plain).__name__}"
        hint = f"see {argument('`tuner init`', '`tuner.init`')}, which writes one for your data"
        raise StudyError(str(path), [Problem("", f"must be a mapping of sections, but {what}", hint)])
    repeated = [
        Problem(dotted(place), f"must be there once, but is also on line {first}", None, line)
        for place, first, line in document.repeated
    ]
    return document.plain, document.lines, repeated


def _changes(key: str = "") -> str:
    """Return the name of the changes in messages, with the key that one of them changes."""
    return f"{argument('--set', 'overrides')} {key}".rstrip()


def _override(plain: dict[str, Any], override: str, lines: Lines) -> list[Problem]:
    """Apply ``a.b=value`` in place. What follows ``space.set.`` is one key: params have dots of their own."""
    if not override.isascii() and _broken_text(override):
        return [Problem(_changes(), f"must be text in UTF-8, but got {override!r}")]
    key, equals, text = override.partition("=")
    if not equals or not key:
        return [Problem(_changes(), f"must be key=value, but got {override!r}")]
    try:
        value = parse(text).plain
    except YamlError as error:
        rule = f"must be valid YAML, but got {text!r}" if error.__cause__ is not None else error.rule
        return [Problem(_changes(key), f"the value {rule}")]
    prefix = "space.set."
    steps = ["space", "set", key.removeprefix(prefix)] if key.startswith(prefix) else key.split(".")
    if len(steps) > DEEPEST:
        return [Problem(_changes(), f"must lead through at most {DEEPEST} sections, but got {len(steps)}")]
    if steps[0] == "space" and isinstance(plain.get("space"), str):
        plain["space"] = {"use": plain["space"]}
    section: Any = plain
    for step in steps[:-1]:
        section = section.setdefault(step, {})
        if not isinstance(section, dict):
            return [Problem(_changes(key), f"must lead through sections, but {step!r} holds {section!r}")]
    section[steps[-1]] = value
    _move_lines(lines, None, tuple(steps))
    return []


def _move_lines(lines: Lines, source: tuple[str | int, ...] | None, key: tuple[str | int, ...]) -> None:
    """Give a key, and all within it, the lines of another key; none if it comes from the command line."""
    for path in [path for path in lines if path[: len(key)] == key]:
        del lines[path]
    lines[key] = _NO_LINE
    if source is not None:
        within = {path[len(source) :]: line for path, line in lines.items() if path[: len(source)] == source}
        lines.update({(*key, *rest): line for rest, line in within.items()})


def _broken_text(text: str) -> bool:
    """Whether an argument of the command line had bytes that are no UTF-8."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _text_keys(plain: Mapping[Any, Any]) -> dict[str, Any]:
    """Make section keys text: YAML reads ``on`` as true. Params under `space` may be such values."""
    return {
        str(name): {str(key): value for key, value in section.items()}
        if isinstance(section, dict)
        else section
        for name, section in plain.items()
    }


def _space_problems(section: object) -> list[Problem]:
    """Check what can be checked of the space without importing it."""
    if isinstance(section, str):
        section = {"use": section}
    if not isinstance(section, Mapping):
        return []
    problems = []
    use = section.get("use")
    if isinstance(use, str) and find_module(use) is None:
        problems.append(no_module("space.use", use.partition(":")[0]))
    changes = section.get("set")
    for key, plain in changes.items() if isinstance(changes, Mapping) else ():
        if len(problems) >= MOST_PROBLEMS:
            break
        try:
            domain_from_plain(str(key), plain)
        except (ValueError, TypeError) as error:
            if use is None or "short name" not in str(error):  # the base space may know the name
                problems.append(Problem.of(f"space.set.{key}", error))
    if not problems and use is None and isinstance(changes, Mapping):
        try:
            Space({str(key): domain_from_plain(str(key), plain) for key, plain in changes.items()})
        except SpaceError as error:
            problems.extend(Problem(f"space.set.{p.where}", p.rule, p.hint) for p in error.problems)
    return problems


def _rest(study: Study, problems: Sequence[Problem]) -> Study | None:
    """Return a study without the params that have these problems; None if something else has some."""
    section, prefix = study.space, "space.set."
    wrong = {problem.where.removeprefix(prefix) for problem in problems if problem.where.startswith(prefix)}
    if not isinstance(section, SpaceSection) or len(wrong) < len({problem.where for problem in problems}):
        return None
    left = {key: plain for key, plain in section.set.items() if key not in wrong}
    if "cls" in wrong or not wrong <= section.set.keys() or not (left or section.use):
        return None
    return study.model_copy(update={"space": section.model_copy(update={"set": left})})


def _unique(problems: Sequence[Problem]) -> list[Problem]:
    """Drop what was found twice."""
    return list(dict.fromkeys(problems))
