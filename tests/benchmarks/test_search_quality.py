"""The replay of recorded curves: its clock, its contenders, its figures; and the table that is shipped."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.samplers import RandomSampler

from benchmarks.make_priors import prior_without
from benchmarks.one_epoch import OneEpoch
from benchmarks.over_table import OverTable
from benchmarks.quality import (
    CLOSE,
    Outcome,
    details,
    from_text,
    geometric_mean,
    interval,
    quantile,
    ratios,
    sub_rows,
    to_text,
)
from benchmarks.recording import Table, epochs_compared, load_table, save_table, table_path
from benchmarks.replay import Contender, Ours, RandomOrder, Span, Stock, replay
from benchmarks.search_picture import draw, searched
from benchmarks.search_quality import Case, outcome_of, recorded, run_case, search_space, summary
from benchmarks.table_data import walks
from tuner.config import Halving, Race, Stopping
from tuner.space import Choice, Float, Int, Space

N_ROWS, N_FOLDS, N_EPOCHS, N_USERS = 24, 3, 5, 40

SPACE = Space(
    {
        "cls": "rectools.models.SASRecModel",
        "lr": Float(1e-4, 1e-2, log=True),
        "kind": Choice({"plain": {}, "deep": {"n_blocks": Int(1, 5)}}),
    }
)


@pytest.fixture(scope="module")
def table() -> Table:
    """Curves that rise at one rate to a level that the row decides; the users agree on it."""
    rng = np.random.default_rng(0)
    points = [
        {"lr": float(lr), "kind": "plain"}
        if row % 2
        else {"lr": float(lr), "kind": "deep", "n_blocks@deep": 1 + row % 5}
        for row, lr in enumerate(np.geomspace(1e-4, 1e-2, N_ROWS))
    ]
    levels = rng.permutation(np.linspace(0.1, 0.5, N_ROWS))
    rising = 1 - 0.5 ** np.arange(1, N_EPOCHS + 1)
    values = levels[:, None, None] * rising * np.array([1.0, 0.9, 1.1])[:, None]
    epochs = np.array([epochs_compared(one) for one in values]) - 1
    at = np.take_along_axis(values[:, :-1], epochs[:, None, :], axis=2)  # row, fold, epoch compared
    users = np.repeat(at.transpose(0, 2, 1), N_USERS, axis=2) + rng.normal(0, 0.01, N_USERS * (N_FOLDS - 1))
    seconds = np.cumsum(rng.uniform(1, 2, (N_ROWS, N_FOLDS * N_EPOCHS)), axis=1)
    return Table(
        points,
        values.astype(np.float32),
        seconds.reshape(values.shape).astype(np.float32),
        users.astype(np.float16),
        [N_USERS] * (N_FOLDS - 1),
        {},
    )


def ours(table: Table, *, halving: bool = False, race: bool = False) -> Ours:
    rules = Stopping(halving=Halving() if halving else None, race=Race() if race else None)
    return Ours(table, SPACE, 1, stopping=rules)


CONTENDERS = {
    "random": lambda table: RandomOrder(table, 1),
    "1-Epoch": lambda table: OneEpoch(table, 1),
    "ours": ours,
    "ours, halving": lambda table: ours(table, halving=True),
    "ours, race": lambda table: ours(table, race=True),
    "stock": lambda table: Stock(table, SPACE, 1, lockstep=False),
    "stock, lockstep": lambda table: Stock(table, SPACE, 1, lockstep=True),
}


class Watched:
    """A contender, and the rows that it begins."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.rows: list[int] = []

    def begin(self):
        found = self.contender.begin()
        if found is not None and found[1] == 0:
            self.rows.append(found[0])
        return found

    def report(self, row: int, index: int) -> bool:
        return self.contender.report(row, index)

    def is_complete(self, row: int) -> bool:
        return self.contender.is_complete(row)


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_begins_every_row_once(table: Table, name: str) -> None:
    watched = Watched(CONTENDERS[name](table))
    complete = [row for _, row in replay(watched, 4)]
    assert sorted(watched.rows) == list(range(N_ROWS))
    assert len(set(complete)) == len(complete)
    if name in {"random", "ours", "1-Epoch"}:
        assert sorted(complete) == list(range(N_ROWS)), "nothing stops a trial"
    else:
        assert 0 < len(complete) < N_ROWS


def test_a_small_search_begins_as_many_rows_as_it_may(table: Table) -> None:
    rules = Stopping()
    for contender in (
        RandomOrder(table, 1, 8),
        Ours(table, SPACE, 1, stopping=rules, trials=8),
        Stock(table, SPACE, 1, lockstep=False, trials=8),
    ):
        watched = Watched(contender)
        complete = {row for _, row in replay(watched, 4)}
        assert len(set(watched.rows)) == 8
        assert complete
        assert complete <= set(watched.rows)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_clock_runs_for_all_workers_at_once(table: Table, n_workers: int) -> None:
    done = list(replay(RandomOrder(table, 5), n_workers))
    order = np.random.default_rng(5).permutation(N_ROWS)
    free = [0.0] * n_workers
    expected = []
    for row in order:
        worker = int(np.argmin(free))
        free[worker] += float(table.seconds[row, -1, -1])
        expected.append((free[worker] * n_workers, int(row)))
    expected.sort()
    assert [row for _, row in done] == [row for _, row in expected]
    assert [at for at, _ in done] == pytest.approx([at for at, _ in expected])


@pytest.mark.parametrize("lockstep", [False, True])
def test_stock_pays_for_a_complete_trial_what_ours_does(table: Table, lockstep: bool) -> None:
    contender = Stock(table, SPACE, 1, lockstep=lockstep)
    row, _, moments = contender.begin()
    assert len(moments) == N_EPOCHS * (1 if lockstep else N_FOLDS)
    assert moments[-1] == pytest.approx(float(table.seconds[row, -1, -1]))
    assert contender._values[:, -1] == pytest.approx(table.scores), "the last report is what a trial is worth"


def test_both_rules_spend_less_and_keep_the_best(table: Table) -> None:
    every = list(replay(ours(table), 4))
    few = list(replay(ours(table, halving=True, race=True), 4))
    assert few[-1][0] < 0.6 * every[-1][0]
    assert len(few) < len(every) == N_ROWS
    assert int(table.scores.argmax()) in {row for _, row in few}


def test_spans_are_all_reports_in_order_and_none_overlap_on_a_worker(table: Table) -> None:
    spans: list[Span] = []
    complete = list(replay(ours(table, halving=True, race=True), 3, spans.append))
    assert max(span.end for span in spans) * 3 == pytest.approx(complete[-1][0])
    for worker in range(3):
        mine = sorted((span.begin, span.end) for span in spans if span.worker == worker)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(mine))
    for _, row in complete:
        reports = [index for one in spans if one.row == row for index in range(one.first, one.last + 1)]
        assert sorted(reports) == list(range(N_FOLDS * N_EPOCHS)), "each report once, also if it was paused"


def test_the_picture_of_a_search_is_an_svg_with_its_decisions(table: Table) -> None:
    search = searched(table, ours(table, halving=True, race=True), 4)
    best = search.records[search.best]
    assert best.summary is not None
    drawn = draw(search, 4)
    root = ET.fromstring(drawn)
    bars = [one.get("class", "") for one in root.iterfind(".//{*}rect")]
    assert len(bars) == len(search.spans) + len({search.kind(span) for span in search.spans})
    ends = [search.end(span) for span in search.spans if span.row == search.best and span.end <= search.until]
    assert ends[-1] == "complete"
    assert ends.count("paused") == sum(one.kind == "paused" for one in best.decisions)
    assert f"trial {best.number}, the best of the table" in drawn
    assert all(one.why in drawn for one in best.decisions)


def test_what_runs_is_the_nearest_point_that_has_not_run(table: Table) -> None:
    over = OverTable(RandomSampler(), table, SPACE)
    distances = over.distances(dict(table.points[3]))
    assert distances.argmin() == 3
    assert distances[3] == 0
    step = 1 / (N_ROWS - 1)  # of the log range
    assert distances[5] == pytest.approx(2 * step)
    assert distances[4] == pytest.approx(2 + step), "another kind, and a dimension that only one has"
    assert distances[6] - distances[4] == pytest.approx(2 * step)


def test_a_table_of_another_space_is_refused(table: Table) -> None:
    other = Space(
        {"cls": "rectools.models.SASRecModel", "lr": Float(1e-4, 1e-2, log=True), "width": Int(1, 3)}
    )
    with pytest.raises(KeyError, match="width"):
        OverTable(RandomSampler(), table, other)


def test_the_epochs_compared_are_the_best_by_one_fold_by_two_and_by_all() -> None:
    values = np.array([[0.3, 0.1, 0.2], [0.1, 0.5, 0.2], [0.0, 0.0, 0.9]])
    assert epochs_compared(values) == [1, 2, 3]


def test_a_table_survives_its_file_and_gives_its_users(table: Table, tmp_path: Path) -> None:
    save_table(table, tmp_path / "made" / "table.npz")
    read = load_table(tmp_path / "made" / "table.npz")
    assert list(read.points) == list(table.points)
    assert np.array_equal(read.values, table.values)
    assert np.array_equal(read.scores, table.scores)
    for fold in range(N_FOLDS - 1):
        users = read.users_of(7, fold)
        assert users.values.shape == (len(users.epochs), N_USERS)
        mean = float(users.at(N_EPOCHS).mean())
        assert mean == pytest.approx(float(table.values[7, fold, -1]), abs=0.01)


def outcomes(*reached: float, regret: float = 0.0) -> list[Outcome]:
    return [Outcome((one, one / 2), regret) for one in reached]


def test_the_ratios_are_of_quantiles_against_the_better_stock() -> None:
    found = ratios(
        outcomes(0.1, 0.1, 0.2),
        outcomes(0.4, 0.4, 0.5),
        [outcomes(0.3, math.inf, math.inf), outcomes(0.2, 0.2, math.inf)],
    )
    assert found["compute_vs_random"] == 0.25
    assert found["compute_vs_random_p90"] == 0.4
    assert found["compute_vs_stock"] == 0.5
    assert found["compute_vs_stock_p90"] == 0.2, "a search that never found it counts with the whole table"
    assert found["low"] <= 0.5 <= found["high"]
    assert found["missed"] == 0
    assert found["missed_stock"] == pytest.approx(1 / 3)


def test_ours_count_as_infinite_where_they_missed_the_best() -> None:
    found = ratios(outcomes(0.1, 0.2, math.inf), outcomes(1, 1, 1), [outcomes(0.2, 0.2, 0.2)])
    assert found["compute_vs_stock"] == 1
    assert found["compute_vs_stock_p90"] == math.inf


def test_details_of_a_contender() -> None:
    found = details(outcomes(0.2, 0.4, math.inf, regret=0.03))
    assert (found["median"], found["median_3"], found["p90"]) == (0.4, 0.2, math.inf)
    assert found["missed"] == pytest.approx(1 / 3)
    assert found["regret"] == pytest.approx(0.03)
    assert found["median_low"] == 0.2


def test_quantiles_are_values_that_occur() -> None:
    values = np.array([[3.0, 1.0, 2.0, 4.0], [math.inf, 1.0, 1.0, 1.0]])
    assert quantile(values, 0.5).tolist() == [3, 1]
    assert quantile(values, 0.9).tolist() == [4, math.inf]
    numbers = np.random.default_rng(0).random(100)
    for share in (0.1, 0.5, 0.9):
        assert quantile(numbers, share) == np.percentile(numbers, share * 100, method="higher")


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(60):
        low, high = interval(lambda drawn: quantile(drawn, 0.5), rng.normal(5, 1, 41))
        covered.append(low <= 5 <= high)
    assert np.mean(covered) >= 0.85
    assert interval(
        lambda one, other: quantile(one / other, 0.5), np.arange(1.0, 30), np.arange(1.0, 30)
    ) == (1, 1)


def test_a_sub_table_is_another_share_of_the_rows_for_each_seed() -> None:
    drawn = [sub_rows(50, seed) for seed in range(20)]
    assert all(len(set(rows)) == len(rows) == 30 and rows == sorted(rows) for rows in drawn)
    assert sub_rows(50, 3) == drawn[3]
    assert len({tuple(rows) for rows in drawn}) == 20
    assert set().union(*drawn) == set(range(50))


def test_outcomes_survive_the_result_file() -> None:
    given = [Outcome((0.1, math.inf), 0.002), Outcome((0.25, 0.125), 0.0)]
    assert from_text(to_text(given)) == given


def test_the_geometric_mean() -> None:
    assert geometric_mean([0.5, 2, 1]) == pytest.approx(1)


def test_the_summary_has_the_worst_table_and_each_table() -> None:
    others = {"random": outcomes(0.8, 0.8), "1-Epoch": outcomes(0.3, 0.3)}
    stock = {"stock, fold by fold": outcomes(0.4, 0.4), "stock, folds in lockstep": outcomes(0.5, 0.5)}
    runs = {
        Case(Path(f"{name}.npz"), sub, n): {"ours": outcomes(mine, mine), **others, **stock}
        for name, sub, n, mine in (
            ("one", False, 4, 0.1),
            ("two", False, 4, 0.2),
            ("two", True, 4, 0.4),
            ("two", False, 16, 0.8),
        )
    }
    found = summary(runs)
    assert found["figures"]["compute_vs_stock"] == 0.5, "the worst whole table"
    assert found["figures"]["one/compute_vs_stock"] == 0.25
    assert found["figures"]["two, 60 %/compute_vs_stock"] == 1
    assert found["figures"]["two, 16 workers/compute_vs_stock_p90"] == 2
    assert found["figures"]["compute_vs_stock_mean"] == pytest.approx((0.25 * 0.5 * 1) ** (1 / 3), abs=1e-3)
    assert set(found["runs"]) == {str(case) for case in runs}
    assert found["settings"]["(main figures)"] == "2 seeds"
    runs[Case(Path("two.npz"), False, 1)] = {"ours": outcomes(0.1)}
    assert summary(runs)["settings"]["(all others, at least)"] == "2 seeds of one, 1 seeds of two"


def test_a_variant_with_fewer_seeds_is_compared_with_ours_over_the_same_seeds() -> None:
    runs = {
        "ours": outcomes(0.1, 0.2, 0.9),
        "ours, no race": outcomes(0.2, 0.5),
        "random": outcomes(math.inf),
    }
    rows = {row["contender"]: row for row in summary({Case(Path("one.npz"), False, 4): runs})["rows"]}
    assert [rows[name]["seeds"] for name in runs] == ["3", "2", "1"]
    assert rows["ours, no race"]["divided by ours"] == "2.50, 2.50", "the third seed of ours is left out"
    assert rows["random"]["divided by ours"] == "never, never"
    assert rows["ours"]["divided by ours"] == ""


def test_small_searches_are_compared_by_regret() -> None:
    runs = {
        "ours": outcomes(0.1, regret=0.01),
        "random": outcomes(0.1, regret=0.05),
        "stock, fold by fold": outcomes(0.1, regret=0.04),
        "stock, folds in lockstep": outcomes(0.1, regret=0.03),
        "ours, model": outcomes(0.1, regret=0.5),
    }
    found = summary({Case(Path("one.npz"), False, 4, trials=8): runs})
    assert found["figures"] == {
        "one, 8 trials/regret_ours": 0.01,
        "one, 8 trials/regret_random": 0.05,
        "one, 8 trials/regret_stock": 0.03,
    }
    assert found["rows"] == []


def test_the_prior_of_a_table_ranks_another_one() -> None:
    left_out, prior = load_table(table_path("retail")), prior_without("retail")
    assert prior.sources == ("beauty", "movielens"), "walks are made data"
    assert prior.effects["lr"]["linear"] > 0
    space = search_space(left_out)
    scores = []
    for point in left_out.points:
        trial = optuna.trial.FixedTrial(dict(point))
        space.suggest(trial)
        scores.append(prior.score(trial.params, trial.distributions))
    together = np.corrcoef(np.argsort(np.argsort(scores)), np.argsort(np.argsort(left_out.scores)))[0, 1]
    assert together > 0.4


def test_kept_runs_replace_the_searches_of_the_first_seeds() -> None:
    case = Case(table_path("retail"), sub=True, workers=4)
    known = {"random": outcomes(0.5, 0.6, 0.7), "1-Epoch": outcomes(0.5)}
    asked: list[tuple[str, int]] = []

    def run(_search, jobs):
        asked.extend(jobs)
        return outcomes(*[0.1] * len(jobs))

    *_, found = run_case(run, case, ["random", "1-Epoch", "ours, model"], (2, 1), known)
    assert asked == [("1-Epoch", 1)], "one seed was not known; variants skip sub-tables"
    assert found["random"] == known["random"][:2]
    assert found["1-Epoch"] == outcomes(0.5, 0.1)


def test_one_epoch_continues_rows_by_their_first_epoch(table: Table) -> None:
    watched = Watched(OneEpoch(table, 2))
    complete = list(replay(watched, 1))
    assert [row for _, row in complete] == np.argsort(-table.values[:, 0, 0], kind="stable").tolist()
    first = float(table.seconds[:, 0, 0].sum())
    row = complete[0][1]
    took = np.diff(table.seconds[row].ravel(), prepend=0)
    rest = float(took[1:].sum() + max(0, took[0] - took[1]))
    assert complete[0][0] == pytest.approx(first + rest, rel=1e-5)


def test_walks_are_the_same_for_a_seed_and_follow_an_order() -> None:
    made = walks(Path(), n_users=60, n_items=50, seed=1)
    assert made.equals(walks(Path(), n_users=60, n_items=50, seed=1))
    assert not made.equals(walks(Path(), n_users=60, n_items=50, seed=2))
    lengths = made.groupby("user_id").size()
    assert (lengths.min() >= 6, lengths.max() <= 14) == (True, True)
    follower = made.groupby("user_id")["item_id"].shift(-1)
    common = pd.Series(follower).groupby(made["item_id"]).value_counts(normalize=True)
    top = common.groupby(level=0).head(2).groupby(level=0).sum()
    assert top.mean() > 0.5, "two successors take most steps"


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
def test_a_shipped_table_is_what_the_issue_asks_for(path: Path) -> None:
    table = load_table(path)
    assert len(table) >= (200 if path.stem == "retail" else 100)
    assert (table.n_folds, table.n_epochs) == (3, table.facts["study"]["training"]["epochs"])
    assert path.stat().st_size < 4e5
    assert np.isfinite(table.values).all()
    assert (np.diff(table.seconds.reshape(len(table), -1), axis=1) > 0).all()
    space = search_space(table)
    for point in table.points:
        assert space.encode(space.decode(point)) == point
    for row in (0, len(table) - 1):
        for fold in range(table.n_folds - 1):
            users = table.users_of(row, fold)
            means = [float(users.at(epoch).mean()) for epoch in users.epochs]
            found = [float(table.values[row, fold, epoch - 1]) for epoch in users.epochs]
            assert means == pytest.approx(found, abs=1e-4)


def test_close_to_the_best_is_what_counts(table: Table) -> None:
    outcome = outcome_of(table, RandomOrder(table, 3), 1)
    good = np.flatnonzero(table.scores >= (1 - CLOSE[0]) * table.scores.max())
    order = np.random.default_rng(3).permutation(N_ROWS).tolist()
    first = min(order.index(int(row)) for row in good)
    spent = float(table.seconds[order[: first + 1], -1, -1].sum() / table.seconds[:, -1, -1].sum())
    assert outcome.reached[0] == pytest.approx(spent, abs=1e-4)
    assert outcome.reached[1] <= outcome.reached[0]
    assert outcome.regret == 0
