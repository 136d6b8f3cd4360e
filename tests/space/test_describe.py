"""What `tuner space` prints."""

from __future__ import annotations

import random

import pytest

from tuner.cli import main
from tuner.space import AtMost, Choice, Fixed, Float, Int, Space, load_space
from tuner.space.describe import draw_tree, estimate_size, sample

SMALL = Space(
    {
        "cls": Choice("SASRecModel", "BERT4RecModel"),
        "n_blocks": Int(1, 3),
        "groups": Int(1, 3, relations=[AtMost("n_blocks")]),
        "loss": Choice({"softmax": {}, "BCE": {"n_negatives": Choice(1, 2, 4)}}),
        "mask_prob": Float(0.1, 0.5, step=0.1, when={"cls": "BERT4RecModel"}),
        "epochs": Fixed(3),
    },
    baselines={"plain": {"cls": "SASRecModel"}},
)

N_POINTS = (
    (1 + 5) * (1 + 2 + 3) * (1 + 3)
)  # model and its mask_prob, blocks and groups, loss and its negatives


def test_the_estimate_of_a_small_space_is_near_its_true_size() -> None:
    generator = random.Random(0)
    seen = {repr(sample(SMALL, generator)) for _ in range(5000)}
    assert len(seen) == N_POINTS
    assert estimate_size(SMALL, draws=5000) == pytest.approx(N_POINTS, rel=0.05)


def test_every_sample_is_a_point_of_the_space() -> None:
    generator = random.Random(0)
    for space in (SMALL, load_space("search_spaces.guide")):
        for _ in range(100):
            flat = sample(space, generator)
            assert space.decode(space.encode(flat)) == flat


def test_the_tree_names_options_conditions_and_relations() -> None:
    assert draw_tree(SMALL, samples=1).splitlines()[:10] == [
        "cls        SASRecModel | BERT4RecModel",
        "n_blocks   1 .. 3",
        "groups     1 .. 3, must be at most n_blocks",
        "loss       softmax | BCE",
        "  = softmax",
        "  = BCE",
        "      n_negatives  1 | 2 | 4",
        "mask_prob  0.1 .. 0.5 step 0.1    when cls = BERT4RecModel",
        "epochs     3",
        "",
    ]
    assert "baselines: plain" in draw_tree(SMALL)


def test_the_command_takes_a_space_or_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "search_spaces.guide", "--samples", "2"]) == 0
    wide = capsys.readouterr().out
    assert "sample 2: cls=" in wide
    assert "sample 3" not in wide
    assert main(["space", "examples/quickstart.yaml"]) == 0
    narrow = capsys.readouterr().out
    assert "n_factors" in narrow
    assert "BERT4RecModel" not in narrow.split("\n\n")[0]
    assert main(["space", "search_spaces.gide"]) == 2
    assert "must be an importable module" in capsys.readouterr().err
