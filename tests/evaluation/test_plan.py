"""What a plan takes of a study."""

from __future__ import annotations

import pytest

from tuner.evaluation.plan import Plan, shares_gpu


@pytest.mark.parametrize(
    ("gpus_per_trial", "shares"), [(0, False), (0.25, True), (1, False), (2, False), ("auto", True)]
)
def test_a_part_of_a_gpu_is_shared(gpus_per_trial: float | str, shares: bool) -> None:
    assert shares_gpu(gpus_per_trial) is shares


@pytest.mark.parametrize(("fast", "unpadded"), [(True, False), (False, False), ("unpadded", True)])
def test_padding_is_left_out_if_the_study_says_so(fast: bool | str, unpadded: bool) -> None:
    plan = Plan((), "NDCG@10", "maximize", filter_viewed=True, fast=fast)
    assert plan.unpadded is unpadded
