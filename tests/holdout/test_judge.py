"""The final judgement claims only what it can know: by simulation, and point by point."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tuner.holdout import LEVEL, Comparison, Final, Interval
from tuner.holdout.comparisons import compare_all
from tuner.holdout.intervals import Seeds, bootstrap_bounds, half_width, p_value, seeds_of
from tuner.holdout.judge import Fitted, judge
from tuner.holdout.letters import letters, letters_of_rows
from tuner.holdout.max_t import MARGIN, step_down
from tuner.holdout.means import intervals
from tuner.holdout.text import final_lines

Values = NDArray[np.float64]
N_USERS = 300
GAIN = 1 / np.log2(np.arange(2, 12))


# ####  --------------  Synthetic users  --------------  #### #


def ndcg_like(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Mostly zero, else the gain of a rank: few users are easy, most are hopeless. Their mean is 0.0413."""
    *before, _, n_users = shape
    chance = rng.beta(0.4, 4.0, (*before, 1, n_users))
    gain = rng.choice(GAIN, (*before, 1, n_users))
    return (rng.random(shape) < chance) * gain


def hit_like(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Nought or one, each user a coin of their own. Their mean is 0.1."""
    *before, _, n_users = shape
    return (rng.random(shape) < rng.beta(1.0, 9.0, (*before, 1, n_users))).astype(np.float64)


def dense(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Every user has some value, skewed; fits agree on whom they serve well. Their mean is 0.3."""
    *before, _, n_users = shape
    return rng.gamma(1.5, 0.2, (*before, 1, n_users)) + rng.normal(0, 0.1, shape)


SHAPES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, ...]], Values], float]] = {
    "ndcg": (ndcg_like, 0.4 / 4.4 * float(GAIN.mean())),
    "hit": (hit_like, 0.1),
    "dense": (dense, 0.3),
}


def studies(
    shape: str, *, n: int, n_rows: int, n_seeds: int, seed_effect: float, seed: int = 60
) -> tuple[Values, float]:
    """Return values of shape (n, n_rows, n_seeds, N_USERS) and the truth that they scatter around.

    The effect of a seed, the same on all users, is given in standard errors of a mean over the users.
    """
    rng = np.random.default_rng(seed)
    draw, truth = SHAPES[shape]
    values = draw(rng, (n, n_rows, n_seeds, N_USERS))
    error = values.mean(axis=2).std(axis=-1).mean() / np.sqrt(N_USERS)
    return values + rng.normal(0, seed_effect * error, (n, n_rows, n_seeds, 1)), truth


def errors_by_seeds(values: Values) -> tuple[Values, int]:
    """Return the standard errors by seeds of all rows of all studies, and their degrees of freedom."""
    found = [seeds_of([row.astype(np.float32) for row in study]) for study in values]
    errors = [[seeds.error(values.shape[2])] * values.shape[1] for seeds in found]
    return np.array(errors), found[0].df


# ####  --------------  By simulation  --------------  #### #


@pytest.mark.parametrize("seed_effect", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_hold_the_truth_in_95_of_100_studies(shape: str, seed_effect: float) -> None:
    values, truth = studies(shape, n=600, n_rows=5, n_seeds=3, seed_effect=seed_effect)
    errors, df = errors_by_seeds(values)
    assert df == 10
    low, high = intervals(values.mean(axis=2).reshape(-1, N_USERS), errors.ravel(), df=df)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_of_one_fit_hold_the_truth_of_that_fit(shape: str) -> None:
    values, truth = studies(shape, n=1500, n_rows=1, n_seeds=1, seed_effect=0)
    low, high = intervals(values.reshape(-1, N_USERS), np.zeros(len(values)), df=0)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


def test_without_the_seeds_intervals_would_hold_it_too_rarely() -> None:
    values, truth = studies("dense", n=100, n_rows=5, n_seeds=3, seed_effect=3.0)
    by_user = values.mean(axis=2).reshape(-1, N_USERS)
    low, high = intervals(by_user, np.zeros(len(by_user)), df=0)
    assert np.mean((low <= truth) & (truth <= high)) < 0.8


def test_the_winner_of_many_by_validation_is_not_called_better_where_none_is_better() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(150):
        # 40 trials and a baseline on the same users, their difficulty the same in validation and holdout.
        chance = rng.beta(1.0, 9.0, N_USERS)
        validation = (rng.random((41, N_USERS)) < chance).mean(axis=1)
        best = int(np.argmax(validation[:40]))
        fits = (rng.random((2, 3, N_USERS)) < chance).astype(np.float32)
        found += compare_all([best, 40], list(fits), primary=(best, 40)).of(best, 40).distinguishable
    assert found / 150 <= 0.05


def test_a_true_difference_is_found() -> None:
    rng = np.random.default_rng(2)
    worse = rng.beta(1.0, 9.0, 2000)
    fits = [(rng.random((3, 2000)) < chance).astype(np.float32) for chance in (worse, worse + 0.03)]
    comparison = compare_all([0, 1], fits, primary=(1, 0)).of(1, 0)
    assert comparison.distinguishable
    assert comparison.better("maximize")
    assert not comparison.better("minimize")
    assert comparison.interval.low < 0.03 < comparison.interval.high
    assert comparison.interval.low > 0


# ####  --------------  Point by point  --------------  #### #


def fitted_of(
    number: int, values: NDArray[np.float32], *, validation: float = 0.1, name: str | None = None
) -> Fitted:
    return Fitted(
        number=number,
        name=name,
        label=name or "SASRecModel",
        epoch=0 if name else 3,
        seeds=tuple(range(len(values))),
        validation=validation,
        by_seed=tuple({"HitRate@10": float(fit.mean()), "Coverage@10": 0.5} for fit in values),
        by_user={"HitRate@10": values},
    )


def hits(chance: float, n_seeds: int = 3, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.random((n_seeds, 1000)) < chance).astype(np.float32)


def judged(rows: list[Fitted]) -> Final:
    return judge(rows, objective="HitRate@10", direction="maximize", look=2, before=("then by me",))


@pytest.fixture(scope="module")
def rows() -> list[Fitted]:
    same = np.repeat(hits(0.1, 1, 5), 3, axis=0)
    return [
        fitted_of(2, hits(0.2, seed=6), validation=0.30),
        fitted_of(3, hits(0.21, seed=7), validation=0.25),
        fitted_of(1, hits(0.02, seed=4), validation=0.13, name="popular"),
        fitted_of(0, same, validation=0.12, name="ease"),
    ]


@pytest.fixture(scope="module")
def final(rows: list[Fitted]) -> Final:
    return judged(rows)


def test_rows_keep_the_order_of_validation_and_share_letters(final: Final) -> None:
    assert [row.number for row in final.rows] == [2, 3, 1, 0]
    assert [row.letters for row in final.rows] == ["a", "a", "b", "c"]
    assert final.winner == 2
    assert final.n_users == 1000


def test_a_row_says_what_it_is_worth(final: Final) -> None:
    row = final.row(2)
    assert row is not None
    assert row.metrics["HitRate@10"] == pytest.approx(np.mean([one["HitRate@10"] for one in row.by_seed]))
    assert row.optimism == pytest.approx(0.30 - row.metrics["HitRate@10"])
    assert list(row.intervals) == ["HitRate@10"], "only a mean over users has an interval"
    interval = row.intervals["HitRate@10"]
    assert interval.low < row.metrics["HitRate@10"] < interval.high
    assert final.row(17) is None


def test_the_primary_comparison_is_of_the_best_by_validation_and_is_not_corrected(final: Final) -> None:
    assert final.baseline == 1, "popular, though ease is better on the holdout"
    assert [row.against_baseline is None for row in final.rows] == [False, False, True, False]
    primary = final.primary
    assert primary is not None
    assert primary == final.rows[0].against_baseline
    assert (primary.other, primary.n_users, primary.n_compared) == (1, 1000, 1)
    assert primary.better("maximize")
    assert primary.detectable is not None
    assert primary.detectable > (primary.interval.high - primary.interval.low) / 2
    assert primary.difference == pytest.approx(
        final.rows[0].metrics["HitRate@10"] - final.rows[2].metrics["HitRate@10"]
    )


@pytest.mark.parametrize("step", [1, -1])
def test_a_comparison_is_with_the_trial_that_it_names(rows: list[Fitted], step: int) -> None:
    """Also where the baseline is ahead of the winner, so that it comes first."""
    found = judged(rows[::step])
    values = {row.number: row.metrics["HitRate@10"] for row in found.rows}
    for row in found.rows:
        for compared, other in ((row.against_baseline, found.baseline), (row.against_winner, found.winner)):
            if row.number == other:
                assert compared is None
                continue
            assert compared is not None
            assert compared.other == other
            assert compared.difference == pytest.approx(values[row.number] - values[other], abs=1e-6)


def test_a_baseline_that_leads_on_validation_is_named_where_the_holdout_is_too_small() -> None:
    lead = [
        fitted_of(0, hits(0.21, seed=7)[:, :100], validation=0.30, name="ease"),
        fitted_of(1, hits(0.2, seed=6)[:, :100], validation=0.29),
    ]
    told = final_lines(judged(lead))
    assert "cannot be distinguished from the best baseline ease" in told[0]
    assert any("the difference on validation was only 0.0100" in line for line in told)


def test_all_other_comparisons_are_one_family(final: Final) -> None:
    others = [row.against_winner for row in final.rows]
    assert [one.n_compared if one else None for one in others] == [None, 5, 1, 5]
    assert others[1] is not None
    assert not others[1].distinguishable
    assert others[1].interval.low < 0 < others[1].interval.high
    against = final.rows[1].against_baseline
    assert against is not None
    assert against.n_compared == 5


def test_a_final_is_the_same_after_it_was_stored(final: Final) -> None:
    assert Final.from_plain(json.loads(json.dumps(final.to_plain()))) == final


def test_a_judgement_of_an_earlier_version_keeps_its_primary_comparison(final: Final) -> None:
    plain = json.loads(json.dumps(final.to_plain()))
    del plain["winner"], plain["note"]
    for place, row in enumerate(plain["rows"]):
        del row["against_winner"], row["letters"]
        row |= {"against_next": None, "group": place + 1}
        for compared in (row["against_baseline"],):
            if compared is not None:
                del compared["detectable"]
    read = Final.from_plain({**plain, "rows": plain["rows"][::-1]})
    assert [row.number for row in read.rows] == [row.number for row in final.rows]
    assert read.winner == final.winner
    assert read.primary is not None
    assert final.primary is not None
    assert read.primary.interval == final.primary.interval
    assert [row.against_baseline is None for row in read.rows] == [False, True, True, True]
    assert "an earlier version made this judgement" in final_lines(read)[-2]


def test_a_lower_objective_can_be_the_better_one() -> None:
    rows = [
        fitted_of(0, hits(0.3)),
        fitted_of(2, hits(0.1), validation=0.05),
        fitted_of(1, hits(0.2), name="ease"),
    ]
    final = judge(rows, objective="HitRate@10", direction="minimize")
    assert final.winner == 2
    assert final.primary is not None
    assert final.primary.better("minimize")
    assert "is better than the best baseline ease" in final_lines(final)[0]


def test_an_objective_without_values_by_user_is_ranked_and_not_compared() -> None:
    rows = [fitted_of(0, hits(0.3)), fitted_of(1, hits(0.1), name="popular")]
    final = judge(rows, objective="Coverage@10", direction="maximize")
    assert [row.letters for row in final.rows] == ["a", "a"]
    assert all(row.against_winner is None and row.against_baseline is None for row in final.rows)
    assert "because Coverage@10 has no per-user values" in final_lines(final)[0]


def test_one_user_is_no_sample() -> None:
    rows = [fitted_of(0, hits(0.3)[:, :1]), fitted_of(1, hits(0.1)[:, :1], name="popular")]
    final = judge(rows, objective="HitRate@10", direction="maximize")
    assert final.n_users == 1
    assert all(not row.intervals and row.against_winner is None for row in final.rows)
    assert "because the holdout has one user" in final_lines(final)[0]


def test_one_row_alone_is_judged() -> None:
    final = judge([fitted_of(4, hits(0.3))], objective="HitRate@10", direction="maximize")
    assert final.baseline is None
    assert final.winner == 4
    assert final.primary is None
    assert final.rows[0].letters == "a"
    assert "there is no baseline to compare with" in final_lines(final)[0]


def test_baselines_alone_have_no_winner() -> None:
    final = judge([fitted_of(1, hits(0.1), name="popular")], objective="HitRate@10", direction="maximize")
    assert final.winner is None
    assert final_lines(final) == [
        "final: no searched trial was judged; the best baseline by validation is popular"
    ]


def test_another_holdout_changes_neither_winner_nor_order(final: Final) -> None:
    rng = np.random.default_rng(8)
    for _ in range(5):
        chances = rng.uniform(0.01, 0.4, 4)
        rows = [
            replace(fitted_of(row.number, hits(chance), name=row.name), validation=row.validation)
            for row, chance in zip(final.rows, chances, strict=True)
        ]
        other = judge(rows, objective="HitRate@10", direction="maximize")
        assert (other.winner, other.baseline) == (final.winner, final.baseline)
        assert [row.number for row in other.rows] == [row.number for row in final.rows]


def test_a_row_that_the_holdout_shows_to_be_better_does_not_become_the_winner() -> None:
    rows = [
        fitted_of(0, hits(0.1), validation=0.3),
        fitted_of(1, hits(0.3, seed=1), validation=0.2),
        fitted_of(2, hits(0.1, seed=2), validation=0.1, name="popular"),
    ]
    final = judge(rows, objective="HitRate@10", direction="maximize")
    assert final.winner == 0
    assert "the winner by validation is trial 0" in final_lines(final)[0]
    assert any("shows trial 1 to be better than the winner" in line for line in final_lines(final))


def test_a_holdout_that_is_too_small_says_what_it_could_have_told() -> None:
    rows = [
        fitted_of(0, hits(0.1, seed=1)[:, :60], validation=0.11),
        fitted_of(1, hits(0.1, seed=3)[:, :60], validation=0.1, name="popular"),
    ]
    final = judge(rows, objective="HitRate@10", direction="maximize")
    assert final.primary is not None
    assert final.primary.detectable is not None
    assert final.primary.detectable > 0.01
    (line,) = (line for line in final_lines(final) if "too small" in line)
    assert "in 80 of 100 studies, and the difference on validation was only 0.0100" in line


def test_intervals_of_metrics_within_0_and_1_are_within_it() -> None:
    few = np.zeros((3, 40), np.float32)
    few[1, 0] = 1
    final = judge([fitted_of(0, few), fitted_of(1, 1 - few)], objective="HitRate@10", direction="maximize")
    bounds = [row.intervals["HitRate@10"] for row in final.rows]
    assert all(0 <= one.low <= one.high <= 1 for one in bounds)
    against = final.rows[1].against_winner
    assert against is not None
    assert -1 <= against.interval.low <= against.interval.high <= 1


# ####  --------------  The family  --------------  #### #


def test_step_down_by_hand() -> None:
    null = np.array([[0.1, 0.2, 3.0], [0.3, 2.0, 0.1], [1.0, 0.5, 0.6]])
    p, _ = step_down(np.array([0.9, 2.5, 0.2]), np.repeat(null, 2000, axis=0), 0.5)
    # Against the largest of all (3, 2, 1), of the first and the third (3, 0.3, 1), and of the third alone.
    shares = np.array([4001, 2001, 4001]) / 6001
    assert p == pytest.approx(shares + MARGIN * np.sqrt(shares * (1 - shares) / 6000))


@given(st.integers(0, 2**32 - 1))
def test_a_p_value_is_low_where_the_statistic_is_above_its_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    null, statistics = np.abs(rng.normal(size=(99, 6))), np.abs(rng.normal(1.5, 1.5, 6))
    p, critical = step_down(statistics, null, LEVEL)
    assert ((p < 0.05 - 1e-9) == (statistics > critical)).all()
    assert (np.diff(p[np.argsort(-statistics)]) >= 0).all()


PAIRS = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.sampled_from([(0, 0), *combinations(range(n), 2)])))
)


@given(PAIRS)
def test_two_rows_share_a_letter_if_and_only_if_no_test_parts_them(
    drawn: tuple[int, set[tuple[int, int]]],
) -> None:
    n_rows, parted = drawn
    parted.discard((0, 0))
    found = letters(n_rows, parted)
    for pair in combinations(range(n_rows), 2):
        assert bool(set(found[pair[0]]) & set(found[pair[1]])) == (pair not in parted)
    rows = letters_of_rows(n_rows, parted)
    assert not any(one < other for one in rows for other in rows), "no letter is superfluous"
    assert found[0].startswith("a")


def test_letters_of_a_judgement_are_those_of_its_comparisons() -> None:
    chances = (0.30, 0.27, 0.24, 0.21, 0.18)
    found = compare_all(
        range(5), [hits(chance, seed=9 + at) for at, chance in enumerate(chances)], primary=(0, 1)
    )
    named = found.letters(range(5))
    assert len(set(named.values())) > 2
    for one, other in combinations(range(5), 2):
        assert bool(set(named[one]) & set(named[other])) != found.of(one, other).distinguishable


def test_two_rows_with_the_same_values_do_not_differ() -> None:
    for primary in ((0, 1), None):
        found = compare_all([0, 1], [hits(0.1, 1), hits(0.1, 1)], primary=primary).of(0, 1)
        assert replace(found, detectable=None) == Comparison(1, 0.0, Interval(0.0, 0.0), 1.0, 1000, 1)
        assert not found.distinguishable


def test_a_pair_turned_round_is_the_same_comparison() -> None:
    found = compare_all([0, 1], [hits(0.1), hits(0.2, seed=3)])
    one, other = found.of(0, 1), found.of(1, 0)
    assert one.difference == -other.difference
    assert (one.interval.low, one.interval.high) == (-other.interval.high, -other.interval.low)
    assert one.p_value == other.p_value


def test_the_p_value_is_that_of_a_t_test_where_no_seed_matters() -> None:
    from scipy.stats import ttest_rel

    one, other = hits(0.1, 1)[0], hits(0.12, 1, seed=3)[0]
    found = compare_all([0, 1], [one[None], other[None]], primary=(0, 1)).of(0, 1)
    expected = ttest_rel(one, other)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    interval = expected.confidence_interval(LEVEL)
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("df", [1, 2, 10, 100])
def test_the_p_value_is_that_of_the_sum_of_two_errors(df: int) -> None:
    rng = np.random.default_rng(0)
    drawn = 0.7 * rng.standard_t(500, 400_000) + 1.3 * rng.standard_t(df, 400_000)
    for seen in (0.5, 2.0, 6.0):
        expected = np.mean(np.abs(drawn) > seen)
        assert p_value(seen, 0.7, 1.3, n_users=501, df=df) == pytest.approx(expected, abs=0.003)
    half = half_width(0.7, 1.3, n_users=501, df=df, level=0.95)
    assert np.mean(np.abs(drawn) < half) == pytest.approx(0.95, abs=0.003)


def test_seeds_are_pooled_and_those_that_change_nothing_left_out() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(0, 0.05, (40, 3, 1))
    fits = [(0.3 + effect + rng.normal(0, 0.1, (3, 500))).astype(np.float32) for effect in effects]
    still = np.repeat(fits[0][:1], 3, axis=0)
    found = seeds_of([*fits, still, fits[0][:1]])
    assert found.df == 80
    assert found.variance == pytest.approx(0.05**2, rel=0.3)
    assert seeds_of([still]) == Seeds(0.0, 0.0, 0)


def test_the_same_users_are_resampled_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = hits(0.1).T.astype(np.float64)
    whole = bootstrap_bounds(values, LEVEL)
    monkeypatch.setattr("tuner.holdout.intervals._AT_ONCE", 7000)
    assert np.array_equal(whole, bootstrap_bounds(values, LEVEL))
