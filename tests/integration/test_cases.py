"""Inputs of public bug reports, as a person tries them: `run.sh` of each case, with the real command and Ray.

`tests/workflows/test_cases.py` has the same cases in one process. Here the words that a person reads are
compared with what the NOTE of the case asks for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.finished import ROOT
from tuner.store import store_exists

CASES = ROOT.parent / "shared" / "cases"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the repository"),
]

WHOLE = r"data: 360 interactions of 30 users with 20 items, 2024-01-01 to 2024-02-29\n"
COMPLETE = r"(?m)^ *1 +\d+ .* complete "
REFUSED = r"[1-9] problem"
#: What `run.sh` of each case prints, as regular expressions. One that begins with ``!`` must not be printed.
EXPECTED: dict[str, tuple[str, ...]] = {
    "01_chunked_csv_ids": (COMPLETE, r"exported|written|model"),
    "02_leading_zero_ids": (WHOLE, COMPLETE, r"(?m)^0007,.*\n0007,"),
    "03_trailing_comma": (REFUSED, r"the row ends with ',' and the header does not"),
    "04_nullable_ids": (WHOLE, COMPLETE),
    "04b_string_ids": (WHOLE, COMPLETE),
    "06_na_like_ids": (WHOLE, COMPLETE),
    "07_export_before_holdout_duplicates": (COMPLETE, r"fitting on [\d,]+ interactions"),
    "08_newer_interactions_policy": (COMPLETE, r"(?m)^SAME$"),
    "11_one_date_in_the_future": (r"warning: .*in the future in 1 of 360 rows", r"has 1 of 360 interactions"),
    "12_slurm_ntasks": (COMPLETE, r"SASRecModel", r"!failed"),
    "14_binary_ids": (REFUSED, r"for UUIDs, str\(uuid\)"),
    "15_nested_ids": (REFUSED, r"(?s)one interaction a row.*one interaction a row", r"!rc=0"),
    "16_fold_numbers": (
        r"folds\.seed: must be at least 0, but got -1",
        r"folds\.n_folds: .*100,000 folds",
        r"folds\.holdout: .*999999 days, has all 360",
    ),
    "18_holdout_takes_all": (REFUSED, r"the newest 7 days, has all 360 interactions", r"last_n"),
    "19_ids_with_spaces": (COMPLETE, r"(?m)^ u1 ,.*", r"rc=0"),
    "20_datetime_dialects": (COMPLETE, r"`datetime: ", r"delimiter: ';'", r"unix_us"),
    "22_brute_force_float": (REFUSED, r"brute_force", r"!another name"),
    "23_zero_weights": (REFUSED, r"weights must be above 0, but 'rating' is not in 288 of 360 rows"),
}

#: Cases that are refused before a trial is stored.
NOTHING_SPENT = {case for case, patterns in EXPECTED.items() if REFUSED in patterns} | {"16_fold_numbers"}

Ran = Callable[[str], str]


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """Run the script of a case in a copy of its folder; return all that it printed."""

    def run(case: str) -> str:
        shutil.copytree(CASES / case, tmp_path, dirs_exist_ok=True)
        script = tmp_path / "run.sh"
        script.chmod(0o755)
        tuner = tmp_path / "tuner"
        tuner.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tuner.cli "$@"\n', encoding="utf-8")
        tuner.chmod(0o755)
        done = subprocess.run(
            ["bash", "run.sh"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PY": sys.executable,
                "TUNER": str(tuner),
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=840,
            check=False,
        )
        (tmp_path / "printed").write_text(done.stdout, encoding="utf-8")
        return done.stdout

    return run


def test_every_case_has_its_expectation() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in CASES.iterdir() if (path / "run.sh").exists())


@pytest.mark.parametrize("case", EXPECTED)
def test_a_case_gives_what_its_note_asks_for(case: str, ran: Ran, tmp_path: Path) -> None:
    printed = ran(case)
    assert "Traceback" not in printed
    for pattern in EXPECTED[case]:
        found = re.search(pattern.removeprefix("!"), printed)
        assert (found is None) == pattern.startswith("!"), f"{pattern} in:\n{printed}"
    begun = any(store_exists(folder) for folder in (tmp_path / "studies").glob("*"))
    assert begun == (case not in NOTHING_SPENT), printed
    if case == "01_chunked_csv_ids":
        written = pd.read_csv(tmp_path / "i.csv", dtype=str)
        assert f" with {written['item_id'].nunique()} items, " in printed
    if case == "07_export_before_holdout_duplicates":
        (judged,) = set(re.findall(r"holdout: .*, ([\d,]+) train interactions", printed))
        assert f"fitting on {judged} interactions" in printed, "as many as `final` fits on"
