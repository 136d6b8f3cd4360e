"""What must hold for every space: points within it, both ways to dimensions and back, and its messages."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from tuner.errors import SpaceError
from tuner.space import (
    AtMost,
    Choice,
    Divides,
    Fixed,
    Float,
    Int,
    Space,
    Subset,
    SumAtMost,
    class_path,
    domain_from_plain,
    domain_to_plain,
    load_space,
    short_name,
    space_to_plain,
)
from tuner.space.class_names import RECTOOLS_TYPES

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:The distribution is specified by"),  # a step that does not divide
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # of RecTools' own printing
]

GUIDE_BASELINES = {
    "popular",
    "sasrec",
    "next_action_bidirectional",
    "next_action_unidirectional",
    "albert",
    "alsasrec",
    "sasrec_albert_layers",
    "next_action_albert_causal",
}


# --- an oracle: a space as a flat list of rules, checked without the space's own logic ----------


@dataclass
class Rule:
    """One param: where it exists, and what it may be."""

    key: str
    when: dict[str, tuple[Any, ...]]
    domain: Any = None

    def exists(self, flat):
        return all(
            key in flat and any(alike(flat[key], value) for value in values)
            for key, values in self.when.items()
        )

    def allows(self, flat):
        value = flat[self.key]
        match self.domain:
            case Int(low=low, high=high, step=step):
                top = flat[high] if isinstance(high, str) else high
                return type(value) is int and value in range(low, top + 1, step)
            case Float(low=low, high=high, step=None):
                return isinstance(value, float) and low <= value <= high
            case Float(low=low, high=high, step=step):
                steps = (value - low) / step
                return isinstance(value, float) and low <= value <= high and abs(steps - round(steps)) < 1e-6
            case Choice(options=options):
                return any(alike(value, option) for option in options)
            case Fixed(value=only):
                return alike(value, only)


def alike(left, right):
    return type(left) is type(right) and left == right


@dataclass
class Grown:
    """A random space: what is given to `Space`, and the rules that its points must keep."""

    params: dict[str, Any] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def space(self):
        return Space(self.params)

    def check(self, flat):
        seen = {}
        for rule in self.rules:
            if rule.exists(seen):
                assert rule.key in flat, f"{rule} is missing in {flat}"
                assert rule.allows(flat), f"{rule} does not allow {flat}"
                seen[rule.key] = flat[rule.key]
        assert list(seen) == list(flat), "params in order, and no others"


# --- random spaces ------------------------------------------------------------------------------

VALUES = [None, True, False, 0, 1, 2, 64, 0.5, "softmax", "BCE", "pkg.One", "pkg.Two", ("a.B",), ("a.B", 2)]
TWIGS = ["choice", "int", "float", "fixed", "bounded"]
LEAST, MOST = -20, 20


@st.composite
def grown_spaces(draw):
    """Well-formed spaces with conditions, bounds by other params, and params nested under options."""
    grown = Grown()
    grown.params["cls"] = Choice(*draw(st.permutations(["SASRecModel", "BERT4RecModel"])))
    grown.rules.append(Rule("cls", {}, grown.params["cls"]))
    for index in range(draw(st.integers(1, 5))):
        kinds = [*TWIGS, "module", "branches"]
        grow(draw, grown, f"p{index}", {}, kinds=kinds)
    return grown


def grow(draw, grown, name, above, *, kinds, depth=0):
    """Add one param, which exists where `above` holds; return its name and its domain."""
    kind = draw(st.sampled_from(kinds))
    key = f"{name}_type" if kind == "module" else name
    flat_key = key if depth == 0 else f"{draw_prefix(above)}{key}"
    own = draw_when(draw, grown, above, flat_key)
    rule = Rule(flat_key, {**above, **own})
    grown.rules.append(rule)
    rule.domain = draw_domain(draw, grown, rule, kind, own, depth=depth)
    if depth == 0:
        grown.params[key] = rule.domain
    return key, rule.domain


def draw_prefix(above):
    """Return what RecTools puts before a kwarg: the owner is the last param that `above` names."""
    owner = list(above)[-1]
    return f"{owner.removesuffix('_type')}_kwargs." if owner.endswith("_type") else ""


def draw_when(draw, grown, above, key):
    """Return a condition on earlier params, most often none."""
    when = {}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        rule = draw(st.sampled_from([rule for rule in grown.rules if rule.domain is not None]))
        options = some_values(rule.domain)
        if options and rule.key not in above and rule.key != key:  # else it could not exist
            when[rule.key] = tuple(draw(st.lists(st.sampled_from(options), min_size=1, unique_by=repr)))
    return when


def some_values(domain):
    match domain:
        case Choice(options=options):
            return list(options)
        case Fixed(value=value):
            return [value]
        case Int(low=low, high=str()):
            return [low, low + 1]
        case Int(low=low, high=high, step=step):
            return list(range(low, high + 1, step))[:4]
    return []


def draw_domain(draw, grown, rule, kind, own, *, depth):
    match kind:
        case "choice":
            options = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique_by=repr))
            return Choice(*options, when=own)
        case "fixed":
            return Fixed(draw(st.sampled_from(VALUES)), when=own)
        case "int":
            return draw_int(draw, own)
        case "float":
            return draw_float(draw, own)
        case "bounded":
            return draw_bounded(draw, grown, rule, own)
        case _:
            return draw_nested(draw, grown, rule, kind, own, depth=depth)


def draw_int(draw, own):
    low, width = draw(st.integers(LEAST, MOST)), draw(st.integers(0, 300))
    if draw(st.booleans()):
        return Int(max(1, low), max(1, low) + width, log=True, when=own)
    return Int(low, low + width, step=draw(st.integers(1, min(7, max(1, width)))), when=own)


def draw_float(draw, own):
    low, width = draw(st.floats(LEAST, MOST)), draw(st.floats(0, 300))
    match draw(st.sampled_from(["plain", "log", "step"])):
        case "log":
            return Float(abs(low) + 1e-6, abs(low) + 1e-6 + width, log=True, when=own)
        case "step":
            high = low + max(width, 0.05)
            return Float(low, high, step=draw(st.floats(0.01, min(5, high - low))), when=own)
    return Float(low, low + width, when=own)


def draw_bounded(draw, grown, rule, own):
    """Return an integer bounded by an earlier one that exists wherever this one does, if there is one."""
    known = [earlier for earlier in grown.rules if earlier.domain is not None]
    times = Counter(earlier.key for earlier in known)
    bounds = [
        earlier
        for earlier in known
        if lowest(earlier.domain) is not None
        and earlier.when.items() <= rule.when.items()
        and times[earlier.key] == 1
    ]
    if not bounds:
        return draw_int(draw, own)
    bound = draw(st.sampled_from(bounds))
    low = lowest(bound.domain) - draw(st.integers(0, 3))
    log = low >= 1 and draw(st.booleans())
    return Int(low, bound.key, log=log, step=1 if log else draw(st.integers(1, 3)), when=own)


def lowest(domain):
    match domain:
        case Int(low=low):
            return low
        case Fixed(value=value) if type(value) is int:
            return value
        case Choice(options=options) if all(type(option) is int for option in options):
            return min(options)
    return None


def draw_nested(draw, grown, rule, kind, own, *, depth):
    """Return a choice whose options have params of their own, of the same names under each option."""
    names = ["pkg.A", "pkg.sub.B", "other.A"] if kind == "module" else ["x", "y.x", 3]
    branches = {}
    for option in draw(st.lists(st.sampled_from(names), min_size=1, unique_by=repr)):
        children = {}
        for index in range(draw(st.integers(0, 2))):
            child = f"k{index}" if kind == "module" else f"{rule.key}_k{index}"
            above = {**rule.when, rule.key: (option,)}
            kinds = [*TWIGS, "module"] if depth == 0 and kind == "module" else TWIGS
            name, domain = grow(draw, grown, child, above, kinds=kinds, depth=depth + 1)
            children[name] = domain
        branches[option] = children
    return Choice(branches, when=own)


seeds = st.integers(0, 2**32 - 1)


def new_study(sampler, **options):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, **options)


# --- properties ---------------------------------------------------------------------------------


@given(grown_spaces(), seeds)
@settings(max_examples=150, deadline=None)
def test_every_suggested_point_keeps_the_rules_and_goes_both_ways(grown, seed):
    space = grown.space()
    study = new_study(RandomSampler(seed=seed))
    distributions = {}
    for _ in range(4):
        trial = study.ask()
        flat = space.suggest(trial)
        grown.check(flat)
        assert space.encode(flat) == trial.params
        assert space.decode(trial.params) == flat
        assert space.suggest(trial) == flat
        for name, distribution in trial.distributions.items():
            assert distributions.setdefault(name, distribution) == distribution
        study.tell(trial, 0.0)


@given(grown_spaces(), seeds)
@settings(max_examples=60, deadline=None)
def test_an_encoded_point_is_replayed_when_it_is_queued(grown, seed):
    space = grown.space()
    flat = space.suggest(new_study(RandomSampler(seed=seed)).ask())
    study = new_study(RandomSampler(seed=seed ^ 1))
    study.enqueue_trial(space.encode(flat))
    assert space.suggest(study.ask()) == flat


@given(grown_spaces(), seeds, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_dimension_that_is_missing_or_outside_is_named(grown, seed, chance):
    space = grown.space()
    trial = new_study(RandomSampler(seed=seed)).ask()
    space.suggest(trial)
    if not trial.params:
        return
    name = chance.choice(list(trial.params))
    for point, text in [
        ({key: value for key, value in trial.params.items() if key != name}, "is missing"),
        ({**trial.params, name: "no such value"}, "got 'no such value'"),
    ]:
        with pytest.raises(SpaceError) as caught:
            space.decode(point)
        problem = caught.value.problems[0]
        assert problem.where == name
        assert problem.rule.endswith(text)


@given(st.data(), grown_spaces(), seeds)
@settings(max_examples=100, deadline=None)
def test_narrowing_only_removes_points(data, grown, seed):
    wide = grown.space()
    free = [rule for rule in grown.rules if not rule.when and rule.key in grown.params]
    changes = {
        rule.key: change
        for rule in data.draw(st.lists(st.sampled_from(free), unique_by=id))
        if (change := narrower(data.draw, rule.domain)) is not None
    }
    narrow = wide.narrow(changes)
    study = new_study(RandomSampler(seed=seed))
    for _ in range(4):
        trial = study.ask()
        flat = narrow.suggest(trial)
        grown.check(flat)
        assert wide.decode(wide.encode(flat)) == flat
        for key, change in changes.items():
            assert Rule(key, {}, change).allows(flat)
        study.tell(trial, 0.0)


def narrower(draw, domain):
    """Return a part of a domain, None where there is no smaller one to name."""
    match domain:
        case Int(high=str()) | Float(step=float()) | Fixed():
            return None
        case Int(low=low, high=high, step=step, log=log):
            grid = range(low, high + 1, step)
            first = draw(st.integers(0, len(grid) - 1))
            last = draw(st.integers(first, len(grid) - 1))
            return Fixed(grid[first]) if first == last else Int(grid[first], grid[last], step=step, log=log)
        case Float(low=low, high=high, log=log):
            first, last = sorted([draw(st.floats(low, high)), draw(st.floats(low, high))])
            return Fixed(first) if first == last else Float(first, last, log=log)
        case Choice(options=options):
            kept = draw(st.lists(st.sampled_from(options), min_size=1, unique_by=repr))
            return Fixed(kept[0]) if len(kept) == 1 else Choice(*kept)


@given(grown_spaces(), seeds)
@settings(max_examples=40, deadline=None)
def test_narrowing_by_nothing_changes_nothing(grown, seed):
    """Params that can never exist may be dropped: they are no part of any point."""
    first, second = grown.space(), grown.space().narrow({})
    studies = [new_study(RandomSampler(seed=seed)) for _ in range(2)]
    for _ in range(4):
        one, other = (study.ask() for study in studies)
        assert first.suggest(one) == second.suggest(other)
        assert one.distributions == other.distributions


def test_tpe_learns_in_a_conditional_space_with_trials_without_params():
    space = Space(
        {
            "cls": Choice("SASRecModel", "BERT4RecModel"),
            "n_blocks": Int(1, 4),
            "lr": Float(1e-4, 1e-1, log=True),
            "layers_type": Choice({"pkg.Plain": {}, "pkg.Albert": {"n_groups": Int(1, "n_blocks")}}),
            "mask_prob": Float(0.1, 0.6, when={"cls": "BERT4RecModel"}),
        }
    )
    study = new_study(TPESampler(seed=60, multivariate=True, group=True, constant_liar=True))
    for name in ["popular", "ease"]:
        study.enqueue_trial({}, user_attrs={"name": name})
    values = []
    for _ in range(60):
        trial = study.ask()
        if "name" in trial.user_attrs:
            study.tell(trial, 2.0)
            continue
        flat = space.suggest(trial)
        assert space.encode(flat) == trial.params
        values.append(abs(math.log10(flat["lr"]) + 2) + abs(flat["n_blocks"] - 3))
        study.tell(trial, values[-1])
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 60
    assert [trial.params for trial in study.trials[:2]] == [{}, {}]
    assert sum(values[-20:]) < sum(values[:20]) / 1.5
    names = {name for trial in study.trials for name in trial.params}
    assert {f"layers_kwargs.n_groups@Albert[1..{high}]" for high in (2, 3)} <= names


# --- names of dimensions ------------------------------------------------------------------------


def test_dimensions_are_named_after_option_and_bound():
    space = Space(
        {
            "cls": "SASRecModel",
            "n_blocks": Int(1, 4),
            "layers_type": Choice({"pkg.Plain": {}, "pkg.Albert": {"n_groups": Int(1, "n_blocks")}}),
            "n_heads": Int(1, "n_blocks"),
        }
    )
    flat = {"cls": "SASRecModel", "n_blocks": 3, "layers_type": "pkg.Albert", "n_heads": 2}
    assert space.encode({**flat, "layers_kwargs.n_groups": 1}) == {
        "n_blocks": 3,
        "layers_type": "pkg.Albert",
        "layers_kwargs.n_groups@Albert[1..3]": 1,
        "n_heads[1..3]": 2,
    }


def test_a_module_in_a_module_is_named_after_the_whole_path():
    inner = {"act_type": Choice({"pkg.Gelu": {"alpha": Float(0, 1)}})}
    space = Space({"cls": "SASRecModel", "layers_type": Choice({"pkg.A": inner, "pkg.B": inner})})
    key = "layers_kwargs.act_kwargs.alpha"
    flat = {"cls": "SASRecModel", "layers_type": "pkg.B", "layers_kwargs.act_type": "pkg.Gelu", key: 0.5}
    assert space.encode(flat) == {"layers_type": "pkg.B", f"{key}@B/Gelu": 0.5}


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Int(1, 8, step=3), [1, 4, 7], [0, 2, 8, 10, 4.0, True, "4", None]),
        (Int(1, 8, log=True), [1, 5, 8], [0, 9]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.1 + 0.1 + 0.1, 0.5], [0.0, 0.15, 0.6, "0.1", True]),
        (Float(1, 2), [1, 1.0, 1.5, 2], [0.999, 2.001, float("nan"), None]),
        (Choice(1, "a", None), [1, "a", None], [True, "b", 0]),
        (Fixed(("a", 1)), [("a", 1)], [("a", 2), "a", ["a", 1]]),
    ],
)
def test_bounds_are_inclusive_and_steps_count_from_low(domain, inside, outside):
    assert [value for value in [*inside, *outside] if domain.contains(value)] == inside


def test_what_is_fixed_is_no_dimension():
    space = Space(
        {"cls": "SASRecModel", "n": Int(3, 3, step=2), "lr": Float(0.1, 0.1), "loss": Choice("BCE"), "k": 5}
    )
    flat = space.decode({})
    assert flat == {"cls": "SASRecModel", "n": 3, "lr": 0.1, "loss": "BCE", "k": 5}
    assert space.encode(flat) == {}
    assert space.fixed() == flat
    assert space.varying() == ()


def test_fixed_and_varying_divide_the_params():
    space = Space(
        {
            "cls": Choice("A", "B"),
            "k": 5,
            "n": Int(1, 2),
            "m": Int(1, "n"),
            "only_a": Fixed(7, when={"cls": "A"}),
        }
    )
    assert space.fixed() == {"k": 5}
    assert space.varying() == ("cls", "n", "m", "only_a")


def test_true_is_not_one():
    space = Space({"cls": "A", "x": Choice(True, 1), "y": Fixed("yes", when={"x": 1})})
    study = new_study(RandomSampler(seed=0))
    kinds = set()
    for _ in range(20):
        trial = study.ask()
        flat = space.suggest(trial)
        kinds.add(type(flat["x"]))
        assert ("y" in flat) == (type(flat["x"]) is int)
        assert alike(trial.params["x"], flat["x"])
    assert kinds == {bool, int}


# --- messages -----------------------------------------------------------------------------------

C = "SASRecModel"
LOSS = Choice("softmax", "BCE")


def test_all_problems_of_a_space_are_reported_at_once():
    with pytest.raises(SpaceError) as caught:
        Space({"n": Int(1, "m"), "loss": LOSS, "k": Fixed(1, when={"loss": "x", "los": "BCE"})})
    assert [problem.where for problem in caught.value.problems] == ["cls", "n", "k", "k"]


def test_params_of_two_options_that_would_share_a_dimension_are_refused():
    with pytest.raises(SpaceError, match="'k@x' appears twice"):
        Space({"cls": C, "a": Choice({"x": {"k": Int(1, 2)}}), "b": Choice({"x": {"k": Int(1, 2)}})})


def test_params_outside_the_space_are_reported_one_by_one():
    space = Space(
        {
            "cls": Choice("SASRecModel", "BERT4RecModel"),
            "loss": LOSS,
            "lr": Float(1e-3, 1e-1),
            "n": Int(2, 8, step=2),
            "k": 5,
            "mask_prob": Float(0, 1, when={"cls": "BERT4RecModel"}),
        }
    )
    flat = {"cls": "SASRecModel", "loss": "BPR", "lr": 1.0, "n": 3, "k": True, "mask_prob": 0.5, "nn": 1}
    with pytest.raises(SpaceError) as caught:
        space.encode(flat)
    assert [(problem.where, problem.rule) for problem in caught.value.problems] == [
        ("loss", "must be one of 'softmax', 'BCE', but got 'BPR'"),
        ("lr", "must be a number from 0.001 to 0.1, but got 1.0"),
        ("n", "must be an integer from 2 to 8 in steps of 2, but got 3"),
        ("k", "must be 5, but got True"),
        ("mask_prob", "must be left out, since the space does not have it here, but got 0.5"),
        ("nn", "must be left out, since the space does not have it here, but got 1"),
    ]


def test_a_missing_param_has_its_default():
    space = Space({"cls": C, "n": Int(1, 4)})
    defaults = {"n": 2, "verbose": 0}
    assert space.encode({"cls": C}, defaults) == {"n": 2}
    assert space.encode({"cls": C, "verbose": 0}, defaults) == {"n": 2}
    with pytest.raises(SpaceError, match="n: must be an integer from 1 to 4, but is missing"):
        space.encode({"cls": C})
    with pytest.raises(SpaceError, match="verbose: must be left out, since the space does not have it"):
        space.encode({"cls": C, "verbose": 1}, defaults)


# --- known bugs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(("a", "b"), "a+b"), (("1",), "1"), ((1,), ("1",))])
def test_options_with_the_same_text_for_optuna_are_refused_or_distinguished(options):
    try:
        space = Space({"cls": C, "x": Choice(*options)})
    except (ValueError, SpaceError):
        return
    assert space.encode({"cls": C, "x": options[0]}) != space.encode({"cls": C, "x": options[1]})


# --- regressions --------------------------------------------------------------------------------


def test_a_choice_among_lists_is_text_to_optuna_and_a_list_to_rectools():
    space = Space({"cls": C, "item_net_block_types": Choice(("a.B",), ["a.B", "a.C"])})
    study = new_study(RandomSampler(seed=60))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        flat = space.suggest(trial)
        assert space.encode(flat) == trial.params
        assert space.decode(trial.params) == flat
        seen.add((trial.params["item_net_block_types"], flat["item_net_block_types"]))
    assert seen == {("a.B", ("a.B",)), ("a.B+a.C", ("a.B", "a.C"))}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{int: [1, 9], step: 1.5}", "step must be an integer, but got 1.5"),
        ("{int: [1, 9], step: true}", "step must be an integer, but got True"),
        ("{int: [1, 9], step: '2'}", "step must be an integer, but got '2'"),
        ("{int: [1, 9], log: 'no'}", "log must be true or false, but got 'no'"),
        ("{float: [1, 9], step: '2'}", "step must be a number, but got '2'"),
        ("{float: [1, 9], step: .nan}", "step must be finite, but got nan"),
        ("{float: [1, 9], log: 'no'}", "log must be true or false, but got 'no'"),
    ],
)
def test_step_and_log_of_a_wrong_type_state_rule_and_value(text, rule):
    with pytest.raises((ValueError, TypeError)) as caught:
        domain_from_plain("n", yaml.safe_load(text))
    assert rule in str(caught.value)


def test_a_kwarg_that_can_no_longer_exist_is_dropped():
    kwargs = {"x": Int(1, 3, when={"loss": "BCE"}), "y": 1}
    space = Space({"cls": C, "loss": LOSS, "layers_type": Choice({"p.A": kwargs, "p.B": {}})})
    assert space.narrow({"loss": "softmax"}).domains["layers_type"].params == {"p.A": {"y": Fixed(1)}}


def test_a_condition_that_is_inherited_is_narrowed_too():
    space = Space({"cls": C, "loss": Choice("a", "b", "c"), "n": Int(1, 9, when={"loss": ("a", "b")})})
    narrow = space.narrow({"loss": Choice("a", "c"), "n": Int(1, 4)})
    assert narrow.domains["n"] == Int(1, 4, when={"loss": "a"})


def test_two_classes_of_one_name_may_be_in_one_choice():
    Space({"cls": C, "x_type": Choice({"one.Layers": {"k": Int(1, 2)}, "two.Layers": {"k": Int(1, 4)}})})


# --- relations ----------------------------------------------------------------------------------

HEADS = Choice(1, 2, 3, 4, relations=[Divides("n_factors")])
GROUPS = Int(1, 4, relations=[AtMost("n_blocks")])


def related(**more):
    return Space({"cls": C, "n_factors": Choice(6, 8), "n_blocks": Int(1, 4), **more})


def sampled(space, trials=120):
    study = new_study(RandomSampler(seed=60))
    for _ in range(trials):
        trial = study.ask()
        flat = space.suggest(trial)
        assert space.encode(flat) == trial.params
        assert space.decode(trial.params) == flat
        study.tell(trial, 0.0)
        yield flat, trial


def test_a_relation_holds_for_every_point_and_each_set_of_values_is_a_dimension():
    space = related(
        n_heads=HEADS, groups=GROUPS, pad=Int(0, 9, relations=[SumAtMost(9, ("n_blocks", "groups"))])
    )
    points = list(sampled(space))
    assert {(flat["n_factors"], flat["n_heads"]) for flat, _ in points} == {
        *((6, heads) for heads in (1, 2, 3)),
        *((8, heads) for heads in (1, 2, 4)),
    }
    assert {(flat["n_blocks"], flat["groups"]) for flat, _ in points} == {
        (blocks, groups) for blocks in range(1, 5) for groups in range(1, blocks + 1)
    }
    assert all(flat["n_blocks"] + flat["groups"] + flat["pad"] <= 9 for flat, _ in points)
    names = {name for _, trial in points for name in trial.params}
    assert {"n_heads[1,2,3]", "n_heads[1,2,4]", "groups[1..2]", "groups[1..3]", "groups"} <= names
    assert "groups[1..1]" not in names, "what has one value left is no dimension"


def test_two_relations_hold_together():
    space = related(k=Choice(1, 2, 3, 4, 8, relations=[Divides("n_factors"), AtMost("n_blocks")]))
    for flat, _ in sampled(space):
        assert flat["n_factors"] % flat["k"] == 0
        assert flat["k"] <= flat["n_blocks"]


def test_a_narrower_domain_keeps_its_relations_and_bounds():
    space = related(n_heads=HEADS, groups=Int(1, "n_blocks"))
    narrow = space.narrow({"n_heads": Choice(1, 2, 4), "groups": Int(1, 2)})
    assert narrow.domains["n_heads"] == Choice(1, 2, 4, relations=[Divides("n_factors")])
    assert narrow.domains["groups"] == Int(1, 2, relations=[AtMost("n_blocks")])
    for flat, _ in sampled(narrow):
        space.encode(flat)


RELATED_PLAIN = """
cls: SASRecModel
n_factors: [6, 8]
n_blocks: {int: [1, 4]}
n_heads: {choice: [1, 2, 3, 4], divides: n_factors}
groups: {int: [1, 4], at_most: n_blocks}
pad: {int: [0, 9], sum_at_most: {total: 9, with: [n_blocks, groups]}}
"""


def test_relations_are_the_same_in_yaml():
    pad = Int(0, 9, relations=[SumAtMost(9, ("n_blocks", "groups"))])
    plain = yaml.safe_load(RELATED_PLAIN)
    space = Space({key: domain_from_plain(key, body) for key, body in plain.items()})
    assert space == Space(
        {
            "cls": "SASRecModel",
            "n_factors": Choice(6, 8),
            "n_blocks": Int(1, 4),
            "n_heads": HEADS,
            "groups": GROUPS,
            "pad": pad,
        }
    )
    assert space_to_plain(space) == plain


@pytest.mark.parametrize(
    "body",
    [
        {"divides": 5},
        {"at_most": ["a"]},
        {"sum_at_most": 5},
        {"sum_at_most": {"total": 5}},
        {"sum_at_most": {"total": 5, "with": "a"}},
    ],
)
def test_a_relation_that_is_not_well_formed_states_rule_and_value(body):
    with pytest.raises(TypeError, match=r"must .*but got"):
        domain_from_plain("k", {"int": [1, 4], **body})


# --- YAML and back ------------------------------------------------------------------------------


@given(grown_spaces())
@settings(max_examples=60, deadline=None)
def test_dumped_to_yaml_and_loaded_a_space_is_equal(grown):
    space = grown.space()
    text = yaml.safe_dump(space_to_plain(space), sort_keys=False)
    loaded = yaml.safe_load(text)
    assert Space({key: domain_from_plain(key, body) for key, body in loaded.items()}) == space


def test_item_net_blocks_are_lists_of_short_names():
    body = [["IdEmbeddingsItemNet"], ["IdEmbeddingsItemNet", "CatFeaturesItemNet"]]
    domain = domain_from_plain("item_net_block_types", {"choice": body})
    ids, categories = RECTOOLS_TYPES["IdEmbeddingsItemNet"], RECTOOLS_TYPES["CatFeaturesItemNet"]
    assert domain == Choice((ids,), (ids, categories))


def test_the_guides_space_survives_yaml(guide):
    loaded = yaml.safe_load(yaml.safe_dump(space_to_plain(guide), sort_keys=False))
    assert Space({key: domain_from_plain(key, body) for key, body in loaded.items()}).domains == guide.domains


# --- narrowing ----------------------------------------------------------------------------------

ALBERT = {"n_groups": Int(1, "n_blocks"), "ff": Choice(1, 2, 4)}
MODULES = Space(
    {
        "cls": Choice("SASRecModel", "BERT4RecModel"),
        "n_blocks": Int(1, 4),
        "layers_type": Choice({"pkg.Plain": {}, "pkg.PreLN": {"ff": Choice(1, 2, 4)}, "pkg.Albert": ALBERT}),
        "mask_prob": Float(0.1, 0.6, when={"cls": "BERT4RecModel"}),
    },
    baselines={"plain": {"cls": "SASRecModel"}},
)


def test_a_module_that_is_kept_keeps_its_kwargs_and_is_known_by_its_short_name():
    for change in ("Albert", "pkg.Albert", Choice("Albert")):
        narrow = MODULES.narrow({"layers_type": change})
        assert narrow.domains["layers_type"] == Choice({"pkg.Albert": ALBERT})
        assert narrow.baselines == MODULES.baselines


def test_a_kwarg_is_changed_under_every_module_that_has_it():
    narrow = MODULES.narrow({"layers_kwargs.ff": 2})
    assert narrow.domains["layers_type"].params["pkg.PreLN"]["ff"] == Fixed(2)
    assert narrow.domains["layers_type"].params["pkg.Albert"] == {**ALBERT, "ff": Fixed(2)}
    assert narrow.domains["layers_type"].options == MODULES.domains["layers_type"].options


def test_a_param_is_changed_at_the_top_and_under_options_alike():
    inner = Choice({"deep": {"n": Int(3, 9)}})
    space = Space(
        {
            "cls": C,
            "loss": Choice({"a": {}, "b": {"n": Int(1, 4), "m": 1}, "c": {"inner": inner}}),
            "n": Int(1, 9, when={"loss": "a"}),
        }
    )
    narrow = space.narrow({"n": 2})
    assert [(p.name, p.domain.only()) for p in narrow.parameters if p.key == "n"] == [
        ("n@b", 2),
        ("n@c/deep", 2),
        ("n", 2),
    ]
    assert narrow.domains["n"] == Fixed(2, when={"loss": "a"})


def test_a_param_that_can_no_longer_exist_is_dropped():
    assert "mask_prob" not in MODULES.narrow({"cls": "SASRecModel"}).domains
    assert "mask_prob" in MODULES.narrow({"cls": "BERT4RecModel"}).domains
    with pytest.raises(SpaceError, match="mask_prob: `when` must name values that cls can take"):
        MODULES.narrow({"cls": "SASRecModel", "mask_prob": 0.2})


def test_a_new_domain_keeps_the_condition_and_a_new_param_is_added():
    narrow = MODULES.narrow({"mask_prob": Float(0.2, 0.3), "verbose": 1})
    assert narrow.domains["mask_prob"] == Float(0.2, 0.3, when={"cls": ("BERT4RecModel",)})
    assert narrow.domains["verbose"] == Fixed(1)


def test_a_change_that_cannot_be_applied_names_its_key():
    with pytest.raises(SpaceError) as caught:
        MODULES.narrow({"layers_type": "Albrt", "n_blocks": {"a": 1}})
    assert [problem.where for problem in caught.value.problems] == ["layers_type", "n_blocks"]
    assert "did you mean 'Albert'?" in str(caught.value.problems[0].hint)


# --- classes as text ----------------------------------------------------------------------------


def test_names_of_rectools_types_are_those_of_the_real_classes():
    for name, path in RECTOOLS_TYPES.items():
        cls = getattr(import_module(path.rpartition(".")[0]), name)
        assert class_path(cls) == path


def test_defaults_of_rectools_models_are_among_the_known_types():
    from rectools.models import BERT4RecModel, SASRecModel

    for model in (SASRecModel, BERT4RecModel):
        printed = model().get_params(simple_types=True)
        types = {key: value for key, value in printed.items() if key.endswith("_type")}
        assert len(types) >= 8
        assert set(types.values()) | set(printed["item_net_block_types"]) <= set(RECTOOLS_TYPES.values())
        assert class_path(model) == printed["cls"] == model.__name__


def test_a_class_is_written_as_rectools_prints_it():
    from rectools.models import SASRecModel
    from rectools.models.nn.item_net import IdEmbeddingsItemNet, SumOfEmbeddingsConstructor
    from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

    given = {
        "transformer_layers_type": PreLNTransformerLayers,
        "item_net_constructor_type": SumOfEmbeddingsConstructor,
        "item_net_block_types": (IdEmbeddingsItemNet,),
    }
    printed = SASRecModel(**given).get_params(simple_types=True)
    flat = Space({"cls": SASRecModel, **given}).decode({})
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()} == {
        key: printed[key] for key in flat
    }


@pytest.mark.parametrize(
    ("value", "short"),
    [("pkg.sub.Layers", "Layers"), ("softmax", "softmax"), (0.25, "0.25"), (None, "None"), (True, "True")],
)
def test_short_name(value, short):
    assert short_name(value) == short


# --- plain data ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "domain"),
    [
        ("n_factors", "[64, 128]", Choice(64, 128)),
        ("session_max_len", "50", Fixed(50)),
        ("loss", "softmax", Fixed("softmax")),
        ("lr", "{float: [1.0e-4, 1.0e-2], log: true}", Float(1e-4, 1e-2, log=True)),
        ("rate", "{float: [0, 1], step: 0.25}", Float(0.0, 1.0, step=0.25)),
        ("n_blocks", "{int: [1, 4]}", Int(1, 4)),
        ("extra", "{subset: [a, b]}", Choice(("a",), ("b",), ("a", "b"))),
        (
            "extra",
            "{subset: [a, b, c], at_least: 2, when: {cls: A}}",
            Subset("a", "b", "c", at_least=2, when={"cls": "A"}),
        ),
        (
            "item_net_block_types",
            "{subset: [IdEmbeddingsItemNet, my.Net], at_least: 0}",
            Subset(RECTOOLS_TYPES["IdEmbeddingsItemNet"], "my.Net", at_least=0),
        ),
        ("n_heads", "{int: [1, n_blocks], step: 2}", Int(1, "n_blocks", step=2)),
        ("verbose", "{fixed: null, when: {cls: [A, B]}}", Fixed(None, when={"cls": ("A", "B")})),
        (
            "use_causal_attn",
            "{choice: [true, false], when: {cls: BERT4RecModel}}",
            Choice(True, False, when={"cls": "BERT4RecModel"}),
        ),
        (
            "loss",
            "{choice: {softmax: {}, BCE: , gBCE: {n_negatives: {int: [16, 256], log: true}, gbce_t: 0.2}}}",
            Choice(
                {"softmax": {}, "BCE": {}, "gBCE": {"n_negatives": Int(16, 256, log=True), "gbce_t": 0.2}}
            ),
        ),
        (
            "transformer_layers_type",
            "[PreLNTransformerLayers, my.Layers]",
            Choice("rectools.models.nn.transformers.net_blocks.PreLNTransformerLayers", "my.Layers"),
        ),
        (
            "x",
            "{fixed: 1, when: {transformer_layers_type: SASRecTransformerLayers}}",
            Fixed(1, when={"transformer_layers_type": RECTOOLS_TYPES["SASRecTransformerLayers"]}),
        ),
    ],
)
def test_a_study_file_and_python_say_the_same(key, text, domain):
    assert domain_from_plain(key, yaml.safe_load(text)) == domain


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("at_least", [0, 1])
def test_a_subset_is_a_choice_among_all_lists_in_the_order_written(n, at_least):
    letters = "hgfedcba"[:n]
    domain = Subset(*letters, at_least=at_least)
    assert len(domain.options) == 2**n - at_least
    assert all(list(option) == sorted(option, reverse=True) for option in domain.options)
    assert domain_from_plain("extra", domain_to_plain(domain)) == domain
    space = Space({"cls": C, "extra": domain})
    for option in domain.options:
        assert space.decode(space.encode({"cls": C, "extra": option}))["extra"] == option


# --- spaces by import path ----------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Write a module beside a study, in the working folder; forget it afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


TWO_SPACES = """
from tuner.space import Space
space = Space({"cls": "SASRecModel"})
small = Space({"cls": "BERT4RecModel"})
"""


def test_a_space_is_found_beside_the_study(beside):
    beside("space_of_a_test", TWO_SPACES)
    assert load_space("space_of_a_test") == Space({"cls": "SASRecModel"})
    assert load_space("space_of_a_test:small") == Space({"cls": "BERT4RecModel"})


# --- the guide's space --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guide():
    return load_space("search_spaces.guide")


def test_the_guide_has_its_rows_by_name(guide):
    assert set(guide.baselines) == GUIDE_BASELINES
    assert all("cls" in params for params in guide.baselines.values())


def test_300_points_of_the_guide_make_sense(guide):
    study = new_study(RandomSampler(seed=60))
    seen = Counter()
    for _ in range(300):
        trial = study.ask()
        flat = guide.suggest(trial)
        assert guide.encode(flat) == trial.params
        check_guide_point(flat)
        seen.update(f"{key}={short_name(value)}" for key, value in flat.items() if isinstance(value, str))
        study.tell(trial, 0.0)
    assert min(seen.values()) >= 30, "every module is reached"


def check_guide_point(flat):
    def chosen(key):
        return short_name(flat[key]) if key in flat else None

    bert4rec = chosen("cls") == "BERT4RecModel"
    albert = chosen("transformer_layers_type") == "AlbertLayers"
    next_action = chosen("data_preparator_type") == "NextActionDataPreparator"
    assert bert4rec or chosen("cls") == "SASRecModel"
    assert ("transformer_layers_kwargs.n_hidden_groups" in flat) == albert
    assert flat.get("transformer_layers_kwargs.n_hidden_groups", 1) <= flat["n_blocks"]
    assert ("item_net_constructor_kwargs.emb_factors" in flat) == (
        chosen("item_net_constructor_type") == "AlbertSumConstructor"
    )
    assert ("n_negatives" in flat) == (flat["loss"] in {"BCE", "gBCE", "sampled_softmax"})
    assert ("gbce_t" in flat) == (flat["loss"] == "gBCE")
    assert ("data_preparator_type" in flat) == bert4rec
    assert ("use_causal_attn" in flat) == next_action
    assert ("mask_prob" in flat) == (chosen("data_preparator_type") == "BERT4RecDataPreparator")
    assert chosen("lightning_module_type") == ("NextActionLightningModule" if next_action else None)
    assert flat["n_factors"] % flat["n_heads"] == 0
