"""Which trials run alone."""

from __future__ import annotations

from functools import partial

from tuner.models.cost import work_of
from tuner.search.exclusive_trials import LargeTrials
from tuner.trials.outcomes import OUT_OF_MEMORY, Failure
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord


def sasrec(**changes: int) -> dict[str, object]:
    return {"cls": "SASRecModel", "n_factors": 64, **changes}


def large() -> LargeTrials:
    return LargeTrials(partial(work_of, n_items=1000))


def test_those_as_large_as_the_smallest_that_ran_out_of_memory() -> None:
    known = large()
    assert not known.holds(sasrec(n_factors=512))
    known.ran_out(sasrec(n_factors=256))
    known.ran_out(sasrec(n_factors=128))
    known.ran_out(sasrec(n_factors=512))
    assert known.holds(sasrec(n_factors=128))
    assert known.holds(sasrec(n_factors=64, batch_size=1024))
    assert not known.holds(sasrec(n_factors=64))


def test_another_class_of_model_is_not_judged_by_it() -> None:
    known = large()
    known.ran_out(sasrec())
    assert not known.holds({**sasrec(), "cls": "BERT4RecModel"})


def test_of_a_model_that_is_not_trained_by_steps_nothing_is_known() -> None:
    known = large()
    known.ran_out({"cls": "EASEModel"})
    assert not known.holds({"cls": "EASEModel"})
    assert known.estimate({"cls": "EASEModel"}) is None
    assert known.estimate(sasrec()) > 0


def test_earlier_runs_are_recalled() -> None:
    known = large()
    failures = (Failure("no", OUT_OF_MEMORY), Failure("no", "ValueError"))
    known.recall(
        TrialRecord(number, TrialStatus.FAILED, None, sasrec(n_factors=width), failure=failure)
        for number, (failure, width) in enumerate(zip(failures, (128, 32), strict=True))
    )
    assert known.holds(sasrec(n_factors=128))
    assert not known.holds(sasrec(n_factors=32))
