"""A space as text for people: the tree of params with conditions, the size, and a few random points."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import prod
from statistics import fmean

from tuner.space.class_names import short_name
from tuner.space.domains import Choice, Domain, Fixed
from tuner.space.ranges import Float, Int
from tuner.space.space import Space
from tuner.space.values import Value

__all__ = ["draw_tree", "sample"]

#: Number of values that a real number counts for in the size of a space.
FLOAT_STEPS = 10


def draw_tree(space: Space, *, samples: int = 3, seed: int = 60) -> str:
    """Return the space as text: the tree of params, its size, its baselines, and a few random points."""
    lines = list(_branch(space.domains, ""))
    names = dict.fromkeys(parameter.key for parameter in space.parameters)
    varying = len(space.varying())
    size = estimate_size(space, seed=seed)
    lines += ["", f"{len(names)} params, {varying} of them vary; about {size:.1e} points"]
    if any(isinstance(parameter.domain, Float) for parameter in space.parameters):
        lines[-1] += f", a real number counted as {FLOAT_STEPS}"
    if space.baselines:
        lines.append(f"baselines: {', '.join(space.baselines)}")
    generator = random.Random(seed)
    for number in range(samples):
        flat = sample(space, generator)
        shown = " ".join(f"{key}={_short(value)}" for key, value in flat.items())
        lines += [*([""] if number == 0 else []), f"sample {number + 1}: {shown}"]
    return "\n".join(lines)


def sample(space: Space, generator: random.Random) -> dict[str, Value]:
    """Return a random point as flat params. All values of a domain are equally likely."""
    return space.walk(lambda _name, domain: _pick(domain, generator))


def estimate_size(space: Space, *, draws: int = 2000, seed: int = 60) -> float:
    """Return an unbiased estimate of the number of points. A real number counts as `FLOAT_STEPS` values.

    This is importance sampling: a random point has the probability 1 / (product of the sizes of its domains),
    so the mean of that product over random points is the number of points.
    """
    generator = random.Random(seed)

    def weight() -> float:
        met: list[int] = []

        def choose(_name: str, domain: Domain) -> Value:
            met.append(_size(domain))
            return _pick(domain, generator)

        space.walk(choose)
        return float(prod(met))

    return fmean(weight() for _ in range(draws))


def _size(domain: Domain) -> int:
    if isinstance(domain, Float):
        return FLOAT_STEPS if domain.step is None else int((domain.high - domain.low) / domain.step + 1.5)
    return 1 if isinstance(domain, Fixed) else domain.n_values


def _pick(domain: Domain, generator: random.Random) -> Value:
    if isinstance(domain, Float):
        if domain.step is not None:
            return domain.low + domain.step * generator.randrange(_size(domain))
        low, high = domain.low, domain.high
        return low * (high / low) ** generator.random() if domain.log else generator.uniform(low, high)
    if isinstance(domain, Int):
        return domain.low + domain.step * generator.randrange(domain.n_values)
    return domain.only() if isinstance(domain, Fixed) else generator.choice(domain.options)


def _branch(domains: dict[str, Domain], indent: str) -> Iterator[str]:
    width = max((len(key) for key in domains), default=0)
    for key, domain in domains.items():
        yield f"{indent}{key:<{width}}  {_domain_text(domain)}"
        if not isinstance(domain, Choice):
            continue
        for option in domain.options if domain.params else ():
            yield f"{indent}  = {_short(option)}"
            yield from _branch(dict(domain.params.get(option, {})), indent + "      ")


def _domain_text(domain: Domain) -> str:
    if isinstance(domain, Fixed):
        text = _short(domain.value)
    elif isinstance(domain, Choice):
        text = " | ".join(_short(option) for option in domain.options)
    else:
        text = (
            f"{domain.low:g} .. {domain.high if isinstance(domain.high, str) else format(domain.high, 'g')}"
        )
        text += " log" if domain.log else ""
        text += f" step {domain.step:g}" if domain.step not in {None, 1} else ""
    if isinstance(domain, (Int, Choice)):
        text += "".join(f", must {relation.describe()}" for relation in domain.relations)
    conditions = [f"{key} = {' or '.join(_short(v) for v in values)}" for key, values in domain.when.items()]
    return f"{text}    when {' and '.join(conditions)}" if conditions else text


def _short(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(part) for part in value) + "]"
    if isinstance(value, float):
        return f"{value:.3g}"
    return short_name(value)
