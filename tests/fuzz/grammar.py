"""A grammar of mistakes: what people, editors, networks and disks make of study files, options and exports.

Every function takes a generator of random numbers, so that a seed and a number give the same case again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["BASE", "damage_export", "override_text", "study_bytes", "written"]

#: A valid study with most sections; its data are made by the tests.
BASE: dict[str, Any] = {
    "study": "fuzz",
    "data": {
        "interactions": "clicks.csv",
        "columns": {"user": "user_id", "item": "item_id", "datetime": "datetime"},
        "datetime": "iso",
        "min_item_interactions": 1,
        "duplicates": "keep",
    },
    "folds": {"split": "last_n", "size": 1, "n_folds": 2, "holdout": 1, "filter_viewed": False},
    "metrics": {
        "objective": {"NDCG@10": {"divide_by_achievable": True}},
        "direction": "maximize",
        "report": ["HitRate@10", {"F1Beta@5": {"beta": 2}}],
    },
    "space": {
        "set": {
            "cls": ["SASRecModel", "EASEModel"],
            "regularization": {"float": [1, 1000], "log": True, "when": {"cls": "EASEModel"}},
            "n_factors": {"choice": [8, 16], "when": {"cls": "SASRecModel"}},
            "n_heads": {"int": [1, 4], "divides": "n_factors", "when": {"cls": "SASRecModel"}},
            "loss": {
                "choice": {"softmax": {}, "gBCE": {"n_negatives": {"int": [1, 8]}}},
                "when": {"cls": "SASRecModel"},
            },
        }
    },
    "baselines": ["popular", {"name": "wide", "use": "sasrec", "params": {"n_factors": 32}}],
    "search": {"trials": 3, "time_budget": "1h30m", "sampler": "tpe", "seed": 60, "plateau": 5},
    "training": {"epochs": 2, "patience": 3},
    "stopping": {"halving": {"rungs": [1], "keep": 0.5}, "race": False},
    "resources": {"cpus_per_trial": 1, "custom": {"disk": 1}},
    "final": {"top": 2},
    "profiles": {"small": {"search": {"trials": 1}}},
}

#: Values that stand where another one belongs; all are texts of YAML.
NASTY = (
    *("null", "true", "on", "0", "-1", "1", "0.5", "1e308", "-1e308", "5e-324", "1e999", ".nan", ".inf", "~"),
    *("9223372036854775807", "9" * 40, "9" * 5000, "0x" + "f" * 5000, "1:59:59" + ":59" * 3000, "0b1", "0o7"),
    *("''", "' '", "'" + "a" * 3000 + "'", "a" * 300, "'\\0'", '"\\0"', '"\\u202e\\e[31m"', "…", "é", "日本"),
    *("/", "..", "../../etc/passwd", "'**'", "'a**b'", "'*'", "/proc/self/mem", "/*/*/*/*/*.csv", "$HOME"),
    *("s3://", "http://[", "sqlite:///x.db", "postgresql://u:p@h/d", "file:///etc/passwd", "a:b:c", "//"),
    *(
        "NDCG@0",
        "NDCG@999999999999999999",
        "NDCG",
        "14D",
        "999999D",
        "0D",
        "-1D",
        "9" * 30 + "D",
        "1h",
        "9e9d",
    ),
    *("2024-02-30", "2024-01-01", "2024-01-01T00:00:00+99:99", "!!int ''", "!!float ''", "!!bool maybe"),
    *("!!timestamp x", "!!binary gA==", "!!set {a}", "!!omap [a: 1]", "!!python/object:os.system {}", "!x y"),
    *("[]", "{}", "[[]]", "{a: null}", "[1, true, a, null, 1.0]", "{1: 2}", "{? [a]: b}", "{? {a: b}: c}"),
    *("best", "'0'", "os.path", "os.path.join", "no.such.Class", ".", "a.b.", ":", "x:y:z", "__main__.X"),
    *("{int: [1, 9223372036854775806]}", "{int: [5, 1]}", "{int: [1, 3], step: 9}", "{int: [1, n_factors]}"),
    *("{float: [0, 1e308], step: 1e-300}", "{float: [-1e308, 1e308]}", "{float: [1e-320, 1], log: true}"),
    *(
        "{choice: {a: {b: {int: [1, 2]}}}}",
        "{choice: []}",
        "{subset: [a, b, c]}",
        "{fixed: [1]}",
        "{when: {}}",
    ),
    *("{int: [1, 900000], divides: n_factors}", "{int: [0, 2], sum_at_most: {total: 1, with: [n_heads]}}"),
    *("brute_force", "{use: tpe, options: {seed: x}}", "{use: os.getcwd}", "optuna.samplers.TPESampler"),
)
#: Pieces of text that break a document, or blow it up.
PIECES = (
    *(
        "\t",
        "\x00",
        "\x07",
        "\ufeff",
        "\r",
        "\u2028",
        "&a ",
        "*a",
        "<<: *a\n",
        "<<: [1]\n",
        "%YAML 9.9\n",
        "---\n",
    ),
    *(
        "...\n",
        ": ",
        "- ",
        "? ",
        "| ",
        "> ",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "!",
        "!!",
        "@",
        "`",
        "%",
    ),
    *("[" * 200, "{a: " * 200, "- " * 200, "? " * 100, "[" * 5000, "a: &x [*x]\n", "a: &x {<<: *x}\n"),
)


def _bomb(rng: random.Random) -> str:
    """Return a few lines whose aliases stand for very many values."""
    width, depth = rng.choice([(10, 12), (2, 40), (100, 4)])
    lines = ["b0: &b0 [x, x]"]
    for level in range(1, depth):
        inner = ", ".join([f"*b{level - 1}"] * width)
        form = rng.choice([f"[{inner}]", f"{{<<: [{inner}]}}"])
        lines.append(f"b{level}: &b{level} {form}")
    return "\n".join(lines) + "\n"


def _long(rng: random.Random) -> str:
    """Return a document that is valid but far too long."""
    n = rng.choice([300, 3000, 30_000, 300_000])
    return rng.choice(
        [
            lambda: "data: [" + "a, " * n + "a]\n",
            lambda: "".join(f"k{index}: 1\n" for index in range(n)),
            lambda: (
                "space: {set: {"
                + ", ".join(f"p{index}: {{when: {{q: 1}}, int: [1, 2]}}" for index in range(n // 8))
                + "}}\n"
            ),
            lambda: "space: {set: {cls: {choice: [" + ", ".join(f"c{index}" for index in range(n)) + "]}}}\n",
            lambda: "profiles: {" + ", ".join(f"p{index}: {{}}" for index in range(n)) + "}\n",
            lambda: "study: " + "a" * n + "\n",
            lambda: "# " + "a" * n + "\n",
        ]
    )()


class _Raw(str):
    """YAML that is written as it is."""


def _places(tree: object) -> list[tuple[Any, Any]]:
    """Return every container and key of a tree."""
    found = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def _nasty(rng: random.Random) -> _Raw:
    return _Raw(rng.choice(NASTY))


def _replace(rng: random.Random, tree: dict[str, Any]) -> None:
    container, key = rng.choice(_places(tree))
    container[key] = _nasty(rng)


def _delete(rng: random.Random, tree: dict[str, Any]) -> None:
    container, key = rng.choice(_places(tree))
    del container[key]


def _rename(rng: random.Random, tree: dict[str, Any]) -> None:
    container, key = rng.choice(_places(tree))
    if isinstance(container, dict):
        at = rng.randrange(len(str(key)) + 1)
        new = rng.choice([str(key)[:at] + str(key)[at + 1 :], _nasty(rng), str(key) + ".x", str(key).upper()])
        container[new] = container.pop(key)


def _swap(rng: random.Random, tree: dict[str, Any]) -> None:
    places = _places(tree)
    (one, key), (other, name) = rng.choice(places), rng.choice(places)
    value = copy.deepcopy(other[name])
    other[name] = copy.deepcopy(one[key])
    if (one, key) in _places(tree):
        one[key] = value


def _wrap(rng: random.Random, tree: dict[str, Any]) -> None:
    container, key = rng.choice(_places(tree))
    for _ in range(rng.choice([1, 2, 30, 100])):
        container[key] = rng.choice([lambda v: [v], lambda v: {"choice": v}, lambda v: {"a": v}])(
            container[key]
        )


def _add(rng: random.Random, tree: dict[str, Any]) -> None:
    container, _ = rng.choice(_places(tree))
    if isinstance(container, dict):
        container[rng.choice([_nasty(rng), "n_factors", "when", "use", "set", "seed"])] = _nasty(rng)
    else:
        container.append(_nasty(rng))


TREE: tuple[Callable[[random.Random, dict[str, Any]], None], ...] = (
    *(_replace, _replace, _replace, _delete, _rename, _swap, _wrap, _add),
)


def written(tree: dict[str, Any]) -> str:
    """Return a tree as the text of a study file."""
    return "".join(f"{_written(key)}: {_written(value)}\n" for key, value in tree.items())


def _written(value: object) -> str:
    """Return a value as YAML in flow style; pieces of raw YAML stay as they are."""
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)}: {_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value)


def _text_mistake(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice([1, 1, 1, 5, 50]))
    return rng.choice(
        [
            lambda: text[:at],
            lambda: text[:at] + text[end:],
            lambda: text[:at] + text[at:end] * rng.choice([2, 3, 50]) + text[end:],
            lambda: text[:at] + rng.choice(PIECES) + text[at:],
            lambda: text[:at] + chr(rng.choice([rng.randrange(128), rng.randrange(0xD800)])) + text[at:],
            lambda: text + _bomb(rng),
            lambda: text + _long(rng),
            lambda: _long(rng),
        ]
    )()


def study_bytes(rng: random.Random) -> bytes:
    """Return the bytes of a study file with one mistake or several, seldom with none."""
    tree = copy.deepcopy(BASE)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 8])):
        if tree:
            rng.choice(TREE)(rng, tree)
    text = written(tree)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 3])):
        text = _text_mistake(rng, text)
    encoding = rng.choice(["utf-8"] * 20 + ["utf-16", "latin-1", "utf-8-sig"])
    content = text.encode(encoding, errors="replace")
    if rng.random() < 0.03 and content:
        at = rng.randrange(len(content))
        content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    return content


def override_text(rng: random.Random) -> str:
    """Return what could stand after `--set`."""
    tree = copy.deepcopy(BASE)
    keys = [_dotted(tree, container, key) for container, key in _places(tree)]
    key = rng.choice(keys)
    if rng.random() < 0.3:
        at = rng.randrange(len(key) + 1)
        key = (
            key[:at] + rng.choice([".", "..", "", "x", "=", " ", "[0]", "é", "\udcff", "a." * 200]) + key[at:]
        )
    text = f"{key}={rng.choice(NASTY)}"
    return _text_mistake(rng, text)[:100_000] if rng.random() < 0.2 else text


def _dotted(tree: object, container: object, key: object) -> str:
    """Return the path to a place of a tree, with dots."""
    waiting: list[tuple[object, str]] = [(tree, "")]
    while waiting:
        one, path = waiting.pop()
        if one is container:
            return f"{path}.{key}".lstrip(".")
        inner = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        waiting.extend((value, f"{path}.{name}") for name, value in inner)
    return str(key)


def damage_export(rng: random.Random, folder: Path, files: list[str]) -> str:
    """Damage one file of an export; return its name."""
    name = rng.choice(
        [*files, "export.json", "SHA256SUMS", "model.pickle", "interactions.parquet", "sample.csv"]
    )
    path = folder / name
    content = path.read_bytes()
    at = rng.randrange(len(content) + 1)
    path.write_bytes(
        rng.choice(
            [
                lambda: content[:at],
                lambda: b"",
                lambda: content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
                lambda: content[:at] + rng.randbytes(rng.choice([1, 10, 1000])) + content[at:],
                lambda: content.replace(b"true", rng.choice([b"1", b'"x"', b"[]"])),
                lambda: rng.choice(
                    [b"{}", b"[]", b"null", b"1", b'{"a":' * 5000, b"PAR1", b"\xff\xfe", b"a,b\n1"]
                ),
            ]
        )()
    )
    if rng.random() < 0.1:
        path.unlink()
        if rng.random() < 0.5:
            path.mkdir()
    return name
