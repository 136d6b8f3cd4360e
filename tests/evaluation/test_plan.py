"""What a plan takes of a study."""

from __future__ import annotations

import pytest

from tuner.evaluation.plan import Plan


@pytest.mark.parametrize(("fast", "unpadded"), [(True, False), (False, False), ("unpadded", True)])
def test_padding_is_left_out_if_the_study_says_so(fast: bool | str, unpadded: bool) -> None:
    plan = Plan((), "NDCG@10", "maximize", filter_viewed=True, fast=fast)
    assert plan.unpadded is unpadded
