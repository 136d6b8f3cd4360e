"""Reading a study file: YAML with line numbers, overrides, and all problems at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuner.config.profiles import laid_over, leaves, take_profiles
from tuner.config.search import SpaceSection
from tuner.config.study import Study
from tuner.errors import Problem, SpaceError, StudyError, did_you_mean
from tuner.space import Space, domain_from_plain
from tuner.space.yaml_form import find_module, see_modules

__all__ = ["load_study", "study_from_mapping"]

Lines = dict[tuple[str | int, ...], int]

_NO_LINE = 0  # of a key that came from the command line
#: Keys by section whose relative paths are found from the study file's folder too.
_PLACES = (
    ("data", ("interactions", "item_features", "user_features", "items_to_recommend")),
    ("search", ("warm_start",)),
)


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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(
            str(path), [Problem("", f"must be a readable file, but {error.strerror}")]
        ) from error
    except UnicodeDecodeError as error:
        raise StudyError(str(path), [Problem("", f"must be UTF-8 text, but {error.reason}")]) from error
    plain, lines, problems = _parse_yaml(text, str(path))
    profiles, found = take_profiles(plain)
    problems.extend(found)
    for name, changes in profiles.items():
        if name != profile:
            problems.extend(_profile_problems(name, plain, changes, path.parent))
    if profile in profiles:
        plain = laid_over(plain, profiles[profile])
        for key in leaves(profiles[profile]):
            lines[key] = lines.get(("profiles", profile, *key), _NO_LINE)
    elif profile is not None:
        rule = f"must be a profile of the study, but got {profile!r}"
        hint = did_you_mean(profile, list(profiles)) if profiles else "the study has no section profiles"
        problems.append(Problem("--profile", rule, hint))
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
    found = [*problems, *found]
    if found or study is None:
        raise StudyError(source, [_with_line(problem, lines or {}) for problem in _unique(found)])
    return study


def _checked(plain: Mapping[str, Any], folder: Path | None) -> tuple[Study | None, list[Problem]]:
    """Return a study, None if it cannot be made, and everything that is wrong with it."""
    for beside in (Path.cwd(), folder):
        if beside is not None:
            see_modules(beside)
    study, found = None, []
    try:
        study = Study.model_validate(_located(_text_keys(plain), folder))
    except ValidationError as error:
        found = [_problem(detail) for detail in error.errors(include_url=False)]
    return study, [*found, *_space_problems(plain.get("space"))]


def _profile_problems(
    name: str, plain: Mapping[str, Any], changes: Mapping[str, Any], folder: Path
) -> list[Problem]:
    """Return what is wrong with a study under a profile, and not without it."""
    before = set(_checked(plain, folder)[1])
    _, found = _checked(laid_over(plain, changes), folder)
    return [replace(one, where=f"profiles.{name}.{one.where}") for one in found if one not in before]


class _Loader(yaml.SafeLoader):
    """Safe YAML, with floats as people write them: 1e-4 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def _parse_yaml(text: str, source: str) -> tuple[dict[str, Any], Lines, list[Problem]]:
    lines: Lines = {}
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
        plain = yaml.load(text, Loader=_Loader)  # noqa: S506  # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date that does not exist
        mark = getattr(error, "problem_mark", None)
        rule = f"must be valid YAML, but {getattr(error, 'problem', None) or error}"
        raise StudyError(source, [Problem("", rule, None, mark.line + 1 if mark else None)]) from error
    if not isinstance(plain, dict):
        raise StudyError(
            source, [Problem("", f"must be a mapping of sections, but got {type(plain).__name__}")]
        )
    _walk_lines(node, (), lines, problems)
    return plain, lines, problems


def _walk_lines(
    node: yaml.Node | None, path: tuple[str | int, ...], lines: Lines, problems: list[Problem]
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            line = key.start_mark.line + 1
            if place in lines:
                rule = f"must stand there once, but is also on line {lines[place]}"
                problems.append(Problem(_dotted(place), rule, None, line))
            lines[place] = line
            _walk_lines(value, place, lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            place = (*path, index)
            lines[place] = value.start_mark.line + 1
            _walk_lines(value, place, lines, problems)


def _override(plain: dict[str, Any], override: str, lines: Lines) -> list[Problem]:
    """Apply ``a.b=value`` in place. What follows ``space.set.`` is one key: params have dots of their own."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return [Problem("--set", f"must be key=value, but got {override!r}")]
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError):
        return [Problem(f"--set {key}", f"the value must be valid YAML, but got {text!r}")]
    prefix = "space.set."
    steps = ["space", "set", key.removeprefix(prefix)] if key.startswith(prefix) else key.split(".")
    if steps[0] == "space" and isinstance(plain.get("space"), str):
        plain["space"] = {"use": plain["space"]}
    section: Any = plain
    for step in steps[:-1]:
        section = section.setdefault(step, {})
        if not isinstance(section, dict):
            return [Problem(f"--set {key}", f"must lead through sections, but {step!r} holds {section!r}")]
    section[steps[-1]] = value
    lines[tuple(steps)] = _NO_LINE
    return []


def _text_keys(plain: Mapping[Any, Any]) -> dict[str, Any]:
    """Make section keys text: YAML reads ``on`` as true. Params under `space` may be such values."""
    return {
        str(name): {str(key): value for key, value in section.items()}
        if isinstance(section, dict)
        else section
        for name, section in plain.items()
    }


def _located(plain: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Let relative paths be found from the study file's folder too."""
    located = dict(plain)
    for name, keys in _PLACES:
        section = located.get(name)
        if folder is not None and isinstance(section, dict):
            found = {key: _found(section[key], folder) for key in keys if key in section}
            located[name] = {**section, **found}
    return located


def _found(path: object, folder: Path) -> object:
    """Return a relative path that only the study file's folder has as one from there; also a list of them."""
    if isinstance(path, list):
        return [_found(one, folder) for one in path]
    elsewhere = isinstance(path, str) and "://" not in path and not _is_there(Path(path))
    return str(folder / str(path)) if elsewhere and _is_there(folder / str(path)) else path


def _is_there(path: Path) -> bool:
    """Tell whether a path leads to something, or a glob to a file."""
    if path.exists() or "*" not in str(path):
        return path.exists()
    root = Path(path.anchor)
    return any(True for _ in root.glob(str(path.relative_to(root))))


def _space_problems(section: object) -> list[Problem]:
    """Check what can be checked of the space without importing it."""
    if isinstance(section, str):
        section = {"use": section}
    if not isinstance(section, Mapping):
        return []
    problems = []
    use = section.get("use")
    if isinstance(use, str) and find_module(use) is None:
        hint = "for a file my_space.py next to the study file, write `use: my_space`"
        problems.append(Problem("space.use", f"must be an importable module, but got {use!r}", hint))
    changes = section.get("set")
    for key, plain in changes.items() if isinstance(changes, Mapping) else ():
        try:
            domain_from_plain(str(key), plain)
        except (ValueError, TypeError) as error:
            if use is None or "short name" not in str(error):  # the base space may know the name
                problems.append(Problem(f"space.set.{key}", str(error)))
    if not problems and use is None and isinstance(changes, Mapping):
        try:
            Space({str(key): domain_from_plain(str(key), plain) for key, plain in changes.items()})
        except SpaceError as error:
            problems.extend(Problem(f"space.set.{p.where}", p.rule, p.hint) for p in error.problems)
    return problems


def _problem(detail: ErrorDetails) -> Problem:
    """Turn one pydantic error into the house's words: the rule, then the value."""
    where = detail["loc"]
    if len(where) > 1 and where[0] == "space":  # pydantic names the alternative that it tried
        where = (where[0], *where[2:])
    if where[-1] == "share":  # likewise, of a GPU
        where = where[:-1]
    kind, value = detail["type"], detail["input"]
    hint = None
    if kind == "extra_forbidden":
        rule = "is no key of this section"
        fields = _fields_at(where[:-1])
        hint = did_you_mean(str(where[-1]), fields) if fields else None
    elif kind == "missing":
        rule = "must be given, but is missing"
    elif kind == "literal_error":
        options = [part.strip("'\" ") for part in detail["ctx"]["expected"].replace(" or ", ", ").split(",")]
        rule = f"must be one of {', '.join(options)}, but got {value!r}"
        near = did_you_mean(str(value), options)
        hint = near if near.startswith("did") else None  # the rule has named them all
    elif kind == "value_error":
        rule = str(detail["ctx"]["error"])
    else:
        rule = (
            _RULES.get(kind, detail["msg"].lower()).format(**detail.get("ctx", {})) + f", but got {value!r}"
        )
    return Problem(_dotted(where), rule, hint)


_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be finite",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be an integer",
    "less_than": "must be below {lt}",
    "model_type": "must be a mapping of keys",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the section at `path` knows."""
    model: type[BaseModel] = Study
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        candidates = [annotation, *get_args(annotation)]
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if step == "space":
            sections = [SpaceSection]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def _dotted(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _unique(problems: Sequence[Problem]) -> list[Problem]:
    """Drop what was found twice."""
    return list(dict.fromkeys(problems))


def _with_line(problem: Problem, lines: Lines) -> Problem:
    """Add the line of the key, or of the nearest section above it."""
    if problem.line is not None:
        return problem
    by_name = {_dotted(path): line for path, line in lines.items()}
    where = problem.where
    while where and where not in by_name:
        where = where.rpartition(".")[0]
    return Problem(problem.where, problem.rule, problem.hint, by_name.get(where) or None)
