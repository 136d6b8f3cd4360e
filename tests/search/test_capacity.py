"""How many trials have room, on fixed, growing, and mixed machines."""

from __future__ import annotations

import pytest

from tuner.config import Resources
from tuner.execution.autoscaler import kinds_in
from tuner.search.capacity import Capacity, Machines, at_once, cpu_share, lacking, trial_share

CPU, GPU = {"CPU": 1.0}, {"CPU": 1.0, "GPU": 0.5}
WORKER = Machines({"CPU": 4, "GPU": 1})


def test_what_a_trial_takes_and_a_classic_one() -> None:
    resources = Resources(cpus_per_trial=2, gpus_per_trial=0.25, custom={"disk": 1}, accelerator_type="A10G")
    assert trial_share(resources) == {"CPU": 2, "GPU": 0.25, "disk": 1, "accelerator_type:A10G": 0.001}
    assert cpu_share(resources) == {"CPU": 2}
    assert trial_share(Resources()) == cpu_share(Resources()) == {"CPU": 1}


def test_room_follows_the_nodes_that_there_are() -> None:
    nodes = [Machines({"CPU": 0}), WORKER]
    capacity = Capacity(lambda: nodes)
    assert (capacity.slots(GPU), capacity.slots(CPU)) == (2, 4)
    nodes.append(WORKER)
    assert capacity.slots(GPU) == 4
    del nodes[1:]
    assert capacity.slots(GPU) == 0


def test_shares_do_not_add_up_over_nodes() -> None:
    capacity = Capacity(lambda: [Machines({"CPU": 3}), Machines({"CPU": 3})])
    assert capacity.slots({"CPU": 2}) == 2


def test_classic_trials_find_room_beside_those_that_fill_the_gpus() -> None:
    capacity = Capacity(lambda: [WORKER])
    assert capacity.has_room([GPU], GPU)
    assert not capacity.has_room([GPU, GPU], GPU)
    assert capacity.has_room([GPU, GPU, CPU], CPU)
    assert not capacity.has_room([GPU, GPU, CPU, CPU], CPU)


def test_trials_wait_for_what_an_autoscaler_brings_and_no_more() -> None:
    capacity = Capacity(list, [Machines({"CPU": 4, "GPU": 1}, 3)])
    assert capacity.slots(GPU) == 6
    assert capacity.has_room([GPU] * 5, GPU)
    assert not capacity.has_room([GPU] * 6, GPU)


def test_where_the_autoscaler_is_unknown_one_trial_waits() -> None:
    nodes: list[Machines] = []
    capacity = Capacity(lambda: nodes, grows=True)
    assert capacity.has_room([], GPU)
    assert not capacity.has_room([GPU], GPU)
    nodes.append(WORKER)
    assert capacity.has_room([GPU, GPU], GPU)
    assert not capacity.has_room([GPU] * 3, GPU)


@pytest.mark.parametrize(
    ("nodes", "coming", "grows", "words"),
    [
        ([WORKER], [], False, "2 trials at once"),
        ([Machines({"CPU": 1, "GPU": 1})], [], False, "1 trial at once"),
        ([], [WORKER], False, "2 trials at once, none before the autoscaler has brought machines"),
        (
            [WORKER],
            [Machines(WORKER.offer, 3)],
            False,
            "6 trials at once, 2 before the autoscaler has brought more machines",
        ),
        ([WORKER] * 3, [Machines(WORKER.offer, 3)], False, "6 trials at once"),
        ([], [], True, "trials begin when the autoscaler has brought machines"),
        ([WORKER], [], True, "2 trials at once, more when the autoscaler has brought machines"),
    ],
)
def test_what_trials_wait_for_is_said(nodes, coming, grows, words) -> None:
    assert at_once(Capacity(lambda: nodes, coming, grows=grows), GPU) == words


def test_concurrency_bounds_it() -> None:
    capacity = Capacity(lambda: [WORKER], most=1)
    assert capacity.slots(CPU) == 1
    assert not capacity.has_room([CPU], CPU)


@pytest.mark.parametrize(
    ("share", "found"),
    [
        ({"CPU": 1, "GPU": 2}, [("GPU", 2, 1)]),
        ({"CPU": 9, "GPU": 2}, [("CPU", 9, 8), ("GPU", 2, 1)]),
        ({"CPU": 8, "GPU": 1}, [("CPU", 8, 8)]),
        ({"CPU": 4, "GPU": 1}, []),
        ({"CPU": 1, "accelerator_type:H100": 0.001}, [("accelerator_type:H100", 0.001, 0)]),
    ],
)
def test_what_no_machine_has_is_named(share, found) -> None:
    assert lacking([Machines({"CPU": 8}), WORKER], share) == found


def test_kinds_of_a_launchers_file() -> None:
    config = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 2}},
            "gpu": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 8},
            "plain": {"resources": {}},
        },
    }
    assert kinds_in(config) == [Machines({"CPU": 4, "GPU": 1}, 5)]
