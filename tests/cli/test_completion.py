"""Completion, as a real bash asks for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import STUDY, imported, make_shop

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
#: Asks bash for the words that may stand at the end of each line: a line of them for each.
ASK = """
eval "$(register-python-argcomplete tuner)"
ask() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDS=($1) COMPREPLY=()
    _python_argcomplete tuner
    (IFS="|"; echo "${COMPREPLY[*]}")
}
"""
#: What is typed -> what may stand there.
OFFERED = {
    "tuner rep": {"report", "reproduce"},
    "tuner report --fig": {"--figures"},
    "tuner leaderboard studies/shop --format ": {"table", "csv", "json", "md"},
    "tuner run sh": {"shop.yaml"},
    "tuner run shop.yaml --set search.tr": {"search.trials="},  # no space follows
    "tuner run shop.yaml --set data.duplicates=keep_": {"keep_first", "keep_last"},
    "tuner run shop.yaml --profile ": {"big", "quick"},
    "tuner show stu": {"studies/", "studies/shop"},
    "tuner show studies/sh": {"studies/shop"},
    "tuner show studies/shop ": {"best", "best:PopularModel", "popular", "0"},
    "tuner exclude studies/shop ": {"0"},
    "tuner final studies/shop --best P": {"PopularModel"},
    "tuner leaderboard studies/shop --sort ": {"NDCG@10"},
    "tuner attach ": {"shop", "shop.yaml", "studies/"},
    "tuner compare studies/shop studies/": {"studies/shop"},
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What bash offers for each line, in a folder with a study file and its results."""
    place = tmp_path_factory.mktemp("shell")
    (place / "shop.yaml").write_text(
        f"{STUDY}profiles:\n  quick: {{search: {{trials: 1}}}}\n  big: {{}}\n", encoding="utf-8"
    )
    make_shop(place / "studies" / "shop")
    script = ASK + "\n".join(f"ask {shlex.quote(line)}" for line in OFFERED)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert done.stderr == ""
    return dict(zip(OFFERED, done.stdout.split("\n"), strict=False))


@pytest.mark.parametrize("line", OFFERED)
def test_bash_offers_what_may_stand_there(answers, line):
    assert {word.rstrip() for word in answers[line].split("|")} == OFFERED[line]


def test_an_answer_imports_neither_ray_nor_torch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_shop(tmp_path / "studies" / "shop")
    code = """
import argparse
from pathlib import Path
from tuner.cli.completion import _OFFERS
asked = argparse.Namespace(study=Path("studies/shop"), output=Path("studies"))
print(sorted(_OFFERS["trial"]("", asked)), len(_OFFERS["KEY=VALUE"]("", asked)) > 50)
"""
    out, _, libraries = imported(code)
    assert out == "['0', 'best', 'best:PopularModel', 'popular'] True\n"
    assert not libraries & {"ray", "torch", "rectools", "pytorch_lightning"}
