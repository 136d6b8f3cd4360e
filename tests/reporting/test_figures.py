"""The figures of a study: what data their charts have, for whom they are drawn, and what they say else."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.made_study import BASELINES, N_FOLDS, OBJECTIVE, make_study
from tests.reporting.test_report import judged as judgement
from tuner.errors import StoreError
from tuner.reporting.dimensions import MISSING, dimensions
from tuner.reporting.figures import draw_all
from tuner.reporting.figures.figure import HALF, NARROW, WIDE, thinned
from tuner.reporting.figures.importances import weigh
from tuner.reporting.figures.judged import judged
from tuner.reporting.figures.palette import css_variables, paint, themed
from tuner.reporting.figures.ticks import Scale, span, tick_labels, time_unit
from tuner.reporting.html.charts import charts
from tuner.reporting.leaderboard import load_leaderboard, rank
from tuner.reporting.report_data import gather
from tuner.store import read_records
from tuner.trials.status import TrialStatus

N_TRIALS = 60
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A leaderboard whose charts read the store once for all tests."""
    folder = tmp_path_factory.mktemp("studies") / "made"
    return load_leaderboard(make_study(folder, N_TRIALS, further={"Serendipity@10": "maximize"}))


@pytest.fixture(scope="module")
def plots(board):
    return board.plot


@pytest.fixture(scope="module")
def report(board):
    return gather(board.place.folder)


def rows_of(chart, having):
    """Return the rows of a chart's data that have a value of that name."""
    found = chart.to_dict()["datasets"].values()
    return [row for rows in found for row in rows if row.get(having) is not None]


def trials(report, *statuses):
    return [r for r in report.records if r.name is None and r.status in statuses]


# --- data ---------------------------------------------------------------------------------------


def test_the_history_has_each_trial_that_has_ended_and_the_best_so_far(plots, report):
    for by in ("trial", "time"):
        rows = rows_of(plots.history(by), "kind")
        assert len(rows) == N_TRIALS + len(BASELINES) == len({row["trial"] for row in rows})
        best = [row["y"] for row in rows_of(plots.history(by), "text")]
        assert best == pytest.approx([report.value(report.best_searched)], rel=1e-5)
    stopped = next(row for row in rows if row["state"] == "stopped early")
    record = next(one for one in report.records if one.number == stopped["trial"])
    reached = max(e.metrics[OBJECTIVE] for e in record.evaluations if e.fold == 0)
    assert stopped["value"] == pytest.approx(reached, rel=1e-5)
    assert stopped["params"].startswith(("PreLN", "Albert"))


def test_the_curves_have_each_evaluation_and_where_trials_were_stopped(plots, report):
    rows = rows_of(plots.curves(), "epoch")
    evaluations = [e for record in report.records for e in record.evaluations if e.epoch > 0]
    assert len(rows) == len(evaluations)
    assert {row["fold"] for row in rows} == {"Fold 1", "Fold 2"}
    crosses = [row["trial"] for row in rows if row["kind"]]
    assert sorted(crosses) == [record.number for record in trials(report, TrialStatus.STOPPED)]
    rings = [row for row in rows if row["best"]]
    assert len(rings) == 5 * N_FOLDS
    assert {row["epoch"] for row in rings if row["trial"] == report.best.record.number} == {
        report.best.record.summary.epoch
    }


def test_the_folds_have_each_value_and_the_mean_of_the_first_rows(plots, report):
    rows = [row for row in rows_of(plots.folds(), "kind") if row["trial"] == report.best.record.number]
    folds = [fold[OBJECTIVE] for fold in report.best.record.summary.folds]
    values = {row["kind"]: row["value"] for row in rows}
    assert values["fold 1"] == pytest.approx(folds[0], rel=1e-5)
    assert values["mean over folds"] == pytest.approx(report.value(report.best), rel=1e-5)


def test_importances_are_those_that_are_weighed(plots, report):
    rows = rows_of(plots.importances(), "share")
    assert [row["share"] for row in rows] == [
        round(share, 4) for share in weigh(report).shares.values() if share >= 0.005
    ]


def test_a_slice_along_a_number_has_the_trials_that_have_it(plots, report):
    rows = rows_of(plots.slices("n_negatives"), "x")
    values = {row["trial"]: row["x"] for row in rows}
    done = trials(report, TrialStatus.COMPLETE)
    assert values == {r.number: r.params["n_negatives"] for r in done if "n_negatives" in r.params}
    assert [row["trial"] for row in rows if row["best"]] in ([], [report.best_searched.record.number])


def test_a_slice_by_a_choice_counts_trials_by_option(plots, report):
    for name in ("n_inner_groups", "transformer_layers"):
        assert rows_of(plots.slices(name), "option")
    counts = {row["option"]: row["text"] for row in rows_of(plots.slices("n_inner_groups"), "text")}
    done, gone = trials(report, TrialStatus.COMPLETE), trials(report, TrialStatus.STOPPED, TrialStatus.FAILED)
    key = next(one.key for one in dimensions(report) if one.label == "n_inner_groups")
    without = [sum(key not in record.params for record in found) for found in (done, gone)]
    assert counts[MISSING] == f"{without[0]} +{without[1]}"
    assert len(rows_of(plots.slices("n_inner_groups"), "lift")) == len(done)


def test_parallel_coordinates_have_a_line_for_each_trial_through_params(plots, report):
    rows = rows_of(plots.parallel(), "strength")
    shown = trials(report, TrialStatus.COMPLETE, TrialStatus.STOPPED)
    n_axes = 1 + max(row["axis"] for row in rows)
    assert n_axes == 9 <= len(dimensions(report)) + 1, "the most important params, and the objective"
    assert len(rows) == len(shown) * n_axes
    assert {row["trial"] for row in rows if row["strength"] == "best"} == {report.best_searched.record.number}
    assert rows[-1]["strength"] == "best", "the best line is over all others"
    best = max(row["y"] for row in rows if row["axis"] == n_axes - 1)
    assert rows[-1]["y"] == best, "the better end of the objective is at the top"


@pytest.mark.parametrize("most", [1, 20, N_TRIALS + len(BASELINES) - 1])
def test_of_too_many_trials_evenly_chosen_ones_are_drawn_and_the_caption_says_so(report, most):
    records = report.records
    drawn, said = thinned(records, most)
    assert 0 < len(drawn) <= most
    assert drawn[0] is records[0]
    step = -(-len(records) // most)
    assert f"one in {step} of these {len(records)} trials" in said
    assert {records.index(after) - records.index(before) for before, after in pairwise(drawn)} <= {step}
    assert thinned(records, len(records)) == (records, "")


def test_a_tradeoff_has_all_complete_rows_and_marks_the_best(plots, report):
    rows = rows_of(plots.tradeoff("Serendipity@10"), "x")
    assert {row["trial"]: row["x"] for row in rows} == pytest.approx(
        {row.record.number: row.metrics["Serendipity@10"] for row in report.done}, rel=1e-5
    )
    assert [row["trial"] for row in rows if row["kind"] == "best"] == [report.best.record.number]
    assert {row["label"] for row in rows if row["kind"] == "baseline"} == set(BASELINES)
    seconds = rows_of(plots.tradeoff("fit_seconds"), "x")
    assert len(seconds) == len(rows)
    front = [row["trial"] for row in rows_of(plots.front(), "x") if row["kind"] == "on the front"]
    assert sorted(front) == sorted(row.record.number for row in report.board.front)


def test_compute_and_timeline_have_the_shares_and_the_stays(plots, report):
    shares = rows_of(plots.compute(), "share")
    assert sum(row["share"] for row in shares if row["name"] == "trials") == pytest.approx(1)
    stays = rows_of(plots.timeline(), "lane")
    assert len(stays) == len(report.stays)
    by_lane = {}
    for row in sorted(stays, key=lambda row: row["begin"]):
        before = by_lane.get(row["lane"])
        assert before is None or row["begin"] >= before - 0.05, "trials of a slot follow each other"
        by_lane[row["lane"]] = row["end"]


def test_the_judgement_has_holdout_interval_and_validation_of_each_row(report):
    from dataclasses import replace

    final = judgement(report, low=0.001)
    rows = rows_of(judged(replace(report, final=final)).chart(), "kind")
    winner = [row for row in rows if row["trial"] == final.winner]
    assert [(row["kind"], row["value"]) for row in winner] == [
        ("validation", final.rows[0].validation),
        ("holdout", 0.051),
    ]
    assert (winner[1]["low"], winner[1]["high"]) == pytest.approx((0.049, 0.053))
    assert winner[1]["text"] == "0.0510 a"


# --- drawing ------------------------------------------------------------------------------------


def test_a_chart_is_a_picture_with_the_study_s_names(plots, tmp_path):
    chart = plots.folds()
    chart.save(str(tmp_path / "folds.svg"))
    drawn = ET.fromstring((tmp_path / "folds.svg").read_text(encoding="utf-8"))
    assert {"sasrec", OBJECTIVE} <= {text.text for text in drawn.iter(f"{SVG}text")}
    assert float(drawn.get("width")) == pytest.approx(WIDE, abs=2)


def test_the_charts_of_the_page_keep_to_their_widths(report):
    from vl_convert import vegalite_to_scenegraph

    figures = [figure for found in draw_all(report).values() for figure in found]
    drawn = json.loads(json.dumps(charts(figures)))
    wide = {figure.name: HALF if figure.half else WIDE for figure in figures}
    too_wide = {}
    for name, chart in drawn["figures"].items():
        for which, width in (("wide", wide[name]), ("narrow", NARROW)):
            spec = {"padding": 0, **chart[which], "datasets": chart["data"], "config": drawn["config"]}
            taken = vegalite_to_scenegraph(spec)["width"]
            too_wide |= {(name, which): taken} if taken > width + 4 else {}
    assert too_wide == {}


def test_the_page_s_colours_are_variables_and_names_stay_as_they_are():
    assert themed({"color": paint("best"), "axis": [{"labelColor": paint("ink")}]}) == {
        "color": "var(--best)",
        "axis": [{"labelColor": "var(--ink)"}],
    }
    named = {"domain": [paint("best")], "title": paint("ink"), "text": {"field": paint("ink")}}
    assert themed(named)["domain"] == [paint("best")]
    assert themed(named)["title"] == paint("ink")
    names = [part.partition(":")[0] for part in css_variables(dark=False).split(";") if part]
    assert len(names) == len({paint(name.removeprefix("--")) for name in names}), "each colour has one name"


# --- what cannot be drawn -----------------------------------------------------------------------


def test_what_the_study_cannot_show_is_said_with_near_names(plots):
    with pytest.raises(StoreError, match=r"a param that varies, but got 'dropout'.*\n?.*dropout_rate"):
        plots.slices("dropout")
    with pytest.raises(
        StoreError, match=r"(?s)a metric of complete trials, but got 'Serendipity'.*Serendipity@10"
    ):
        plots.tradeoff("Serendipity")
    with pytest.raises(StoreError, match="needs a final judgement"):
        plots.judged()


def test_a_board_of_records_alone_has_no_charts(board):
    with pytest.raises(StoreError, match="read from a folder"):
        rank(read_records(board.place.folder), running=False).plot  # noqa: B018  # it raises


def test_altair_is_imported_with_the_first_chart(board):
    code = (
        "import sys; from pathlib import Path; from tuner.reporting.leaderboard import load_leaderboard;"
        "plots = load_leaderboard(Path(sys.argv[1])).plot; before = 'altair' in sys.modules; plots.folds();"
        "print(before, 'altair' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(board.place.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# --- ticks --------------------------------------------------------------------------------------


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(1e-6, 1e6, allow_nan=False),
    st.integers(2, 8),
    st.booleans(),
)
def test_ticks_lie_in_the_scale_and_differ_as_text(low, length, about, log):
    low = abs(low) + 1e-3 if log else low
    scale = Scale(low, low + max(length, abs(low) * 1e-3), 0, 100, log=log)
    ticks = scale.ticks(about)
    slack = (scale.high - scale.low) * 1e-6
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 2 * about + 2
    assert len(set(tick_labels(ticks))) == len(ticks)


@given(st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1), st.booleans())
def test_a_span_holds_all_values(values, log):
    values = [abs(value) + 1e-6 for value in values] if log else values
    low, high = span(values, log=log)
    assert low <= min(values)
    assert max(values) <= high
    assert low < high


@pytest.mark.parametrize(
    ("seconds", "unit"), [(90, "seconds"), (120, "minutes"), (7200, "hours"), (1e6, "days")]
)
def test_time_has_the_largest_unit_that_is_there_twice(seconds, unit):
    assert time_unit(seconds)[1] == unit
