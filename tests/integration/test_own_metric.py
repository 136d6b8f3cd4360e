"""A metric of the user's own file, from the search on two workers to the final judgement. With real Ray."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from tests.integration.conftest import STUDY, Small, write_interactions
from tuner.artifacts.user_values import read_users
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]

#: The example of docs/search.md, and a metric without values by user.
PAGE = Path(__file__).parents[2] / "docs" / "search.md"
SHARE = """

class Share:
    def __init__(self, k, of=()):
        self.k, self.of = k, set(of)

    def calc(self, reco):
        return float(reco.loc[reco["rank"] <= self.k, "item_id"].isin(self.of).mean())
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, str]:
    """Return a finished study whose objective is the user's metric, and what the run printed."""
    folder = tmp_path_factory.mktemp("own")
    write_interactions(folder / "clicks.csv")
    clicks = pd.read_csv(folder / "clicks.csv")
    assert 3 in set(clicks["item_id"])
    example = re.search(r"```python\n# my_metrics.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    (folder / "my_metrics.py").write_text(textwrap.dedent(example[1]) + SHARE)
    head, _, tail = STUDY.partition("metrics:")
    tail = tail[tail.index("space:") :].replace(
        "stopping: false", "stopping: {halving: false, race: {z: 1.0}}"
    )
    metrics = """metrics:
  objective: my_metrics.RarityHit@10
  direction: maximize
  report: [HitRate@10, DebiasedNDCG@10, {my_metrics.Share@10: {of: [3, 4]}}]
"""
    rest = "resources: {concurrency: 2}\nfinal: {top: 2, seeds: 1}\n"
    (folder / "study.yaml").write_text(head + metrics + tail + rest)
    small = Small(folder)
    ran = small.tuner("run", "study.yaml")
    assert ran.returncode == 0, ran.stderr
    return small, ran.stdout + ran.stderr


def test_the_leaderboard_ranks_by_it(searched: tuple[Small, str]):
    small, said = searched
    board = load_leaderboard(small.results)
    assert board.objective == "RarityHit@10"
    done = [row for row in board.rows if row.status.name == "COMPLETE"]
    assert done
    assert "RarityHit@10" in said
    shown = json.loads(small.tuner("leaderboard", "studies/small", "--format", "json").stdout)
    assert "Share@10" in json.dumps(shown)


def test_the_race_has_its_values_by_user(searched: tuple[Small, str]):
    small, _ = searched
    board = load_leaderboard(small.results)
    users = [users for row in board.rows for users in read_users(small.results, row.record.number)]
    assert {one.fold for one in users} == {0, 1}
    assert all((one.values >= 0).all() and (one.values <= 1).all() for one in users)


def test_the_final_judgement_has_it_with_an_interval(searched: tuple[Small, str]):
    small, _ = searched
    final = read_final(small.results)
    assert final is not None
    assert all("RarityHit@10" in row.metrics for row in final.rows)
    assert all("RarityHit@10" in row.intervals for row in final.rows)
    assert all("Share@10" not in row.intervals for row in final.rows)


def test_the_report_shows_it(searched: tuple[Small, str]):
    small, _ = searched
    made = small.tuner("report", "studies/small")
    assert made.returncode == 0, made.stderr
    assert "RarityHit@10" in (small.results / "report.html").read_text()
