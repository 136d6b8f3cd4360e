"""Narrower spaces: replace, fix or add params, and drop the params that can no longer exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tuner.errors import did_you_mean
from tuner.space.class_names import resolve_name
from tuner.space.domains import Choice, Domain, Fixed, as_domain
from tuner.space.parameters import Parameter, child_key, flatten
from tuner.space.ranges import Float, Int
from tuner.space.relations import AtMost
from tuner.space.validation import can_be
from tuner.space.values import Value, plain_value

__all__ = ["apply_change", "reachable"]


def reachable(
    domains: Mapping[str, Domain], above: tuple[Parameter, ...], written: set[str], changed: set[str]
) -> dict[str, Domain]:
    """Drop the params whose condition can no longer hold, and the values in conditions that no param has now.

    Parameters
    ----------
    domains
        Domains by key, of one level: the top level, or the params under an option.
    above
        The params that come before this level.
    written
        Params whose condition the user has just written. They stay unchanged.
    changed
        Params that the user has just set. They stay even if their condition can no longer hold, so that the
        user gets an error about it.

    Returns
    -------
    dict
        The remaining domains by key.
    """
    remaining: dict[str, Domain] = {}
    for key, domain in domains.items():
        before = (*above, *flatten(remaining, (), ""))
        when = {
            name: tuple(value for value in values if can_be(value, _sources(before, name)))
            for name, values in domain.when.items()
        }
        if key in written or (key in changed and not all(when.values())):
            remaining[key] = domain
        elif all(when.values()):
            remaining[key] = _with_children(
                key, domain, when, before=before, written=written, changed=changed
            )
    return remaining


def _with_children(
    key: str,
    domain: Domain,
    when: Mapping[str, tuple[Value, ...]],
    *,
    before: tuple[Parameter, ...],
    written: set[str],
    changed: set[str],
) -> Domain:
    """Return the domain with a narrower condition, and with the params under its options narrowed too."""
    if not isinstance(domain, Choice):
        return replace(domain, when=when)
    before = (*before, Parameter(key, key, domain, ()))
    branches: dict[Value, Mapping[str, Domain]] = {}
    for option, children in domain.params.items():
        flat = {child_key(key, child): inner for child, inner in children.items()}
        names = dict(zip(flat, children, strict=True))
        reached = reachable(flat, before, written, changed)
        branches[option] = {names[child]: inner for child, inner in reached.items()}
        before = (*before, *flatten(reached, (), ""))
    return domain.with_params(branches, when)


def _sources(parameters: tuple[Parameter, ...], key: str) -> list[Domain]:
    return [parameter.domain for parameter in parameters if parameter.key == key]


def _with_when(domain: Domain, when: Mapping[str, tuple[Value, ...]]) -> Domain:
    if isinstance(domain, Choice):
        return domain.with_params(domain.params, when)
    return replace(domain, when=when)


def apply_change(domains: dict[str, Domain], key: str, change: object) -> None:
    """Replace the domain of `key` everywhere, also under options. Add the key if it is new."""
    if not _change_everywhere(domains, key, change):
        domains[key] = _replaced(key, None, change)


def _change_everywhere(domains: dict[str, Domain], key: str, change: object) -> bool:
    found = key in domains
    if found:
        domains[key] = _replaced(key, domains[key], change)
    for outer, domain in domains.items():
        if not isinstance(domain, Choice):
            continue
        branches = dict(domain.params)
        for option, children in domain.params.items():
            inner = {child_key(outer, child): child_domain for child, child_domain in children.items()}
            if _change_everywhere(inner, key, change):
                branches[option] = dict(zip(children, inner.values(), strict=True))
                found = True
        domains[outer] = domain.with_params(branches, domain.when)
    return found


def _replaced(key: str, old: Domain | None, change: object) -> Domain:
    """Return the new domain with short names resolved.

    It inherits the condition, the params and the relations of the old domain, unless it has its own.
    """
    new = as_domain(change)
    known = old.options if isinstance(old, Choice) else (old.only(),) if isinstance(old, Fixed) else ()
    if isinstance(new, Fixed):
        value = plain_value(resolve_name(key, new.value, known))
        _check_name(key, value, old)
        if isinstance(old, Choice) and value in old.params:  # the kwargs of this class are still searched
            new = Choice({value: old.params[value]}, when=new.when)
        else:
            new = replace(new, value=value)
    elif isinstance(new, Choice):
        inherited = old.params if isinstance(old, Choice) else {}
        branches: dict[object, Mapping[str, Domain]] = {}
        for option in new.options:
            value = plain_value(resolve_name(key, option, known))
            branches[value] = new.params.get(option) or inherited.get(value, {})
        new = Choice(branches, when=new.when, relations=new.relations)
    if old is not None and not new.when:
        new = _with_when(new, old.when)
    return _with_relations(new, old)


def _check_name(key: str, value: Value, old: Domain | None) -> None:
    """Refuse a new option if all old ones are names: it is probably misspelt. Classes may be new."""
    if not isinstance(old, Choice) or key.endswith(("_type", "_types")) or old.contains(value):
        return
    names = [option for option in old.options if isinstance(option, str)]
    if isinstance(value, str) and len(names) == len(old.options):
        near = did_you_mean(value, names)
        new = f"to add a new value, write {{choice: [{value}]}}"
        msg = f"must {old.describe()}, but got {value!r}; {f'{near} ' * near.startswith('did')}{new}"
        raise ValueError(msg)


def _with_relations(new: Domain, old: Domain | None) -> Domain:
    """Return the new domain with the relations of the old one. A bound by a param is a relation too."""
    if not isinstance(old, (Int, Choice)) or isinstance(new, (Fixed, Float)):
        return new
    inherited = old.relations
    if isinstance(old, Int) and old.reference is not None:
        inherited = (AtMost(old.reference),)
    if not inherited or new.relations or (isinstance(new, Int) and new.reference is not None):
        return new
    return replace(new, relations=inherited) if isinstance(new, Int) else new.with_relations(inherited)
