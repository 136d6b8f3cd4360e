"""Reads YAML as plain data, with the line of each key, within limits: no text takes long or much memory.

The limits are far above what a study needs. They also hold for what aliases stand for: a few lines of YAML
can otherwise stand for billions of values, or contain themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DEEPEST", "Lines", "YamlError", "parse", "read_text"]

#: Line of each key, by its path.
Lines = dict[tuple[str | int, ...], int]

#: Largest size of a file, in bytes.
MOST_BYTES = 2**20
#: Most values, and most values within each other; a value counts once for each alias that stands for it.
MOST_VALUES, DEEPEST = 10_000, 64
#: Integers are between this number and its negative.
_BEYOND = 2**63
#: An integer that is longer is too large, whatever its base.
_LONGEST = 80
#: Octal numbers, and those of the base 60.
_MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-5]?[0-9])+)")
#: A line that a tab indents.
_TABBED = re.compile(r" *\t")
#: What PyYAML raises for a value that does not fit its tag, such as `!!bool maybe`.
_UNFIT = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


class YamlError(ValueError):
    """The text cannot be read: `rule` says why, `line` where, from 1, and `hint` what to do, if known."""

    def __init__(self, rule: str, line: int | None = None, hint: str | None = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.line = line
        self.hint = hint


@dataclass(frozen=True)
class Document:
    """What a text says.

    Attributes
    ----------
    plain
        The data: mappings, lists and scalars.
    lines
        Line of each key, by its path.
    repeated
        Path of each key that stands twice in one mapping, its first line, and its second.
    """

    plain: Any
    lines: Lines = field(default_factory=dict)
    repeated: list[tuple[tuple[str | int, ...], int, int]] = field(default_factory=list)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # one of two classes; the first is ten times faster
    """Safe YAML, with floats as people write them: 1e-4 is a number."""

    def construct_small_int(self, node: yaml.ScalarNode) -> int:
        """Return an integer. One that no study needs is refused: the digits of a huge one take minutes.

        So is one that YAML reads as another number than people do: ``010`` as 8, ``12:30`` as 750.
        """
        short = len(node.value) <= _LONGEST
        if short and _MISREAD.fullmatch(node.value):
            read = self.construct_yaml_int(node)
            rule = f"must be a decimal number, or text in quotes, but YAML reads {node.value} as {read}"
            raise YamlError(f"{rule}: write '{node.value}' if it is text", node.start_mark.line + 1)
        value = int(self.construct_yaml_int(node)) if short else _BEYOND
        if abs(value) >= _BEYOND:
            got = node.value if short else f"{node.value[:_LONGEST]}..."
            rule = f"must have integers between -2^63 and 2^63, but got {got}"
            raise YamlError(rule, node.start_mark.line + 1)
        return value


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_small_int)
for _kind in (
    "binary",
    "set",
    "omap",
    "pairs",
):  # a study has no use for them, and its snapshot cannot hold them
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", yaml.SafeLoader.construct_undefined)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    YamlError
        If the file cannot be read, is too large, or is no UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError is a path with a null character
        raise YamlError(
            f"must be a readable file, but {getattr(error, 'strerror', None) or error}"
        ) from error
    if len(content) > MOST_BYTES:
        raise YamlError(f"must have at most {MOST_BYTES:,} bytes, but has more")
    if 0 in content:
        rule = "must be UTF-8 text, but has bytes 0, as text in UTF-16 has"
        raise YamlError(rule, hint="save it as UTF-8; `>` of Windows PowerShell writes UTF-16")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        rule = f"must be UTF-8 text, but has the byte 0x{content[error.start]:02x}"
        raise YamlError(
            rule, line, "save it as UTF-8; it may be in latin-1 or another old encoding"
        ) from error


def parse(text: str) -> Document:
    """Read a text that is one YAML document.

    Raises
    ------
    YamlError
        If the text is not valid YAML, or beyond a limit.
    """
    try:
        _check_limits(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            document = Document(None)
            if node is not None:
                _check_expanded(node)
                _walk_lines(node, (), document)  # before the data are made: merge keys change the nodes
                document = Document(loader.construct_document(node), document.lines, document.repeated)
        finally:
            loader.dispose()
    except YamlError:
        raise
    except (yaml.YAMLError, *_UNFIT) as error:  # a ValueError may be a date that does not exist
        mark = getattr(error, "problem_mark", None)
        lines = text.splitlines()
        if mark is not None and mark.line < len(lines) and _TABBED.match(lines[mark.line]):
            raise YamlError("must be indented with spaces, but has a tab", mark.line + 1) from error
        cause = str(getattr(error, "problem", None) or error).removeprefix("but ")
        rule = f"must be valid YAML, but {cause}"
        raise YamlError(rule, mark.line + 1 if mark else None) from error
    return document


def _check_limits(text: str) -> None:
    """Refuse a text with too many values, or too deep ones, before anything is made of it."""
    values = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.NodeEvent):
            values += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        assert event.start_mark is not None, "a parser gives each event its place"
        _refuse_beyond(values, depth, event.start_mark.line + 1)


def _refuse_beyond(values: int, depth: int, line: int) -> None:
    if values > MOST_VALUES:
        raise YamlError(f"must have at most {MOST_VALUES:,} values, but has more", line)
    if depth > DEEPEST:
        raise YamlError(f"must have at most {DEEPEST} values within each other, but has more", line)


def _check_expanded(root: yaml.Node) -> None:
    """Refuse a document that contains itself, or is too large with what its aliases stand for."""
    known: dict[int, tuple[int, int] | None] = {}  # number of values and depth; None while they are counted

    def measure(node: yaml.Node) -> tuple[int, int]:
        line = node.start_mark.line + 1
        if id(node) in known:
            found = known[id(node)]
            if found is None:
                raise YamlError("must not contain itself, but an alias stands within its anchor", line)
            return found
        known[id(node)] = None
        values, depth = 1, 0
        for child in _children(node):
            more, deeper = measure(child)
            values, depth = values + more, max(depth, deeper)
            _refuse_beyond(values, depth + 1, line)
        known[id(node)] = (values, depth + 1)
        return values, depth + 1

    measure(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _walk_lines(node: yaml.Node, path: tuple[str | int, ...], document: Document) -> None:
    lines = document.lines
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            line = key.start_mark.line + 1
            if place in lines:
                document.repeated.append((place, lines[place], line))
            lines[place] = line
            _walk_lines(value, place, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            place = (*path, index)
            lines[place] = value.start_mark.line + 1
            _walk_lines(value, place, document)
