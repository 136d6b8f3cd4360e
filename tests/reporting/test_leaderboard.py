"""The leaderboard and `show`: read from a real store, in every format, also while the study runs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuner.cli import main
from tuner.config import Sampler
from tuner.errors import StoreError
from tuner.formatting import count, duration, number, quantity, short
from tuner.reporting.best import best_lines
from tuner.reporting.distinguish import varying_params
from tuner.reporting.find import find_row
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import load_leaderboard, rank
from tuner.reporting.trial_details import show_trial
from tuner.space import Choice, Int, Space
from tuner.store import open_store
from tuner.store.locking.files import hold_lock
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Failure, Pause, Stop
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord

ROOT = Path(__file__).resolve().parents[2]
NDCG, RECALL = "NDCG@10", "Recall@20"
CAUSE = 'ValueError: got "a", b | c'
BLOCKS = ("pkg.Ids", "pkg.Categories")
ALBERT = {"cls": "SASRecModel", "lr": 0.0123456789, "layers_type": "pkg.Albert", "blocks": BLOCKS}
PLAIN = {"cls": "SASRecModel", "lr": 0.5, "layers_type": "pkg.Plain", "blocks": BLOCKS}
POPULAR = {"cls": "PopularModel", "verbose": 1}


class Shop:
    """A study being searched: trials begin, are reported, and end in one way or another."""

    def __init__(self, folder, direction="maximize"):
        folder.mkdir(parents=True, exist_ok=True)
        self.direction = direction
        self.store = open_store(
            folder,
            name="shop",
            direction=direction,
            sampler=Sampler(use="random"),
            seed=1,
            facts={"objective": NDCG},
        )

    def begin(self, params=POPULAR):
        """Begin a trial with these params. A dimension that is no param makes each point a new one."""
        space = Space({**params, "point": Int(0, 10**6)})
        return self.store.ask(space, 2, lambda drawn: {k: v for k, v in drawn.items() if k != "point"}).number

    def finish(self, number, *folds, recall=0.5, epochs=2):
        """Report folds whose last epoch is the best one, and complete the trial."""
        worse = -1 if self.direction == "maximize" else 1
        evaluations = [
            Evaluation(
                fold,
                epoch,
                {NDCG: value + worse * (epochs - epoch), RECALL: recall},
                train_loss=1 / epoch if epochs else None,
                fit_seconds=60.0,
                n_parameters=1_234_567 if epochs else None,
                fast_paths=("target-only softmax", "fused Adam") if epochs else (),
            )
            for fold, value in enumerate(folds)
            for epoch in range(min(epochs, 1), epochs + 1)
        ]
        for evaluation in evaluations:
            self.store.report(number, evaluation, NDCG, epochs)
        summary = summarise(evaluations, NDCG, self.direction)
        self.store.complete(number, summary, seconds=1.0, log=f"logs/trial-{number:04d}.log")

    def fail(self, number):
        failure = Failure(CAUSE, "ValueError")
        self.store.fail(number, failure=failure, seconds=1.0, log=f"logs/trial-{number:04d}.log")


def fill(folder, direction="maximize"):
    """Make a study with trials in every state: complete 0 to 3, failed 4, running 5, waiting 6."""
    shop = Shop(folder, direction)
    shop.store.add_baselines([("popular", POPULAR, None)])
    shop.finish(shop.begin(), 0.125, 0.25, recall=0.4, epochs=0)
    shop.finish(shop.begin(ALBERT), 0.25, 0.75, recall=0.1)
    shop.finish(shop.begin(PLAIN), 0.25, 0.375, recall=0.9)
    shop.finish(shop.begin({**ALBERT, "lr": 1e-5}), 0.5, 0.5, recall=0.3)
    shop.fail(shop.begin(PLAIN))
    shop.store.report(shop.begin(PLAIN), Evaluation(0, 0, {NDCG: 0.125, RECALL: 0.1}), NDCG, 2)
    shop.store.add_baselines([("ease", {"cls": "EASEModel"}, None)])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("studies") / "shop")


@pytest.fixture(scope="module")
def board(folder):
    return load_leaderboard(folder)


def ranks(board):
    return [(row.record.number, row.rank, row.status) for row in board.rows]


# --- ranking ------------------------------------------------------------------------------------

REST = [(5, None, "interrupted"), (6, None, "queued"), (4, None, "failed")]


def test_the_best_stand_first_ties_share_a_rank_and_the_failed_stand_last(board):
    complete = [(1, 1, "complete"), (3, 1, "complete"), (2, 3, "complete"), (0, 4, "complete")]
    assert ranks(board) == complete + REST
    assert board.best.record.number == 1
    assert (board.study, board.objective, board.direction) == ("shop", NDCG, "maximize")


def test_the_smallest_stands_first_when_it_is_better(tmp_path):
    board = load_leaderboard(fill(tmp_path, "minimize"))
    complete = [(0, 1, "complete"), (2, 2, "complete"), (1, 3, "complete"), (3, 3, "complete")]
    assert ranks(board) == complete + REST


def test_another_metric_may_rank(folder):
    board = load_leaderboard(folder, sort=RECALL)
    assert [row.record.number for row in board.rows[:4]] == [2, 0, 3, 1]
    assert [row.rank for row in board.rows[:4]] == [1, 2, 3, 4]


def test_a_metric_that_is_not_measured_cannot_rank(folder):
    with pytest.raises(StoreError) as caught:
        load_leaderboard(folder, sort="recall@20")
    (problem,) = caught.value.problems
    assert problem.where == "sort"
    assert problem.rule == "must be a metric of the study, but got 'recall@20'"
    assert problem.hint == "did you mean 'Recall@20'?"


def test_trials_without_a_metric_that_came_later_follow_those_with_it(tmp_path):
    shop = Shop(tmp_path)
    shop.finish(shop.begin(PLAIN), 0.9, 0.9)
    late = Evaluation(0, 0, {NDCG: 0.1, "MAP@5": 0.5})
    number = shop.begin(PLAIN)
    shop.store.report(number, late, NDCG, 0)
    shop.store.complete(number, summarise([late], NDCG, "maximize"), seconds=1.0, log="log")
    board = load_leaderboard(tmp_path, sort="MAP@5")
    assert ranks(board) == [(1, 1, "complete"), (0, None, "complete")]


def test_a_study_without_a_result_has_no_best(tmp_path):
    shop = Shop(tmp_path)
    assert load_leaderboard(tmp_path).rows == ()
    shop.fail(shop.begin())
    board = load_leaderboard(tmp_path)
    assert board.best is None
    assert ranks(board) == [(0, None, "failed")]


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(StoreError) as caught:
        load_leaderboard(tmp_path)
    (problem,) = caught.value.problems
    assert problem.rule == "must be the folder of a study, but it has no journal.log"
    assert "run run(study) first" in problem.hint


@given(st.lists(st.integers(-3, 3)), st.sampled_from(["maximize", "minimize"]))
def test_a_rank_is_one_more_than_the_number_of_better_trials(values, direction):
    records = [
        TrialRecord(
            number, TrialStatus.COMPLETE, None, {}, summary=Summary(1, value / 2, 0.0, {NDCG: value / 2})
        )
        for number, value in enumerate(values)
    ]
    board = rank(StoredStudy("shop", direction, {"objective": NDCG}, {}, records), running=False)
    sign = -1 if direction == "maximize" else 1
    shown = [row.record.number for row in board.rows]
    assert shown == sorted(range(len(values)), key=lambda number: (sign * values[number], number))
    for row in board.rows:
        value = values[row.record.number]
        assert row.rank == 1 + sum(sign * other < sign * value for other in values)


# --- while it runs ------------------------------------------------------------------------------


def states(folder):
    return {row.record.number: row.status for row in load_leaderboard(folder).rows}


def test_an_unfinished_trial_is_running_while_the_study_is_held(tmp_path):
    fill(tmp_path)
    assert states(tmp_path)[5] == "interrupted"
    with hold_lock(tmp_path):
        assert states(tmp_path)[5] == "running"
        assert states(tmp_path)[4] == "failed"
    assert states(tmp_path)[5] == "interrupted"


def test_a_trial_that_no_machine_had_begun_with_waits(tmp_path):
    shop = Shop(tmp_path)
    number = shop.begin()
    assert states(tmp_path)[number] == "queued"
    with hold_lock(tmp_path):
        assert states(tmp_path)[number] == "running"


def test_an_unfinished_trial_is_cut_off_when_the_process_that_held_the_study_is_killed(tmp_path):
    fill(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from tuner.store.locking.files import hold_lock\n"
        "with hold_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "held\n"
            assert states(tmp_path)[5] == "running"
        finally:
            process.kill()
        process.wait(timeout=30)
    assert states(tmp_path)[5] == "interrupted"


def test_optuna_by_itself_finds_the_same_best_trial(board, folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    study = optuna.load_study(study_name="shop", storage=storage)
    best = board.best.record
    assert study.best_trial.number == best.number
    assert study.best_value == best.summary.mean == 0.5
    plain = {key: list(value) if key == "blocks" else value for key, value in best.params.items()}
    assert study.best_trial.user_attrs["params"] == plain


def test_reading_needs_neither_ray_nor_torch_nor_rectools(folder):
    code = (
        "import sys; from tuner.cli import main\n"
        "folder = sys.argv[1]\n"
        "codes = [main(['leaderboard', folder, '--format', f]) for f in ('table', 'csv', 'json', 'md')]\n"
        "codes.append(main(['show', folder, 'best']))\n"
        "print(codes, {'ray', 'torch', 'rectools'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "[0, 0, 0, 0, 0] set()\n"


# --- formats ------------------------------------------------------------------------------------


def test_csv_holds_every_row_and_number(board):
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert [row["trial"] for row in rows] == ["1", "3", "2", "0", "5", "6", "4"]
    assert [row["rank"] for row in rows] == ["1", "1", "3", "4", "", "", ""]
    best, failed = rows[0], rows[-1]
    summary = board.best.record.summary
    assert (float(best["objective_mean"]), float(best["objective_std"])) == (summary.mean, summary.std)
    assert [float(best[f"{NDCG}/fold {fold}"]) for fold in (1, 2)] == [0.25, 0.75]
    assert (float(best[RECALL]), best["epoch"], best["epochs_run"]) == (summary.metrics[RECALL], "2", "2")
    assert (best["parameters"], best["fit_seconds"], best["failure"]) == ("1234567", "120.0", "")
    assert (best["layers_type"], best["blocks"], best["verbose"]) == (
        "pkg.Albert",
        "pkg.Ids+pkg.Categories",
        "",
    )
    assert (failed["failure"], failed["log"], failed["status"]) == (CAUSE, "logs/trial-0004.log", "failed")
    assert rows[3]["name"] == "popular"
    assert rows[3]["verbose"] == "1"
    assert all(None not in row and None not in row.values() for row in rows), "as many cells as columns"


def test_json_holds_every_param_as_it_is(board):
    plain = json.loads(render(board, "json"))
    assert (plain["study"], plain["objective"], plain["direction"]) == ("shop", NDCG, "maximize")
    assert [row["trial"] for row in plain["rows"]] == [1, 3, 2, 0, 5, 6, 4]
    best, failed = plain["rows"][0], plain["rows"][-1]
    assert best["params"] == {**ALBERT, "blocks": list(BLOCKS)}
    assert best["differs"] == {"lr": ALBERT["lr"], "layers_type": "pkg.Albert"}
    assert (best["rank"], best["objective_mean"], best["name"], best["failure"]) == (1, 0.5, None, None)
    assert (failed["rank"], failed["objective_mean"], failed["failure"]) == (None, None, CAUSE)


def test_markdown_has_as_many_cells_in_every_line(board):
    lines = render(board, "md").splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len({len(line) for line in cells}) == 1
    assert set(cells[1]) == {"---"}
    assert len(cells) == 2 + 7
    best = dict(zip(cells[0], cells[2], strict=True))
    assert (best["rank"], best["trial"], best["model"], best["fold 2"]) == ("1", "1", "SASRec", "0.7500")
    assert cells[-1][-1].startswith(CAUSE.replace("|", "\\|"))


def test_the_table_is_aligned(board):
    header, *lines = render(board).splitlines()
    assert len(lines) == 7
    best, failed = lines[0], lines[-1]
    for name, cell in [
        ("rank", "1"),
        ("trial", "1"),
        (f"{NDCG} mean", "0.5000"),
        ("std", "0.3536"),
        ("fold 1", "0.2500"),
        ("fold 2", "0.7500"),
        (RECALL, "0.1000"),
        ("epoch", "2/2"),
        ("params", "1.23 M"),
        ("fit", "2 min 00 s"),
    ]:
        end = header.index(name) + len(name)
        assert best[:end].endswith(f" {cell}"), f"{name} ends where its header ends"
        assert best[end : end + 2] == "  "
    for name, cells in [
        ("model", ["SASRec", "SASRec", "SASRec", "popular (Popular)", "SASRec", "ease (EASE)", "SASRec"]),
        ("state", ["complete"] * 4 + ["interrupted", "queued", "failed"]),
    ]:
        start = header.index(name)
        for line, cell in zip(lines, cells, strict=True):
            assert line[start:].startswith(cell), f"{name} begins where its header begins"
    assert best.endswith("  Albert lr=0.0123")
    assert failed.endswith(f"{CAUSE} (logs/trial-0004.log)")
    assert all(line == line.rstrip() for line in [header, *lines])


def test_a_line_of_the_table_fits_the_terminal_and_other_formats_are_whole(board):
    assert max(map(len, render(board).splitlines())) > 80
    for width in (60, 80, 120):
        assert max(map(len, render(board, width=width).splitlines())) <= width
    for fmt in ("csv", "json", "md"):
        assert render(board, fmt, width=60) == render(board, fmt)


def halved(folder):
    """Make a study of a baseline and five trials: one complete, three that came to an epoch, one new."""
    shop = Shop(folder)
    shop.store.add_baselines([("ease", {"cls": "EASEModel"}, None)])
    shop.finish(shop.begin(), 0.9, 0.9, epochs=0)
    for value, cls in [(0.5, "SASRecModel"), (0.3, "BERT4RecModel"), (0.4, "mine.Own"), (0.2, "SASRecModel")]:
        number = shop.begin({**PLAIN, "cls": cls, "lr": value, "session_max_len": 8})
        if value == 0.5:
            shop.finish(number, 0.5, 0.6)
            continue
        shop.store.report(number, Evaluation(0, 1, {NDCG: value, RECALL: 0.1}), NDCG, 2)
        if value == 0.3:
            shop.store.pause(number, Pause(0, 1, 1))
        else:
            stop = Stop("halving", 0, 1, {"value": value, "place": 2, "n_trials": 4, "kept": 1, "rung": 1})
            shop.store.prune(number, stop=stop, seconds=1.0, log="log")
    shop.begin(PLAIN)
    return load_leaderboard(folder, curves=False)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return halved(tmp_path_factory.mktemp("studies") / "stopped")


def test_a_trial_without_a_result_shows_how_far_it_came_and_its_place_there(stopped, tmp_path):
    reached = {row.record.number: row.reached for row in stopped.rows if row.reached}
    assert {n: (one.value, one.place, one.n_trials) for n, one in reached.items()} == {
        2: (0.3, 2, 4),  # trial 1 had 0.5 - 1 at epoch 1
        3: (0.4, 1, 4),
        4: (0.2, 3, 4),
    }
    lines = render(stopped).splitlines()
    (paused,) = [line for line in lines if " paused " in line]
    assert "(0.3000) " in paused
    assert "fold 1, epoch 1: 2 of 4" in paused
    (best,) = [line for line in lines if "stopped by halving" in line and "1 of 4" in line]
    assert "(0.4000)" in best
    plain = json.loads(render(stopped, "json"))["rows"]
    (row,) = [row for row in plain if row["trial"] == 3]
    found = [row[key] for key in ("last_value", "reached_fold", "reached_epoch", "place", "place_of")]
    assert found == [0.4, 1, 1, 1, 4]
    halved(tmp_path)
    whole = [row.reached for row in load_leaderboard(tmp_path, curves=True).rows]
    assert whole == [row.reached for row in stopped.rows], "with and without all evaluations"


def test_a_narrow_terminal_drops_metrics_before_the_state_and_what_distinguishes(stopped):
    wide, middle, narrow = (render(stopped, width=width).splitlines() for width in (200, 120, 80))
    assert RECALL in wide[0]
    assert RECALL not in narrow[0]
    assert "reached" in middle[0]
    for header in (wide[0], middle[0], narrow[0]):
        assert header.split()[:4] == ["rank", "trial", "model", "state"]
        assert " what distin" in header
        assert f"{NDCG} mean" in header
    assert any("lr=0.4" in line for line in narrow)
    grey = render(stopped, width=80, grey=True).splitlines()
    assert [line.startswith("\x1b[2m") for line in grey[1:]] == [row.rank is None for row in stopped.rows]


def test_a_param_may_be_named_that_no_row_shown_has(stopped):
    first = render(stopped, top=1, columns=["trial", "lr"], whole=stopped).splitlines()
    assert [line.split() for line in first] == [["trial", "lr"], ["0", "-"]]


@pytest.mark.parametrize("width", [34, 40, 50, 60])
def test_no_terminal_is_too_narrow_for_the_objective(stopped, width):
    lines = render(stopped, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert f"{NDCG} mean" in lines[0]
    values = [f"{row.record.summary.mean:.4f}" for row in stopped.rows if row.record.summary]
    values += [f"({row.reached.value:.4f})" for row in stopped.rows if row.reached]
    for value in values:
        assert sum(f" {value} " in f"{line} " for line in lines) == 1


def test_columns_and_params_may_be_chosen(stopped):
    table = render(stopped, columns=["trial", "STATE", "ndcg@10", "lr", "differs"]).splitlines()
    assert table[0].split()[:6] == ["trial", "state", NDCG, "mean", "lr", "what"]
    assert table[1].split()[:2] == ["0", "complete"]
    assert render(stopped, "md", columns=["model"]).splitlines()[2] == "| ease (EASE) |"
    with pytest.raises(StoreError, match="did you mean 'state'"):
        render(stopped, columns=["stat"])


@pytest.mark.parametrize(
    ("which", "number"),
    [
        ("best", 0),
        ("best:searched", 1),
        ("best:transformer", 1),
        ("best:SASRecModel", 1),
        ("best:sasrec", 1),
        ("best:EASE", 0),
    ],
)
def test_the_best_of_a_family_is_found(stopped, which, number):
    assert find_row(stopped, which).record.number == number


def test_a_family_without_a_complete_trial_is_told(stopped):
    with pytest.raises(StoreError, match="no complete trial is of the family 'BERT4RecModel'"):
        find_row(stopped, "best:BERT4RecModel")


def test_the_best_of_the_search_is_told_beside_the_best_of_all(stopped, tmp_path):
    assert list(best_lines(stopped)) == [
        "best: trial 0 ease, NDCG@10 0.9000",
        "best of the search: trial 1 SASRecModel, NDCG@10 0.5500, -0.3500 against ease",
    ]
    Shop(tmp_path)
    assert list(best_lines(load_leaderboard(tmp_path))) == ["best: no trial is complete"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_small_search_with_all_defaults_ends_with_an_answer(finished_shop):
    folder = finished_shop / "studies" / "shop"
    board = load_leaderboard(folder)
    searched = [row for row in board.rows if row.record.name is None]
    complete = [row for row in searched if row.status == TrialStatus.COMPLETE]
    assert len(complete) >= 3
    assert {row.status for row in searched} <= {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    assert all(row.reached for row in searched if row.status == TrialStatus.STOPPED)
    assert find_row(board, "best:searched") is complete[0]
    assert find_row(board, "best:transformer").record.label in {"SASRecModel", "BERT4RecModel", "sasrec"}
    said = (finished_shop / "stderr").read_text(encoding="utf-8").splitlines()
    assert all(line in said for line in best_lines(board))


def test_no_format_has_control_characters_and_csv_has_no_formulas(tmp_path):
    """A study may come from another person, and a terminal obeys what its names and errors say."""
    shop = Shop(tmp_path / "shop")
    shop.store.add_baselines([("=cmd|x\x1b]0;title\x07", {**POPULAR, "note": "@SUM(A1)"}, None)])
    number = shop.begin()
    failure = Failure("\x1b[2J\x9b31m\u202egnp.exe |\n+1", "ValueError")
    shop.store.fail(number, failure=failure, seconds=1.0, log="logs/trial-0000.log")
    board = load_leaderboard(tmp_path / "shop")
    texts = [
        *(render(board, fmt) for fmt in ("table", "csv", "json", "md")),
        show_trial(tmp_path / "shop", "0"),
    ]
    for text in texts:
        assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text) is None
    assert "\\x1b[2J\\x9b31m\\u202egnp.exe" in texts[0]
    (row,) = csv.DictReader(io.StringIO(texts[1]))
    assert row["name"].startswith("'=cmd|x")
    assert row["note"] == "'@SUM(A1)"
    assert len({line.replace("\\|", "").count("|") for line in texts[3].splitlines()}) == 1


@pytest.mark.parametrize("fmt", ["table", "csv", "json", "md"])
def test_a_study_without_trials_is_shown_in_every_format(tmp_path, fmt):
    Shop(tmp_path)
    text = render(load_leaderboard(tmp_path), fmt)
    assert len(text.splitlines()) <= 6
    if fmt == "json":
        assert json.loads(text)["rows"] == []


def test_only_params_that_vary_among_the_searched_trials_distinguish_them(board):
    records = [row.record for row in board.rows]
    assert varying_params(records) == ["lr", "layers_type"]
    assert varying_params([record for record in records if record.name == "popular"]) == []
    assert varying_params([]) == []


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (number, None, ""),
        (number, 0.0, "0.0000"),
        (number, 0.25, "0.2500"),
        (number, -0.0001, "-1.00e-04"),
        (number, 12345.6, "12,346"),
        (count, None, ""),
        (count, 9999, "9999"),
        (count, 12345, "12 k"),
        (count, 1_234_567, "1.23 M"),
        (duration, None, ""),
        (duration, 5.25, "5.2 s"),
        (duration, 59.4, "59 s"),
        (duration, 61, "1 min 01 s"),
        (duration, 7384, "2 h 03 min"),
        (short, "pkg.sub.Layers", "Layers"),
        (short, ("pkg.A", "pkg.B"), "A+B"),
        (short, 0.0123456, "0.0123"),
        (short, None, "None"),
    ],
)
def test_values_as_people_read_them(show, value, text):
    assert show(value) == text


# --- the command --------------------------------------------------------------------------------


def test_top_and_sort(folder, capsys):
    assert main(["leaderboard", str(folder), "--format", "json", "--top", "2", "--sort", RECALL]) == 0
    out, err = capsys.readouterr()
    assert [row["trial"] for row in json.loads(out)["rows"]] == [2, 0]
    assert err == ""


def test_an_unknown_metric_is_told_on_stderr(folder, capsys):
    assert main(["leaderboard", str(folder), "--sort", "Recal@20"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean 'Recall@20'?" in err


LONG = "import tuner.reporting.formats; tuner.reporting.formats.render = lambda *_, **__: 'x' * 10**6"


@pytest.mark.parametrize("before", [LONG, ""], ids=["long", "short"])
def test_a_reader_that_has_had_enough_is_no_error(folder, before):
    """As ``tuner leaderboard shop | true``, for a table longer than Python's buffer and a shorter one."""
    reader, writer = os.pipe()
    os.close(reader)
    code = f"{before}\nimport sys; from tuner.cli import main; sys.exit(main())"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code, "leaderboard", str(folder)],
        check=False,
        cwd=ROOT,
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


# --- one trial ----------------------------------------------------------------------------------


def params_in(text):
    return json.loads(textwrap.dedent(re.search(r"^  \{\n.*?^  \}", text, re.DOTALL | re.MULTILINE)[0]))


def test_show_prints_params_that_can_be_parsed_back(folder):
    for which, params in [("best", ALBERT), ("2", PLAIN)]:
        assert params_in(show_trial(folder, which)) == {**params, "blocks": list(BLOCKS)}
    assert params_in(show_trial(folder, "popular")) == POPULAR
    assert params_in(show_trial(folder, "0")) == POPULAR


def test_show_tells_outcome_folds_curve_seeds_and_log(board, folder):
    text = show_trial(folder, "1")
    record = board.best.record
    assert text.startswith("trial 1  SASRecModel  complete  rank 1\n")
    assert f"{NDCG}: 0.5 mean over 2 folds, {record.summary.std!r} standard deviation" in text
    assert f"  {NDCG} by fold: 0.25  0.75\n" in text
    assert f"  {RECALL} by fold: 0.1  0.1\n" in text
    assert "best epoch: 2 of 2" in text
    assert "1.23 M parameters, fitted in 2 min 00 s\nfast paths: target-only softmax, fused Adam\n" in text
    assert f"seeds by fold: {record.seeds[0]}, {record.seeds[1]}\n" in text
    assert f"log: {folder / 'logs/trial-0001.log'}" in text
    curve = [line.split() for line in text.splitlines()[-4:]]
    assert curve == [
        ["1", "1", "1.0000", "-0.7500"],
        ["1", "2", "0.5000", "0.2500"],
        ["2", "1", "1.0000", "-0.2500"],
        ["2", "2", "0.5000", "0.7500"],
    ]


def test_show_tells_why_a_trial_failed(folder):
    text = show_trial(folder, "4")
    assert text.startswith("trial 4  SASRecModel  failed\n")
    assert f"failed: {CAUSE}\n" in text
    assert str(folder / "logs/trial-0004.log") in text


def test_show_tells_what_is_known_of_a_trial_that_has_not_begun(folder):
    text = show_trial(folder, "ease")
    assert text.startswith("trial 6  ease  queued\n")
    assert params_in(text) == {"cls": "EASEModel"}


@pytest.mark.parametrize(
    ("which", "hint"),
    [
        ("popula", "did you mean 'popular'?"),
        ("bst", "did you mean 'best'?"),
        ("7", "there are 7 trials, from 0"),
        ("-1", "valid: best, ease, popular"),
        ("SASRecModel", "valid: best, ease, popular"),
    ],
)
def test_a_trial_that_is_not_there_is_told(board, which, hint):
    with pytest.raises(StoreError) as caught:
        find_row(board, which)
    (problem,) = caught.value.problems
    rule = f"must be a trial's number, a baseline's name, best or best:FAMILY, but got {which!r}"
    assert problem.rule == rule
    assert problem.hint == hint


# --- regressions --------------------------------------------------------------------------------


def test_best_of_a_study_without_a_result_says_that_there_is_none(tmp_path):
    shop = Shop(tmp_path)
    shop.fail(shop.begin())
    with pytest.raises(StoreError) as caught:
        show_trial(tmp_path, "best")
    (problem,) = caught.value.problems
    assert (problem.rule, problem.hint) == ("must be a trial, but no trial is complete", None)


def test_show_of_a_trial_from_before_a_metric_was_added(tmp_path):
    shop = Shop(tmp_path)
    shop.finish(shop.begin(PLAIN), 0.9, 0.9)
    late = Evaluation(0, 0, {NDCG: 0.1, "MAP@5": 0.5})
    number = shop.begin(PLAIN)
    shop.store.report(number, late, NDCG, 0)
    shop.store.complete(number, summarise([late], NDCG, "maximize"), seconds=1.0, log="log")
    assert "MAP@5" not in show_trial(tmp_path, "0")
    assert "  MAP@5 by fold: 0.5\n" in show_trial(tmp_path, "1")


def test_a_study_that_goes_on_with_a_changed_choice_is_told_and_goes_on_with_the_old_one(tmp_path):
    old = {"cls": "SASRecModel", "n_factors": Choice(64, 128, 256)}
    Shop(tmp_path).begin(old)
    with pytest.raises(StoreError) as caught:
        Shop(tmp_path).begin({**old, "n_factors": Choice(64, 128)})
    (problem,) = caught.value.problems
    assert problem.where == "space"
    assert problem.rule.startswith("must stay as it was when the study began, but ")
    store = Shop(tmp_path).store
    again = [store.ask_again(number, Space(old), 2, dict) for number in store.interrupted()]
    assert [asked.params["n_factors"] in {64, 128, 256} for asked in again] == [True, True]


def test_one_of_a_thing_is_singular():
    assert [quantity(n, "user") for n in (0, 1, 2, 1200)] == ["0 users", "1 user", "2 users", "1,200 users"]
