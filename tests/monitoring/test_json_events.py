"""The events of a run as JSON lines: what they contain, where they are written, and a reader that ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.finished import ROOT
from tuner.errors import StudyError
from tuner.monitoring.json_events import KINDS, SCHEMA, Events, events_to
from tuner.store import read_records
from tuner.trials.messages import Job
from tuner.trials.records import Evaluation

JOB = Job(1, {"cls": "SASRecModel", "item_net_block_types": ("a", "b")}, (1, 2), "sasrec")


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_tells_all_that_the_store_holds(finished_shop: Path) -> None:
    events = read(finished_shop / "events.jsonl")
    assert all(set(event) == {"event", "time", *KINDS[str(event["event"])]} for event in events)
    first, *between, last = events
    assert (first["event"], first["schema"], first["study"]) == ("study", SCHEMA, "shop")
    assert (first["trials"], first["ended"], first["n_folds"]) == (7, 0, 2)
    assert (last["event"], last["reason"]) == ("ended", "search.trials")
    assert {event["event"] for event in between} <= {"started", "evaluated", "paused", "finished", "stopped"}
    for record in read_records(finished_shop / "studies" / "shop").records:
        mine = [event for event in between if event["trial"] == record.number]
        assert [event["event"] for event in mine[:1]] == ["started"]
        assert mine[0]["label"] == record.label
        # Folds may run at once, and a trial that continues tells again what it had told.
        evaluated = {(e["fold"], e["epoch"]): e for e in mine if e["event"] == "evaluated"}
        assert {at: (e["metrics"], e["learning_rate"]) for at, e in evaluated.items()} == {
            (e.fold + 1, e.epoch): (dict(e.metrics), e.learning_rate) for e in record.evaluations
        }
        if record.summary:
            assert (mine[-1]["event"], mine[-1]["mean"]) == ("finished", record.summary.mean)
        else:
            assert record.stop is not None
            assert (mine[-1]["event"], mine[-1]["rule"]) == ("stopped", record.stop.rule)


def test_the_page_has_every_kind_with_its_keys() -> None:
    page = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    shown = [json.loads(line) for line in block.splitlines()]
    assert [event["event"] for event in shown] == list(KINDS)
    for event in shown:
        assert set(event) == {"event", "time", *KINDS[event["event"]]}
        (row,) = re.findall(rf"^\| `{event['event']}` \|.*\|$", page, re.MULTILINE)
        assert set(KINDS[event["event"]]) <= set(re.findall(r"`(\w+)`", row))


def test_a_file_is_added_to_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with events_to(str(path)) as events:
            assert events is not None
            events.started(JOB, again=False)
            assert read(path)[-1]["params"] == {"cls": "SASRecModel", "item_net_block_types": ["a", "b"]}
    assert len(read(path)) == 2


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="must be a file that can be written"), events_to(str(tmp_path)):
        pass


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; "
        "from tuner.monitoring.json_events import events_to; from tuner.trials.messages import Job\n"
        "with events_to('-') as events:\n"
        "    for number in range(2000):\n"
        "        events.started(Job(number, {}, (), 'x' * 99), again=False)\n"
        "print('went on', file=sys.stderr)\n"
    )
    done = subprocess.run(
        f'{sys.executable} -c "$CODE" | head -n 1',
        shell=True,
        env={"CODE": code, "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["trial"] == 0
    assert done.stderr == "events can no longer be written: [Errno 32] Broken pipe\nwent on\n"


def test_an_event_has_only_the_keys_of_its_schema(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("w") as stream,
        pytest.raises(AssertionError, match="differ from its schema"),
    ):
        Events(stream).study(study="shop")
    with (tmp_path / "out").open("w+") as stream:
        Events(stream).evaluated(JOB, Evaluation(1, 2, {"MAP@10": 0.5}, learning_rate=0.25))
        Events(stream).fold_lost(JOB, 1, "its worker died")
        Events(stream).interrupted(JOB, "its machine was lost")
        stream.seek(0)
        event, lost, interrupted = map(json.loads, stream)
    assert (event["fold"], event["epoch"], event["learning_rate"]) == (2, 2, 0.25)
    assert (lost["trial"], lost["fold"], lost["why"]) == (1, 2, "its worker died")
    assert (interrupted["trial"], interrupted["why"]) == (1, "its machine was lost")
