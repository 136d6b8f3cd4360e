"""How many trials have room on the existing machines, and on machines that an autoscaler may add."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tuner.config import Resources
from tuner.space import Value

__all__ = ["Capacity", "Machines", "Share", "Shares", "at_once", "cpu_share", "lacking", "trial_share"]

#: What a trial takes of a node, or what a node has, as Ray names it.
Share = Mapping[str, float]

#: Ray's way to ask for a kind of accelerator: a sliver of a resource that only such nodes have.
_KIND, _SLIVER = "accelerator_type:{}", 0.001


def trial_share(resources: Resources) -> dict[str, float]:
    """Return what a trial of a model that trains by steps takes of a node."""
    share = {**cpu_share(resources), "GPU": resources.gpu_share, **resources.custom}
    if resources.accelerator_type is not None:
        share[_KIND.format(resources.accelerator_type)] = _SLIVER
    return {name: amount for name, amount in share.items() if amount}


def cpu_share(resources: Resources) -> dict[str, float]:
    """Return what a trial of a classic model takes. It does not use an accelerator."""
    return {"CPU": resources.cpus_per_trial}


@dataclass(frozen=True)
class Shares:
    """What trials take of a node.

    Attributes
    ----------
    of
        From a trial's params.
    queued, sampled
        What a baseline, and a point of the space, may take. Which of them is known when it is asked for.
    """

    of: Callable[[Mapping[str, Value]], Share]
    queued: Sequence[Share]
    sampled: Sequence[Share]

    @classmethod
    def alike(cls, share: Share) -> Shares:
        """Return shares of trials that all take the same."""
        return cls(lambda _: share, [share], [share])


@dataclass(frozen=True)
class Machines:
    """Nodes of one kind.

    Attributes
    ----------
    offer
        What each of them has.
    count
        Number of them; for an autoscaler, the maximum.
    """

    offer: Share
    count: int = 1

    def room(self, share: Share) -> int:
        """Return how many trials with this share fit on all of them together."""
        fits = (int(self.offer.get(name, 0) / amount + 1e-9) for name, amount in share.items())
        return self.count * min(fits, default=0)


@dataclass(frozen=True)
class Capacity:
    """For how many trials all machines together have room. Each question asks for the machines.

    Attributes
    ----------
    nodes
        Returns the nodes that exist now.
    coming
        Kinds of nodes that an autoscaler may start, including running ones; empty without an autoscaler.
    most
        Maximum number of trials at once; None for no limit besides the room.
    grows
        Whether there is an autoscaler whose kinds of nodes are not known. One trial more than fits waits,
        so that the autoscaler adds one machine after the other.
    """

    nodes: Callable[[], Sequence[Machines]]
    coming: Sequence[Machines] = field(default_factory=tuple)
    most: int | None = None
    grows: bool = False

    @classmethod
    def of(cls, most: int) -> Capacity:
        """Return room for a fixed number of trials, whatever they take."""
        return cls(lambda: [Machines({"CPU": 1e9, "GPU": 1e9})], most=most)

    @property
    def machines(self) -> Sequence[Machines]:
        """All that a trial may run on."""
        return [*self.nodes(), *self.coming]

    @property
    def may_go(self) -> bool:
        """Whether an autoscaler adds machines, and removes idle ones."""
        return bool(self.coming) or self.grows

    def slots(self, share: Share) -> int:
        """Return how many trials with this share may run at once."""
        return max(self.slots_now(share), self._slots(self.coming, share))

    def slots_now(self, share: Share) -> int:
        """Return for how many of them there is room before an autoscaler has added a machine."""
        return self._slots(self.nodes(), share)

    def _slots(self, machines: Sequence[Machines], share: Share) -> int:
        room = sum(kind.room(share) for kind in machines)
        return min(room, self.most if self.most is not None else sys.maxsize)

    def holds_several(self, share: Share) -> bool:
        """Whether more than one trial with this share may run at once."""
        return self.grows or self.slots(share) > 1

    def has_room(self, running: Sequence[Share], share: Share) -> bool:
        """Whether there is room for one more trial beside the running ones. The first trial may always try.

        The rule adds up all machines. So a trial may wait in Ray if the free shares are on several of them.
        """
        if not running:
            return True
        if self.most is not None and len(running) >= self.most:
            return False
        alike = sum(other == share for other in running)
        if self.grows:
            return alike <= self.slots(share)
        if alike >= self.slots(share):
            return False
        return any(self._holds(machines, [*running, share]) for machines in (self.nodes(), self.coming))

    @staticmethod
    def _holds(machines: Sequence[Machines], shares: Sequence[Share]) -> bool:
        wanted = {name: sum(share.get(name, 0) for share in shares) for share in shares for name in share}
        return all(
            amount <= sum(kind.count * kind.offer.get(name, 0) for kind in machines) + 1e-9
            for name, amount in wanted.items()
        )


def at_once(capacity: Capacity, share: Share) -> str:
    """Return in words how many trials with this share run at once, and what the others wait for."""
    now, slots = capacity.slots_now(share), capacity.slots(share)
    trials = f"{slots} trial{'s' if slots > 1 else ''} at once"
    if capacity.grows:
        more = "when the autoscaler has brought machines"
        return f"{trials}, more {more}" if slots else f"trials begin {more}"
    if now == slots:
        return trials
    return f"{trials}, {now or 'none'} before the autoscaler has brought {'more ' if now else ''}machines"


def lacking(machines: Sequence[Machines], share: Share) -> list[tuple[str, float, float]]:
    """Return what no machine has enough of: name, what a trial wants, and the most that one has.

    If each is found somewhere, but never together on one machine, the first one is returned.
    """
    if any(kind.room(share) for kind in machines):
        return []
    most = {name: max((kind.offer.get(name, 0.0) for kind in machines), default=0.0) for name in share}
    found = [(name, amount, most[name]) for name, amount in share.items() if amount > most[name] + 1e-9]
    name, amount = next(iter(share.items()))
    return found or [(name, amount, most[name])]
