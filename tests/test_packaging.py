"""What metadata, CI and CONTRIBUTING.md promise, read from the files and not from the environment at hand."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
#: Files on GitHub, and the schema that each has to fit.
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    **dict.fromkeys(sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), "vendor.github-issue-forms"),
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
}


def conflicts(python):
    """Return the versions that break RecTools or Ray on this Python, by the name of the package.

    RecTools 0.19 needs Lightning up to 2.5.2. Below Python 3.13 it needs numpy 1; pyarrow 26 installs beside
    numpy 1 but then fails to import, and takes `ray.tune` with it. From Python 3.13 on it needs numpy 2.
    """
    old = Version(python) < Version("3.13")
    numpy = {"numpy": "2.0.0", "pyarrow": "26.0.0"} if old else {"numpy": "1.26.4"}
    return {**numpy, "pytorch-lightning": "2.6.0"}


def dependencies(python, extras=()):
    """Requirements that apply on this Python, by name."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}
    lines = PROJECT["dependencies"] + [
        line for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    parsed = [Requirement(line) for line in lines]
    return {
        canonicalize_name(item.name): item
        for item in parsed
        if item.name != PROJECT["name"] and (item.marker is None or item.marker.evaluate(environment))
    }


def pins(python):
    """Versions that constraints.txt gives to this Python, by name: all of them, to see doubles."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        item = Requirement(line)
        (specifier,) = item.specifier
        assert specifier.operator == "==", line
        if item.marker is None or item.marker.evaluate(environment):
            found.setdefault(canonicalize_name(item.name), []).append(Version(specifier.version))
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_versions_that_break_rectools_or_ray_are_excluded(python):
    for name, version in conflicts(python).items():
        assert not dependencies(python)[name].specifier.contains(version, prereleases=True), name


def test_from_python_3_13_on_current_numpy_and_pyarrow_are_allowed():
    allowed = dependencies("3.13")
    assert allowed["numpy"].specifier.contains("2.4.0")
    assert allowed["pyarrow"].specifier.contains("26.0.0")


@pytest.mark.parametrize("version", ["3.10.0", "3.11.7", "3.12.9", "3.13.0"])
def test_supported_pythons_are_allowed(version):
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0"])
def test_other_pythons_are_refused(version):
    assert not SpecifierSet(PROJECT["requires-python"]).contains(version)


def test_the_command_is_declared():
    assert PROJECT["scripts"] == {"tuner": "tuner.cli:main"}


@pytest.mark.parametrize("python", PYTHONS)
def test_each_dependency_has_one_fitting_pin(python):
    pinned = pins(python)
    for name, requirement in dependencies(python, extras=PROJECT["optional-dependencies"]).items():
        assert len(pinned.get(name, [])) == 1, f"{name} on Python {python}: {pinned.get(name)}"
        assert requirement.specifier.contains(pinned[name][0]), f"{requirement} on Python {python}"


@pytest.mark.parametrize("python", PYTHONS)
def test_no_package_is_pinned_twice(python):
    assert {name for name, versions in pins(python).items() if len(versions) > 1} == set()


def recipes():
    """Return the lines of each target of the Makefile that people call, by its name."""
    found, lines = {}, []
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if target := re.match(r"([a-z-]+):.*## ", line):
            lines = found.setdefault(target[1], [])
        elif line.startswith("\t"):
            lines.append(line.strip())
        else:
            lines = []
    return found


def steps(workflow):
    """Return the commands that a workflow runs, with the job of each."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [(job, step["run"]) for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.relative_to(GITHUB).as_posix())
def test_what_github_reads_fits_its_schema(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[path], str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_classifiers_and_ci_name_the_supported_pythons():
    prefix = "Programming Language :: Python :: "
    classified = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(prefix)]
    assert classified == PYTHONS
    for name, command in (("checks", "make check"), ("checks", "make quick"), ("nightly", ".ci/run")):
        commands = steps(GITHUB / "workflows" / f"{name}.yml")
        (job,) = [job for job, run in commands if run.partition(" PYTHON=")[0] == command]
        assert job["strategy"]["matrix"]["python"] == PYTHONS, f"{command} in {name}"


def test_each_night_ci_runs_what_takes_too_long_by_day():
    commands = [run.partition(" PYTHON=")[0] for _, run in steps(GITHUB / "workflows" / "nightly.yml")]
    assert {".ci/run", 'make test ARGS="-m long"', "make release-check"} <= set(commands)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_ci_runs_what_is_there(workflow):
    targets = recipes()
    for _, run in steps(workflow):
        program, *words = run.split()
        if program == "make":
            assert words[0] in targets, run
        else:
            assert program == "apt-get" or os.access(ROOT / program, os.X_OK), run


def test_pre_commit_runs_what_make_check_runs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {(hook["language"], hook["pass_filenames"]) for hook in hooks} == {("system", False)}
    commands = [line.replace("$(BIN)", ".venv/bin") for line in recipes()["check"]]
    assert [hook["entry"] for hook in hooks] == commands


def test_contributors_read_of_targets_and_markers_that_are_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^ *)make ([a-z-]+)", page, re.MULTILINE))
    assert named >= {"check", "quick", "test", "release-check"}
    assert named <= set(recipes())
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    markers = [marker.partition(":")[0] for marker in options["ini_options"]["markers"]]
    assert re.findall(r"^\| `([a-z]+)` \| ", page, re.MULTILINE) == markers


def test_contributors_read_of_every_law():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    laws = sorted(path.name for path in (ROOT / "tests" / "laws").glob("test_*.py"))
    assert [name for name in laws if f"`{name}`" not in page] == []


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def registry():
    """Ask for one small package, to tell an unreachable registry from a conflict."""
    probe = pip("install", "--dry-run", "--ignore-installed", "--no-deps", "hatchling")
    if probe.returncode != 0:
        pytest.skip(f"no package registry within reach: {probe.stderr.strip().splitlines()[-1:]}")


def resolve(tmp_path, *arguments):
    """Versions that pip would install into an empty environment, by name."""
    report = tmp_path / "report.json"
    run = pip("install", "--dry-run", "--ignore-installed", "--report", str(report), *arguments)
    assert run.returncode == 0, run.stderr
    items = [item["metadata"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return {canonicalize_name(item["name"]): Version(item["version"]) for item in items}


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
@pytest.mark.long
def test_an_install_without_constraints_avoids_the_conflicts(tmp_path):
    # torch alone keeps its pin: its newest Linux wheel brings gigabytes of CUDA, and takes no part in
    # the conflicts.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (torch,) = pins(python)["torch"]

    resolved = resolve(tmp_path, ".", f"torch=={torch}")

    for name in conflicts(python):
        assert dependencies(python)[name].specifier.contains(resolved[name]), name
    for name, requirement in dependencies(python).items():
        assert requirement.specifier.contains(resolved[name]), f"{requirement}: {resolved[name]}"


#: pip with the markers of the Python that is named first; `--python-version` changes only the wheels.
FOREIGN_PIP = """
import sys
from pip._vendor.packaging import markers
own, python = markers.default_environment, sys.argv.pop(1)
named = {"python_version": python, "python_full_version": f"{python}.9"}
markers.default_environment = lambda: {**own(), **named}
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.timeout(1900)
@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("python", PYTHONS)
def test_each_supported_python_finds_wheels_that_fit(tmp_path, python):
    """As pip on that Python resolves the pins, from wheels alone. It asks a registry, so it runs at night.

    A registry that gives no metadata beside its wheels would make pip download all of them, 1.5 GB with CUDA.
    By `fast-deps` pip reads their last bytes instead.
    """
    report = tmp_path / "report.json"
    options = ["--dry-run", "--ignore-installed", "--report", str(report), "--only-binary=:all:"]
    options += ["--use-feature=fast-deps"]
    options += ["--python-version", python, "--target", str(tmp_path / "there"), "-c", "constraints.txt"]
    wanted = [
        f"{name}[{','.join(item.extras)}]{item.specifier}" for name, item in dependencies(python).items()
    ]
    command = [sys.executable, "-c", FOREIGN_PIP, python, "install", "-q", *options, *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    items = [item["metadata"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    resolved = {canonicalize_name(item["name"]): Version(item["version"]) for item in items}
    for name, requirement in dependencies(python).items():
        assert requirement.specifier.contains(resolved[name]), f"{requirement} on Python {python}"


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
@pytest.mark.long
def test_constraints_pin_all_that_gets_installed(tmp_path):
    pinned = pins(f"{sys.version_info.major}.{sys.version_info.minor}")

    resolved = resolve(tmp_path, "-c", "constraints.txt", ".[dev,docs,postgres]")

    assert set(resolved) - set(pinned) == {PROJECT["name"]}


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
def test_the_wheel_is_typed_and_complete(tmp_path):
    run = pip("wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path), ".")
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for name in ("tuner", "search_spaces")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "tuner/py.typed" in inside
    assert inside == files
