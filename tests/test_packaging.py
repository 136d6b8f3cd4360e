"""What the project's metadata promises, read from the files and not from the environment at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
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
PYTHONS = ["3.10", "3.11", "3.12"]

# RecTools 0.19 needs numpy 1 and Lightning up to 2.5.2 below Python 3.13; pyarrow 26 installs beside
# numpy 1 but then fails to import, and takes `ray.tune` with it.
CONFLICTS = [("numpy", "2.0.0"), ("pyarrow", "26.0.0"), ("pytorch-lightning", "2.6.0")]


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


@pytest.mark.parametrize(("name", "version"), CONFLICTS)
@pytest.mark.parametrize("python", PYTHONS)
def test_versions_that_break_rectools_or_ray_are_excluded(python, name, version):
    assert not dependencies(python)[name].specifier.contains(version, prereleases=True)


@pytest.mark.parametrize("version", ["3.10.0", "3.11.7", "3.12.9"])
def test_supported_pythons_are_allowed(version):
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


@pytest.mark.parametrize("version", ["3.9.18", "3.13.0"])
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
def test_an_install_without_constraints_avoids_the_conflicts(tmp_path):
    # torch alone keeps its pin: its newest Linux wheel brings gigabytes of CUDA, and takes no part in
    # the conflicts.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (torch,) = pins(python)["torch"]

    resolved = resolve(tmp_path, ".", f"torch=={torch}")

    for name, version in CONFLICTS:
        assert resolved[name] < Version(version)
    for name, requirement in dependencies(python).items():
        assert requirement.specifier.contains(resolved[name]), f"{requirement}: {resolved[name]}"


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
def test_constraints_pin_all_that_gets_installed(tmp_path):
    pinned = pins(f"{sys.version_info.major}.{sys.version_info.minor}")

    resolved = resolve(tmp_path, "-c", "constraints.txt", ".[dev,postgres]")

    assert set(resolved) - set(pinned) == {PROJECT["name"]}
