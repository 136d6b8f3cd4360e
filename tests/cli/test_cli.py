"""The command line: what it prints where, its exit codes, and what it does not import."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tuner.cli import _parser, leaderboard, main
from tuner.cli.examples import EXAMPLES
from tuner.config import Sampler
from tuner.errors import SearchError, TunerError
from tuner.space import Space
from tuner.store import open_store
from tuner.trials.objective import summarise
from tuner.trials.records import Evaluation

ROOT = Path(__file__).resolve().parents[2]
STUDY = """\
study: shop
data: {interactions: events.csv}
folds: {split: last_n, size: 1}
metrics: {objective: NDCG@10, direction: maximize}
space: search_spaces.guide
"""
BROKEN = """\
study: shop
data: {interaction: events.csv}
folds: {split: last_n, size: 0}
metrics: {objective: NDCG, direction: maximize}
space: search_spaces.guide
serach: {trials: 3}
"""


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    """Write a study file into an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text=STUDY):
        path = tmp_path / "shop.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def shop(tmp_path):
    """Make a study of one complete baseline in ``studies/shop``."""
    return make_shop(tmp_path / "studies" / "shop")


def make_shop(folder):
    """Make a study of one complete baseline; return its folder."""
    folder.mkdir(parents=True)
    facts = {"objective": "NDCG@10"}
    store = open_store(folder, name="shop", direction="maximize", sampler=Sampler(), seed=1, facts=facts)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    number = store.ask(Space({"cls": "PopularModel"}), 1, dict).number
    evaluation = Evaluation(0, 0, {"NDCG@10": 0.25})
    store.report(number, evaluation, "NDCG@10", 0)
    summary = summarise([evaluation], "NDCG@10", "maximize")
    store.complete(number, summary, seconds=1.0, log="logs/trial-0000.log")
    return folder


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_example_of_a_command_is_accepted_and_shown(command, capsys):
    words = shlex.split(EXAMPLES[command])
    assert words[:2] == ["tuner", command]
    assert _parser().parse_args(words[1:])
    assert call(command, "--help") == 0
    assert EXAMPLES[command] in " ".join(capsys.readouterr().out.split())


def call(*arguments):
    """Run the command line; give its exit code, also where argparse exits."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def imported(code, *arguments):
    """Run Python code in a fresh process; give its stdout and stderr lines, and the libraries it imported."""
    watched = "{'ray', 'torch', 'optuna', 'pandas', 'rectools', 'pydantic', 'pytorch_lightning'}"
    end = f"print(sorted({watched} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{end}", *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    *lines, last = done.stderr.splitlines()
    return done.stdout, lines, set(last.strip("[]").replace("'", "").split(", ")) - {""}


CALL = """
from tuner.cli import main
def call(*arguments):
    try:
        return main(arguments)
    except SystemExit as error:
        return error.code
"""


# --- help ---------------------------------------------------------------------------------------


def test_help_and_version_import_nothing_heavy():
    code = f"{CALL}\nassert [call(*a.split()) for a in sys.argv[1:]] == [0] * 5"
    commands = ["--help", "run --help", "leaderboard --help", "show --help", "--version"]
    out, errors, libraries = imported(code, *commands)
    assert libraries == set()
    assert errors == []
    assert out.count("usage: tuner") == 4


def test_python_dash_m_tuner_is_the_command_and_imports_nothing_heavy():
    code = """
import runpy
sys.argv[1:] = ["--help"]
try:
    runpy.run_module("tuner", run_name="__main__", alter_sys=True)
except SystemExit as error:
    assert error.code == 0
"""
    out, errors, libraries = imported(code)
    assert out.startswith("usage: tuner")
    assert (errors, libraries) == ([], set())


def test_python_dash_m_tuner_gives_the_exit_code_of_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "leaderboard", "nowhere"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_the_package_itself_imports_nothing_heavy():
    _, _, libraries = imported("import tuner; assert 'Study' in tuner.__all__")
    assert libraries == set()


def test_help_names_commands_and_exit_codes(capsys):
    assert call("--help") == 0
    out, err = capsys.readouterr()
    listed = [line.split()[0] for line in out.splitlines() if re.match(r" {4}\w", line)]
    assert listed == [
        "init",
        "space",
        "check",
        "run",
        "watch",
        "leaderboard",
        "show",
        "add",
        "exclude",
        "list",
        "final",
        "report",
        "compare",
        "reproduce",
        "export",
        "recommend",
        "submit",
        "attach",
        "fetch",
        "stop",
    ]
    assert all(
        f"{code} {text}" in " ".join(out.split()) for code, text in [(0, "done"), (130, "interrupted")]
    )
    assert err == ""


def test_version(capsys):
    assert call("--version") == 0
    try:
        expected = version("rectools-tuner")
    except PackageNotFoundError:
        expected = "(not installed)"
    assert capsys.readouterr().out == f"tuner {expected}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["leadrboard", "shop"], "'stop'); did you mean leaderboard?\n"),
        (["run"], "the following arguments are required: STUDY.yaml"),
        (
            ["run", "shop.yaml", "--trails", "3"],
            "tuner run: error: unrecognized arguments: --trails; did you mean --trials?\n",
        ),
        (["run", "--trails=3", "shop.yaml"], "unrecognized arguments: --trails; did you mean --trials?\n"),
        (["run", "shop.yaml", "more.yaml"], "tuner run: error: unrecognized arguments: more.yaml\n"),
        (["leaderboard", "shop", "--format", "xml"], "invalid choice: 'xml'"),
        (["leaderboard", "shop", "--format", "cvs"], "did you mean csv?\n"),
        (["leaderboard", "shop", "--top", "0"], "must be an integer of at least 1, but got '0'"),
        (["show", "shop"], "the following arguments are required: TRIAL"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_message_on_stderr(capsys, arguments, text):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err


# --- broken studies -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["run"], ["leaderboard"], ["show", "best"]])
def test_a_broken_study_ends_with_2_and_all_its_problems_on_stderr(study_file, capsys, command):
    path = study_file(BROKEN)
    assert call(command[0], path, *command[1:]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}: 5 problems\n")
    for text in [
        "data.interactions (line 2): must be given, but is missing",
        "data.interaction (line 2): is no key of this section\n      did you mean 'interactions'?",
        "folds.size (line 3): must be an integer of at least 1",
        "metrics.objective (line 4): must be a metric and its k, as NDCG@10, but got 'NDCG'",
        "serach (line 6): is no key of this section\n      did you mean 'search'?",
    ]:
        assert text in err


def test_a_broken_study_is_reported_without_ray_torch_and_pandas(study_file, tmp_path):
    code = f"{CALL}\nassert call('run', sys.argv[1]) == 2"
    out, errors, libraries = imported(code, study_file(BROKEN))
    assert not libraries & {"ray", "torch", "pandas", "rectools", "pytorch_lightning"}
    assert out == ""
    assert errors[0].endswith("shop.yaml: 5 problems")
    assert [path.name for path in tmp_path.iterdir()] == ["shop.yaml"], "nothing is left behind"


def test_missing_data_is_reported_without_ray(study_file, tmp_path):
    code = f"{CALL}\nassert call('run', sys.argv[1], '--output', sys.argv[2]) == 2"
    out, errors, libraries = imported(code, study_file(), str(tmp_path / "studies"))
    assert "ray" not in libraries
    assert out == ""
    assert any("events.csv" in line for line in errors)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--trials", "many"], ["search.trials: must be an integer, but got 'many'"]),
        (["--trials", "-1"], ["search.trials: must be at least 0, but got -1"]),
        (["--time-budget", "soon"], ["search.time_budget: must be a duration, as 45s", "but got 'soon'"]),
        (["--set", "search.trials"], ["--set: must be key=value, but got 'search.trials'"]),
        (
            ["--set", "training.epoch=3", "--set", "folds.size=x", "--trials", "0.5"],
            ["training.epoch: is no key", "folds.size", "search.trials: must be an integer, but got 0.5"],
        ),
    ],
)
def test_a_wrong_override_is_reported_like_the_file(study_file, capsys, options, texts):
    assert call("run", study_file(), *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(text in err for text in texts)


def test_overrides_reach_the_study(study_file, tmp_path, monkeypatch):
    """`--trials` wins over `--set`. Stops where the search would begin."""
    seen = []

    def stop(study, output, events, address):
        assert (events, address) == (None, None)
        seen.append((study, output))
        raise SearchError("stopped here")

    monkeypatch.setattr("tuner.workflows.run.run", stop)
    options = ["--trials", "7", "--set", "search.trials=1", "--set", "training.epochs=3"]
    options += ["--time-budget", "2h"]
    assert call("run", study_file(), *options, "--output", tmp_path / "here") == 1
    ((study, output),) = seen
    assert (study.search.trials, study.search.time_budget, study.training.epochs) == (7, 7200.0, 3)
    assert output == tmp_path / "here"


def test_a_file_that_is_not_there_ends_with_2(capsys, tmp_path):
    assert call("run", tmp_path / "no.yaml") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "must be a readable file, but No such file or directory" in err


# --- what a search raises -----------------------------------------------------------------------


class _EndedError(TunerError):
    exit_code = 130


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SearchError("all failed", hint="see logs"), 1, "all failed\n  see logs\n"),
        (_EndedError("ended"), 130, "ended\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_becomes_a_message_and_an_exit_code(monkeypatch, capsys, error, code, message):
    def command(_arguments):
        raise error

    monkeypatch.setattr(leaderboard, "_leaderboard", command)
    assert call("leaderboard", "shop") == code
    assert capsys.readouterr() == ("", message)


def test_an_error_that_is_no_message_for_users_is_not_hidden(monkeypatch):
    def command(_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(leaderboard, "_leaderboard", command)
    with pytest.raises(ZeroDivisionError):
        call("leaderboard", "shop")


# --- reading a study ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["leaderboard"], ["show", "best"]])
def test_a_folder_that_is_no_study_ends_with_2(capsys, tmp_path, command):
    before = list(tmp_path.iterdir())
    assert call(command[0], tmp_path, *command[1:]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "must be the folder of a study, but it has no journal.log" in err
    assert list(tmp_path.iterdir()) == before, "reading leaves nothing behind"


def test_a_study_is_found_by_its_folder_and_by_its_file(study_file, shop, capsys):
    path = study_file()
    for command in (
        ["leaderboard", shop],
        ["leaderboard", path],
        ["leaderboard", path, "--output", shop.parent],
    ):
        assert call(*command) == 0
        out, err = capsys.readouterr()
        assert "popular (Popular)" in out
        assert err == ""
    for which in ("best", "popular", "0"):
        assert call("show", path, which) == 0
        assert capsys.readouterr().out.startswith("trial 0  popular  complete  rank 1\n")


def test_a_trial_that_is_not_there_ends_with_2(shop, capsys):
    assert call("show", shop, "9") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "there are 1 trials, from 0" in err


def test_the_module_can_be_run(shop):
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", "leaderboard", str(shop), "--format", "csv"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[0].startswith("rank,trial,name,")
    assert done.stderr == ""


# --- regressions --------------------------------------------------------------------------------


def test_top_that_is_no_number_is_reported_by_its_rule(capsys):
    assert call("leaderboard", "shop", "--top", "x") == 2
    err = capsys.readouterr().err
    assert "argument --top: " in err
    assert "_positive" not in err


def test_segments_refuse_options_that_they_would_ignore(capsys):
    assert main(["leaderboard", "shop", "--segments", "--format", "json", "--top", "3"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[0] for line in err.splitlines()[1:]] == ["--format:", "--top:"]


def test_a_folder_that_does_not_exist_has_no_studies_to_list(tmp_path, capsys):
    assert main(["list", str(tmp_path / "nowhere")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "must be a folder with studies, but there is none" in err


def test_a_study_that_cannot_be_read_hides_no_other(tmp_path, capsys):
    (tmp_path / "broken" / "journal.log").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_text("study: [", encoding="utf-8")
    (tmp_path / "new").mkdir()
    facts = {"objective": "NDCG@10"}
    open_store(tmp_path / "new", name="new", direction="maximize", sampler=Sampler(), seed=1, facts=facts)
    assert main(["list", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["broken", "unreadable"],
        ["mine", "unreadable"],
        ["new", "unfinished"],
    ]
    assert "Is a directory" in out
    assert err == ""


@pytest.mark.parametrize("command", ["list", "run study.yaml", "leaderboard studies/shop"])
def test_a_working_folder_that_is_gone_is_told(tmp_path, command):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && exec "{sys.executable}" -m tuner {command}'
    found = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.endswith("folder that does, and run the command again\n")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["run study.yaml --output", "leaderboard", "export shop best --to"])
def test_an_empty_path_is_refused(capsys, command):
    assert call(*command.split(), "") == 2
    assert "must be a path, but is empty; is a variable of the shell not set?" in capsys.readouterr().err


def test_a_file_of_a_study_is_not_its_folder(tmp_path, capsys):
    facts = {"objective": "NDCG@10"}
    open_store(tmp_path, name="new", direction="maximize", sampler=Sampler(), seed=1, facts=facts)
    assert call("leaderboard", tmp_path / "journal.log") == 2
    err = capsys.readouterr().err
    assert "must be the folder of a study, but is a file" in err
    assert f"name {tmp_path}\n" in err
