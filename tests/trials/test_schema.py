"""Keys of the store: frozen, since earlier versions wrote them, and spelled in one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tuner
from tuner.trials import schema

PACKAGE = Path(tuner.__file__).parent

#: Every key as it stands in the stores of all versions so far.
FROZEN = {
    "NAME": "name",
    "PARAMS": "params",
    "SEEDS": "seeds",
    "SUMMARY": "summary",
    "FAILURE": "failure",
    "STOP": "stop",
    "SECONDS": "seconds",
    "LOG": "log",
    "ATTEMPTS": "attempts",
    "DRIVER": "driver",
    "PAUSE_KEY": "resting",
    "REPEATS": "repeats",
    "WARM": "warm",
    "HINT": "hint",
    "REQUEST": "request",
    "FACTS": "facts",
    "VERSIONS": "versions",
    "DESCRIPTION": "description",
    "TRACKING_ID": "tracking id",
    "INFEASIBLE": "Infeasible",
}


def test_no_key_ever_changes() -> None:
    constants = {name: getattr(schema, name) for name in schema.__all__ if name.isupper()}
    assert constants == FROZEN
    assert schema.evaluation_key(2, 10) == "evaluation:2:10"
    assert schema.evaluation_key(2, 10).startswith(schema.evaluation_prefix())
    assert schema.usage_key(3) == "held:3"
    assert schema.attempt_key(3) == "attempt:3"
    assert schema.decision_key(4, "paused") == "decision:4:paused"
    assert schema.holdout_look_key(2) == "final:look:2"
    assert schema.holdout_fit_key(7, 123) == "final:fit:7:123"
    assert schema.judgement_key(2) == "final:judged:2"
    assert schema.request_key("0a") == "request:0a"
    assert schema.answer_key("0a") == "answer:0a"
    assert schema.excluded_key(7) == "excluded:7"


def test_numbered_keys_are_read_back_in_order() -> None:
    attributes = {schema.holdout_look_key(n): {"look": n} for n in (10, 2, 1)}
    attributes |= {schema.judgement_key(n): {"judged": n} for n in (2, 10)} | {schema.FACTS: {}}
    assert list(schema.holdout_looks(attributes)) == [1, 2, 10]
    assert schema.judgements(attributes) == {2: {"judged": 2}, 10: {"judged": 10}}


def bare_keys(tree: ast.AST) -> Iterator[str]:
    """Yield the string literals by which a module reads or writes attributes of trials and studies."""
    for node in ast.walk(tree):
        places: list[ast.expr | None] = []
        if isinstance(node, ast.Subscript) and _is_attributes(node.value):
            places = [node.slice]
        elif isinstance(node, ast.Compare) and _is_attributes(node.comparators[-1]):
            places = [node.left]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"set_user_attr", "set_trial_user_attr"}:
                places = [*node.args]
            elif node.func.attr in {"get", "pop"} and _is_attributes(node.func.value):
                places = [*node.args[:1]]
            for keyword in node.keywords:
                if keyword.arg == "user_attrs" and isinstance(keyword.value, ast.Dict):
                    places += keyword.value.keys
        for place in places:
            parts = place.values if isinstance(place, ast.JoinedStr) else [place]
            texts = (part.value for part in parts if isinstance(part, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def _is_attributes(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in {"user_attrs", "attributes"}


def test_no_other_module_spells_a_key() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): keys
        for path in sorted(PACKAGE.rglob("*.py"))
        if (keys := list(bare_keys(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


def test_the_search_for_keys_finds_them() -> None:
    text = (
        "trial.user_attrs['a'], trial.user_attrs.get('b'), 'c' in trial.user_attrs, attributes[f'd{x}'], "
        "study.set_user_attr('e', 1), study.enqueue_trial(p, user_attrs={'f': 1}), trial.user_attrs[KEY]"
    )
    assert sorted(bare_keys(ast.parse(text))) == ["a", "b", "c", "d", "e", "f"]
