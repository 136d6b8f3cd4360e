"""The report: made from a real store, as a page, as Markdown and as figures; whatever names hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import numpy as np
import optuna
import pytest

from benchmarks.made_study import BASELINES, OBJECTIVE, make_study
from tests.holdout.test_judge import fitted_of, hits
from tests.reporting.test_leaderboard import fill
from tuner.artifacts.user_values import write_users
from tuner.cli import main
from tuner.config import Sampler
from tuner.holdout import Comparison, Final, Interval, JudgedRow
from tuner.holdout.judge import judge
from tuner.reporting.clock import clock_of, stays
from tuner.reporting.figures import draw_all
from tuner.reporting.figures.cost import _at_once
from tuner.reporting.figures.importances import weigh
from tuner.reporting.html import gather, markdown, page, write_figures
from tuner.reporting.html.answer import answer
from tuner.reporting.html.facts import reproduction
from tuner.reporting.paired import compare_on_users
from tuner.space import Float, Space
from tuner.store import open_store, read_points, read_records
from tuner.store.journal import open_journal
from tuner.store.locking.files import hold_lock
from tuner.trials.outcomes import PAUSED, Attempt, Usage
from tuner.trials.records import Summary, Users
from tuner.trials.segments import Grouping
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

ROOT = Path(__file__).resolve().parents[2]
#: Hosts of names that Vega's code has: of XML, and of links that it does not show here.
NAMES = {"www.w3.org", "vega.github.io", "github.com"}
TAGS = {"svg", "g", "rect", "text", "tspan", "line", "path", "defs", "clipPath"}
SVG = "{http://www.w3.org/2000/svg}"
N_TRIALS = 60
HOSTILE = "</script><script>window.hacked=1</script>"
ATTRIBUTE = "\"' onmouseover=window.hacked=1 x='"
CAUSE = f"ValueError: {HOSTILE} | `x` <img src=x onerror=window.hacked=1>\n| new | row |\n{ATTRIBUTE}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("studies") / "made", N_TRIALS)


@pytest.fixture(scope="module")
def report(folder):
    return gather(folder)


@pytest.fixture(scope="module")
def html(report):
    return page(report)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study in which all that a user names would be markup."""
    folder = tmp_path_factory.mktemp("studies") / "hostile"
    named = {HOSTILE: 0.09, ATTRIBUTE: 0.02, "@everyone | #1": 0.03}
    make_study(folder, 40, name=f"shop {HOSTILE} {ATTRIBUTE}", cause=CAUSE, baselines=named)
    data = json.dumps(f"{HOSTILE}{ATTRIBUTE}.csv")
    (folder / "study.yaml").write_text(f"study: hostile\ndata: {{interactions: {data}}}\n", encoding="utf-8")
    return gather(folder)


def texts(html):
    """Return the text of a page as a reader sees it."""
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL))


# --- the answer -----------------------------------------------------------------------------------


def test_without_a_judgement_the_answer_is_of_validation_and_names_what_would_judge(report):
    found = answer(report)
    best, baseline = report.best, report.best_baseline
    assert not found.judged
    assert found.number == best.record.number
    assert best.record.name is None
    assert baseline.record.name == "sasrec"
    assert "ahead of the best baseline, sasrec, on validation" in found.verdict
    difference = best.metrics[OBJECTIVE] - baseline.metrics[OBJECTIVE]
    assert any(tile.value.startswith(f"{difference:+.4f}") for tile in found.tiles)
    assert any(
        "optimistic" in note and f"`tuner final {report.folder_shown}`" in note for note in found.notes
    )


def judged(report, *, low, look=1):
    """Return a judgement of the best trial, a rival and the best baseline."""
    rows = [report.best, report.done[1], report.best_baseline]
    numbers = [row.record.number for row in rows]
    against = Comparison(numbers[2], 0.004, Interval(low, 0.007), 0.002, 1200, detectable=0.006)
    alike = Comparison(numbers[0], -0.0005, Interval(-0.003, 0.002), 0.7, 1200, 2)
    values = [0.051, 0.0505, 0.047]
    return Final(
        OBJECTIVE,
        "maximize",
        tuple(
            JudgedRow(
                number=number,
                name=row.record.name,
                label=row.record.label,
                epoch=4,
                seeds=(1, 2, 3),
                metrics={OBJECTIVE: value},
                by_seed=({OBJECTIVE: value},) * 3,
                intervals={OBJECTIVE: Interval(value - 0.002, value + 0.002)},
                validation=row.metrics[OBJECTIVE],
                optimism=row.metrics[OBJECTIVE] - value,
                against_baseline=against if place == 0 else None,
                against_winner=alike if place == 1 else None,
                letters="a" if place < 2 else "b",
            )
            for place, (number, row, value) in enumerate(zip(numbers, rows, values, strict=True))
        ),
        look=look,
        n_users=1200,
        baseline=numbers[2],
        made="2026-03-03T10:00:00+00:00",
        winner=numbers[0],
    )


def test_with_a_judgement_the_answer_is_of_the_holdout(folder, report):
    final = judged(report, low=0.001, look=2)
    storage = open_journal(folder)
    study = optuna.load_study(study_name="made", storage=storage)
    study.set_user_attr("final:judged:2", final.to_plain())
    read = gather(folder)
    assert read.final == final
    found = answer(read)
    assert found.judged
    assert "the winner by validation, is better than the best baseline, sasrec, on the hold" in found.verdict
    shown = " ".join(f"{tile.label} {tile.value} {tile.note}" for tile in found.tiles)
    assert "0.0510" in shown
    assert "95 % interval 0.0490 to 0.0530" in shown
    assert "+0.0040 (+8.5%)" in shown
    assert "95 % interval +0.0010 to +0.0070, p 0.002" in shown
    assert any(
        "cannot distinguish these from" in note and str(final.rows[1].number) in note for note in found.notes
    )
    assert any("look 2" in note for note in found.notes)
    html = page(read)
    assert 'id="figure-holdout"' in html
    assert "judged on the holdout" in texts(html)
    assert found.verdict in texts(html)
    assert f"{OBJECTIVE} holdout" in markdown(read)


def test_a_winner_that_cannot_be_told_from_the_baseline_is_no_winner(report):
    found = answer(replace(report, final=judged(report, low=-0.001)))
    assert "cannot be distinguished from the best baseline, sasrec" in found.verdict
    assert any("0.0060 in 80 of 100 studies" in note for note in found.notes)


def test_a_winner_behind_the_best_baseline_is_told_with_its_segments(report):
    ahead, winner = (
        fitted_of(0, hits(0.4), validation=0.4, name="ease"),
        fitted_of(3, hits(0.2), validation=0.2),
    )
    grouping = Grouping("history", ("few", "many"), np.arange(1000) % 2)
    final = judge([ahead, winner], objective="HitRate@10", direction="maximize", groupings=[grouping])
    told = replace(report, final=final)
    found = answer(told)
    assert "is worse than the best baseline, ease, on the holdout" in found.verdict
    (tile,) = (tile for tile in found.tiles if tile.label == "Against ease, the best baseline")
    share = final.primary.difference / final.row(0).metrics["HitRate@10"]
    assert tile.value.endswith(f"({share:+.1%})")
    header, few, many = found.segments
    assert header == ["segment", "users", "HitRate@10"]
    assert (few[:2], many[:2]) == (["history few", "500"], ["history many", "500"])
    assert float(few[2].split()[0]) == pytest.approx(0.2, abs=0.05)
    assert few[2] in texts(page(told))
    assert f"| history few | 500 | {few[2]} |" in markdown(told)


def test_pairs_of_users_say_how_sure_validation_is(tmp_path):
    rng = np.random.default_rng(3)
    base = [rng.uniform(size=400).astype(np.float32) for _ in range(2)]
    for fold, values in enumerate(base):
        write_users(tmp_path, 1, Users(fold, (0,), values[None]))
        better = values + rng.normal(0.05, 0.1, 400).astype(np.float32)
        write_users(tmp_path, 2, Users(fold, (1, 2), np.stack([values, better])))
    summary = Summary(epoch=0, mean=0.5, std=0.0, metrics={}, folds=({}, {}))
    one = TrialRecord(2, TrialStatus.COMPLETE, None, {}, summary=replace(summary, epoch=2))
    found = compare_on_users(
        tmp_path, one, TrialRecord(1, TrialStatus.COMPLETE, "popular", {}, summary=summary)
    )
    differences = [
        next(iter(u.at(2) for u in _users(tmp_path, 2) if u.fold == fold)) - base[fold] for fold in range(2)
    ]
    assert found.n_users == 800
    assert found.difference == pytest.approx(float(np.mean(differences)), abs=1e-6)
    half = 1.96 * float(np.concatenate(differences).std(ddof=1)) / 800**0.5
    assert found.bounds()[1] - found.difference == pytest.approx(half, rel=0.05)
    assert (
        compare_on_users(tmp_path, one, TrialRecord(9, TrialStatus.COMPLETE, "ease", {}, summary=summary))
        is None
    )


def _users(folder, number):
    from tuner.artifacts.user_values import read_users

    return read_users(folder, number)


# --- whatever a study holds -----------------------------------------------------------------------


def test_a_study_without_results_makes_a_report(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    store = open_store(
        folder, name="empty", direction="maximize", sampler=Sampler(), seed=1, facts={"objective": OBJECTIVE}
    )
    read = gather(folder)
    shown = texts(page(read))
    assert "No result No trial is complete." in shown
    assert "yet" not in shown, "no driver runs the study"
    assert "empty: no result\n" in markdown(read)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    store.ask(Space({"cls": "PopularModel"}), 1, dict)
    with hold_lock(folder):
        assert "No trial is complete yet" in texts(page(gather(folder)))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_study_that_notes_neither_workers_nor_data_makes_a_report(tmp_path, direction):
    read = gather(fill(tmp_path / "shop", direction))
    assert all(not record.attempts for record in read.records)
    html = page(read)
    assert "interrupted" in texts(html)
    assert "ValueError: got &#34;a&#34;, b | c" in html
    assert not draw_all(read)["holdout"]


def test_every_row_is_on_the_leaderboard_with_all_its_params(report, html):
    assert html.count("<tbody data-kind=") == N_TRIALS + len(BASELINES) == len(report.board.rows)
    row = html.split(f'data-t="{report.best.record.number}"', 1)[1].split("</tbody>", 1)[0]
    for key, value in report.best.record.params.items():
        assert f"<dt>{key}</dt><dd>{value}</dd>" in row


def test_too_few_trials_have_no_importances_and_that_is_said(tmp_path):
    read = gather(make_study(tmp_path / "few", 8))
    assert weigh(read).shares == {}
    assert "There are too few trials" in texts(page(read))


def test_importances_find_the_param_that_matters_and_add_up(report):
    found = weigh(report)
    assert next(iter(found.shares)) == "lr"
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.n_trials == sum(
        r.status in {"complete", "stopped"} and r.name is None for r in report.records
    )
    assert any("@" in name for name in found.shares)


def test_a_front_is_drawn_where_there_are_several_objectives(tmp_path):
    read = gather(make_study(tmp_path / "several", 30, further={"Serendipity@10": "maximize"}))
    assert [figure.name for figure in draw_all(read)["tradeoffs"]] == ["tradeoffs", "pareto"]
    assert len(read.board.front) > 1
    assert f"no row beats these {len(read.board.front)} rows" in texts(page(read))


# --- what a study notes for its report ------------------------------------------------------------


def test_points_are_those_that_optuna_reads(folder):
    study = optuna.load_study(study_name="made", storage=open_journal(folder))
    points = read_points(folder)
    trials = study.get_trials(deepcopy=False)
    assert len(points) == len(trials)
    for trial in trials:
        assert points[trial.number].params == trial.params
        assert points[trial.number].distributions == trial.distributions


def test_points_that_were_suggested_one_by_one_are_read_too(tmp_path):
    facts = {"objective": OBJECTIVE}
    store = open_store(
        tmp_path, name="shop", direction="maximize", sampler=Sampler(use="random"), seed=1, facts=facts
    )
    for _ in range(3):
        store.ask(Space({"cls": "SASRecModel", "lr": Float(1e-4, 1e-2, log=True)}), 1, dict)
    study = optuna.load_study(study_name="shop", storage=open_journal(tmp_path))
    points = read_points(tmp_path)
    assert all(point.params for point in points.values())
    assert {n: p.params for n, p in points.items()} == {t.number: t.params for t in study.get_trials()}


def test_workers_and_the_description_are_kept_in_the_store(tmp_path):
    store = open_store(
        tmp_path, name="shop", direction="maximize", sampler=Sampler(), seed=1, facts={"objective": OBJECTIVE}
    )
    store.describe({"data": {"users": 3}})
    number = store.ask(Space({"cls": "PopularModel"}), 1, dict).number
    store.note_attempt(number, Attempt("here", 7, 1000.0, cpus=2.0, gpus=0.5))
    store.note_usage(number, Usage(cpu_seconds=30.0))
    stored = read_records(tmp_path)
    assert stored.description == {"data": {"users": 3}}
    assert stored.records[0].attempts == (Attempt("here", 7, 1000.0, cpus=2.0, gpus=0.5, seconds=15.0),)


def test_the_clock_leaves_out_pauses_between_runs():
    begin = datetime(2026, 1, 1, 9)
    days = [begin, begin + timedelta(minutes=10), begin + timedelta(days=2)]
    records = [
        TrialRecord(n, TrialStatus.COMPLETE, None, {}, started=day, ended=day + timedelta(minutes=10))
        for n, day in enumerate(days)
    ]
    clock = clock_of(stays(records, begin))
    assert clock.total == 30 * 60
    assert clock(days[2].timestamp()) == 20 * 60


def test_a_paused_trial_takes_no_worker_until_it_goes_on():
    begin = datetime(2026, 3, 2, 9, 0)
    attempts = [
        Attempt("a", 1, began=begin.timestamp(), cpus=1, lost=PAUSED, seconds=10.0),
        Attempt("a", 1, began=begin.timestamp() + 100, cpus=1, lost=PAUSED, seconds=20.0),
    ]
    ended = begin + timedelta(seconds=500)
    stopped = TrialRecord(
        0, TrialStatus.STOPPED, None, {}, attempts=tuple(attempts), started=begin, ended=ended
    )
    other = Attempt("a", 1, began=begin.timestamp() + 9.5, cpus=1, seconds=80.0)
    between = TrialRecord(1, TrialStatus.COMPLETE, None, {}, attempts=(other,), started=begin, ended=ended)
    found = stays([stopped], ended)
    assert [stay.end - stay.begin for stay in found] == [10.0, 20.0]
    assert _at_once([*found, *stays([replace(between, ended=begin + timedelta(seconds=90))], ended)]) == 1
    paused = replace(stopped, status=TrialStatus.PAUSED, ended=None)
    assert [stay.end - stay.begin for stay in stays([paused], ended)] == [10.0, 20.0]
    interrupted = TrialRecord(2, TrialStatus.RUNNING, None, {}, attempts=(other,), started=begin)
    (running,), (lost,) = (stays([interrupted], ended, running=one) for one in (True, False))
    assert (running.end, lost.end - lost.begin) == (ended.timestamp(), 80.0)


def test_the_commands_install_this_project(tmp_path):
    report = gather(make_study(tmp_path, 2))
    assert reproduction(report)[0].startswith("pip install path/to/rectools-tuner ")


def test_the_answer_names_the_best_transformer_and_the_lead_of_a_baseline(tmp_path):
    found = answer(gather(make_study(tmp_path, 12, baselines={"ease": 0.2})))
    assert re.match(
        r"No trial of the search beats the baseline ease\. The best transformer, \w+ \w+ #\d+, has "
        r"0\.0\d+: ease is ahead by 0\.1\d+ \(\d+\.\d%\)\.$",
        found.verdict,
    )
    assert "The best of each class of models by validation" in found.notes[0]


def test_a_trial_that_was_begun_again_has_both_its_stays():
    begin = datetime(2026, 1, 1, 9)
    at = begin.timestamp()
    attempts = (Attempt("a", 1, at, seconds=60.0), Attempt("b", 2, at + 7200, seconds=30.0))
    ended = begin + timedelta(seconds=7230)
    record = TrialRecord(0, TrialStatus.COMPLETE, None, {}, started=begin, ended=ended, attempts=attempts)
    first, last = stays([record], ended)
    assert (first.end - first.begin, first.last, first.worker) == (60.0, False, "a, process 1")
    assert (last.end - last.begin, last.last) == (30.0, True)


# --- what users name is text ----------------------------------------------------------------------


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]


def test_names_and_messages_are_no_markup_in_the_page(hostile):
    html = page(hostile)
    found = _Tags()
    found.feed(html)
    assert found.tags.count("script") == 4  # trials, charts, Vega, and the page's own
    assert "img" not in found.tags
    assert not [one for one in found.attributes if one[1].startswith("on")]
    assert "window.hacked=1" in texts(html)  # shown, as text
    data = html.split('id="trials">', 1)[1].split("</script>", 1)[0]
    assert not set("<>&'") & set(data)
    shown = json.loads(data)["trials"]
    assert not set("<>&'") & set(html.split('id="charts">', 1)[1].split("</script>", 1)[0])
    assert {HOSTILE, ATTRIBUTE} <= {trial["l"] for trial in shown.values()}
    assert CAUSE[:40] in {trial.get("n", "")[:40] for trial in shown.values()}


def test_the_page_forbids_itself_all_requests_and_other_scripts(html):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert {urlsplit(address).hostname for address in addresses} <= NAMES


@pytest.fixture(scope="module")
def written(hostile, tmp_path_factory):
    """Figures of the study with hostile names, as files."""
    return write_figures(hostile, tmp_path_factory.mktemp("figures"), kinds=("svg",))


def test_names_and_messages_are_no_markup_in_figures(written):
    shown = set()
    for path in written:
        elements = list(ET.fromstring(path.read_text(encoding="utf-8")).iter())
        assert {one.tag.removeprefix(SVG) for one in elements} <= TAGS
        shown |= {one.text for one in elements}
    assert HOSTILE[:8] in "".join(filter(None, shown)), "names are shown as text"


def test_names_and_messages_are_no_markup_in_markdown(hostile):
    text = markdown(hostile)
    bare = re.sub(r"\\.", "", text)
    assert "<script" not in bare
    assert "<img" not in bare
    assert not re.search(r"(?<!\w)@\w", bare)
    table = [line for line in bare.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 12


# --- Markdown and figures -------------------------------------------------------------------------


def test_markdown_has_the_answer_the_first_rows_and_how_to_run_it_again(report):
    text = markdown(report)
    assert text.startswith("## made: ")
    assert answer(report).verdict in text.replace("\u2060", "")
    assert "| 1 | " in text
    assert "and 53 more" in text
    assert "PED-ANOVA" in text
    name = report.folder.name
    assert f"tuner run {report.folder_shown}/study.yaml --output again\n" in text
    assert f"tuner show again/{name} best\n" in text


def test_every_figure_is_written_in_its_own_colours(written):
    names = {path.stem for path in written}
    assert {"folds", "history-trials", "history-time", "curves", "importances", "slices"} <= names
    assert {"parallel", "tradeoffs", "compute", "timeline"} <= names
    assert not any("var(--" in path.read_text(encoding="utf-8") for path in written)


def test_a_report_of_a_thousand_trials_is_below_ten_megabytes(tmp_path):
    read = gather(make_study(tmp_path / "long", 1000))
    html = page(read)
    assert html.count("<tbody data-kind=") == 1000 + len(BASELINES)
    assert len(html.encode()) < 10_000_000


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_the_page_into_the_studys_folder(folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_prints_markdown_and_writes_figures(tmp_path, capsys):
    make_study(tmp_path / "few", 3)
    assert (
        main(["report", str(tmp_path / "few"), "--format", "md", "--figures", str(tmp_path / "figures")]) == 0
    )
    said = capsys.readouterr()
    assert said.out.startswith("## made: ")
    assert "files of figures" in said.err
    for path in (tmp_path / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"folds.png", "folds.svg", "history-trials.png", "curves.svg"} <= names


def test_a_file_that_cannot_be_written_is_told_without_a_stack_trace(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["report", str(folder), "-o", str(tmp_path / "file" / "report.html")]) == 2
    assert "--to: must be a file that can be written" in capsys.readouterr().err


def test_the_ending_of_the_name_says_the_format_of_a_report(folder, tmp_path, capsys):
    assert main(["report", str(folder), "-o", str(tmp_path / "r.md")]) == 0
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("## ")
    from tuner import report

    assert report(folder, tmp_path / "r.HTM").path.read_bytes().lower().startswith(b"<!doctype")
    capsys.readouterr()
    for arguments, wanted in (
        (["r.pdf"], ""),
        (["r.csv", "--format", "md"], " for a report in Markdown"),
        (["r2.md", "--format", "html"], " for a report in HTML"),
        (["r2.html", "--format", "md"], " for a report in Markdown"),
    ):
        path = tmp_path / arguments[0]
        assert main(["report", str(folder), "-o", str(path), *arguments[1:]]) == 2
        assert f"--to: must end with .html or .md{wanted}, but got {path}\n" in capsys.readouterr().err
        assert not path.exists()


def test_a_report_is_not_written_over_another_file(folder, tmp_path, capsys):
    for name, content in (("page.html", "<p>Mine</p>\n"), ("notes.md", "# Mine\n"), ("notes", "Mine\n")):
        path = tmp_path / name
        path.write_text(content)
        assert main(["report", str(folder), "-o", str(path)]) == 2
        assert "--to: must not replace a file that is no report" in capsys.readouterr().err
        assert path.read_text() == content
    for form in ("html", "md"):
        for _ in range(2):  # its own report is replaced
            assert main(["report", str(folder), "-o", str(tmp_path / f"r.{form}"), "--format", form]) == 0


def test_a_report_needs_none_of_the_libraries_that_train(folder, tmp_path):
    code = (
        "import sys; from tuner.cli import main; code = main(sys.argv[1:]);"
        "print(sorted({'ray', 'torch', 'rectools', 'pytorch_lightning'} & set(sys.modules)), code)"
    )
    arguments = ["report", str(folder), "-o", str(tmp_path / "report.html")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_where_no_trial_is_complete_the_one_that_came_farthest_is_named(tmp_path):
    found = answer(gather(make_study(tmp_path / "made", 1, seed=2)))
    assert found.verdict == "The baseline sasrec is first; no trial of the search is complete."
    assert found.tiles[1].label == "The searched trial that came farthest"
    assert found.tiles[1].note == "SASRec PreLN #3, stopped after fold 1, epoch 2: place 1 of 1"
