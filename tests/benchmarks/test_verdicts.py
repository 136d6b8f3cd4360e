"""The simulation of final judgements, in small: the claims hold, and it judges as the judgement does."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from benchmarks import verdicts
from tuner.holdout.comparisons import compare_all


@pytest.mark.parametrize(("n_seeds", "seed_effect"), [(1, 0.0), (3, 1.0)])
def test_the_family_errs_rarely_and_max_t_finds_more_than_holm(n_seeds: int, seed_effect: float) -> None:
    judged = verdicts.simulate(120, n_users=300, n_seeds=n_seeds, seed_effect=seed_effect, seed=5)
    figures = verdicts.figures_of(judged, 300)
    assert figures["family_error"] <= 0.09, "of 120 studies: 5 % and two standard errors"
    assert figures["coverage"] >= 0.91
    assert figures["coverage_differences"] >= 0.91
    assert figures["primary_error"] <= 0.1
    assert figures["holm_power"] == pytest.approx(0.5, abs=0.02)
    assert figures["max_t_power"] > figures["max_t_power_plain"] > figures["holm_power"]
    assert figures["max_t_power_other"] > figures["holm_power"] - 0.01


def test_a_simulated_study_is_judged_as_the_product_judges_it() -> None:
    rng = np.random.default_rng(1)
    rows = verdicts._recorded(1.0)[verdicts._of_one_search(rng, 220)]
    values = verdicts._values(rng, rows, 300, 3, 1.0)
    values[3] += 0.04
    judged = verdicts._judge(values)
    fits = list(values.astype(np.float32))
    found = compare_all(range(15), fits, primary=verdicts.PRIMARY, winner=verdicts.WINNER)
    pairs = [pair for pair in combinations(range(15), 2) if pair != verdicts.PRIMARY]
    assert judged.wrong
    assert judged.wrong == any(found.of(*pair).distinguishable for pair in pairs)
    assert found.of(*verdicts.PRIMARY).p_value == pytest.approx(judged.primary, rel=1e-3)
    alike = [found.of(*pair) for pair in pairs if not found.of(*pair).distinguishable]
    widths = [(one.interval.high - one.interval.low) / 2 for one in alike]
    errors = np.hypot(*judged.errors)[~verdicts.IS_PRIMARY]
    limits = [
        critical * error
        for pair, critical, error in zip(pairs, judged.critical, errors, strict=True)
        if not found.of(*pair).distinguishable
    ]
    assert widths == pytest.approx(limits, rel=1e-3)


def test_plain_max_t_can_find_no_more_where_all_rows_are_equally_alike() -> None:
    assert verdicts.power_of_alike_rows(20_000) == pytest.approx(0.55, abs=0.02)
