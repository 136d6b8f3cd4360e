"""The client of a cluster, as far as it needs none; with one: tests/cluster."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from ray.job_submission import JobStatus
from rectools.dataset import Dataset

from tuner.artifacts.layout import FETCHED
from tuner.cli import main
from tuner.cluster import working_folder as parcel
from tuner.cluster.archive import pack_folder, unpack_folder
from tuner.cluster.connection import connect
from tuner.cluster.follow import Printer
from tuner.cluster.job_output import BEGIN, ENDS, RESULT, RESULT_ENDS
from tuner.cluster.on_head import read_arguments as on_head_arguments
from tuner.cluster.preflight import check_results
from tuner.cluster.submit import command, find_job
from tuner.cluster.version_check import check_versions, deciding_versions
from tuner.cluster.working_folder import pack
from tuner.cluster.written_study import written_study
from tuner.config import Study, study_from_mapping
from tuner.errors import ClusterError, StudyError
from tuner.space import Space

PLAIN = {
    "study": "shop",
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": "NDCG@10", "direction": "maximize"},
    "space": {"use": "search_spaces.guide"},
}


def study(interactions: object) -> Study:
    return study_from_mapping({**PLAIN, "data": {"interactions": interactions}})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    here = tmp_path / "here"
    for name in ("shop.yaml", "own.py", "data/clicks.csv", "studies/shop/journal.log", ".venv/pyvenv.cfg"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("text")
    (here / ".gitignore").write_text("/data/\n")
    monkeypatch.chdir(here)
    return here


def test_what_git_ignores_stays_but_for_the_data(folder: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    (folder / ".git" / "info" / "exclude").write_text(".venv\n")
    sent = pack(folder / "shop.yaml", study("s3://bucket/clicks.csv"))
    assert set(sent.files) == {"shop.yaml", "own.py"}
    sent = pack(folder / "shop.yaml", study("data/clicks.csv"))
    assert set(sent.files) == {"shop.yaml", "own.py", "data/clicks.csv"}
    assert sent.overrides == ("data.interactions=data/clicks.csv",)


#: Names of files that hold secrets, or are hidden.
SECRETS = (
    ".env",
    ".aws/credentials",
    ".ssh/id_ed25519",
    "deploy/.netrc",
    "deploy/Server.PEM",
    "id_rsa",
    "keys/tls.key",
    "my-service-account.json",
    "prod.env",
    "secrets.yaml",
    "secrets/db.txt",
    "terraform.tfstate",
)


@pytest.mark.parametrize("in_git", [True, False])
def test_secrets_are_not_sent_although_git_tracks_them(folder: Path, capsys, in_git: bool) -> None:
    for name in SECRETS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("s3cret")
    package = folder.parent / "mine"
    for name in ("__init__.py", "token.key", ".env"):
        package.mkdir(exist_ok=True)
        (package / name).write_text("text")
    if in_git:
        subprocess.run("git init -q && rm .gitignore && git add -f .", shell=True, check=True)
    sent = pack(folder / "shop.yaml", study("/on/the/head.csv"), [str(package)])
    assert {name for name in sent.files if not name.startswith(("data", "studies", ".venv"))} == {
        "shop.yaml",
        "own.py",
        "mine/__init__.py",
    }
    hidden = [name for name in SECRETS if in_git or not name.startswith((".aws", ".ssh"))]
    assert set(hidden) <= set(sent.left_out)


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(folder: Path, capsys) -> None:
    (folder / ".env").write_text("s3cret")
    (folder / "queue.py").write_text("")
    plain = {**PLAIN, "data": {"interactions": "data/clicks.csv"}, "baselines": ["popular"]}
    (folder / "shop.yaml").write_text(yaml.safe_dump(plain))
    assert main(["submit", "shop.yaml", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()[:4]] == [
        "data/clicks.csv",
        "own.py",
        "queue.py",
        "shop.yaml",
    ]
    assert "left out  .env" in out
    assert out.splitlines()[-1].startswith("4 files, ")
    assert "warning: queue.py has the name of a module of Python" in err


def test_data_of_several_files_are_sent(folder: Path, tmp_path: Path) -> None:
    for name in (
        "there/a/part.csv",
        "there/b/part.csv",
        "parts.parquet/day=1/p.parquet",
        "parts.parquet/_SUCCESS",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    given = [
        "data/clicks.csv",
        "s3://bucket/x.csv",
        f"{tmp_path}/there/*/part.csv",
        f"{tmp_path}/parts.parquet",
    ]
    sent = pack(folder / "shop.yaml", study(given))
    (override,) = sent.overrides
    places = json.loads(override.removeprefix("data.interactions="))
    assert places[:3] == ["data/clicks.csv", "s3://bucket/x.csv", "_data/part.csv"]
    assert sent.files[places[3]].read_text() == "there/b/part.csv"
    assert places[4] == "_data/parts.parquet"
    assert {"_data/parts.parquet/day=1/p.parquet", "_data/parts.parquet/_SUCCESS"} <= set(sent.files)


def test_without_git_hidden_folders_and_results_stay(folder: Path) -> None:
    sent = pack(folder / "shop.yaml", study("/on/the/head.csv"))
    assert set(sent.files) == {"shop.yaml", "own.py", "data/clicks.csv"}
    assert sent.overrides == (), "an absolute path that is not here is one on the head"


def test_files_from_elsewhere_are_inside_the_parcel(folder: Path, tmp_path: Path) -> None:
    for name in ("far.csv", "lib/other.py", "package/__init__.py", "package/part.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    modules = [str(tmp_path / "lib" / "other.py"), str(tmp_path / "package")]
    sent = pack(folder / "shop.yaml", study(str(tmp_path / "far.csv")), modules)
    assert {"other.py", "package/__init__.py", "package/part.py", "_data/far.csv"} <= set(sent.files)
    assert sent.overrides == ("data.interactions=_data/far.csv",)
    sent.write(tmp_path / "there")
    assert (tmp_path / "there" / "_data" / "far.csv").read_text() == "text"


def test_too_much_is_refused_with_the_largest_files(folder: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(parcel, "DATA_LIMIT", 3)
        with pytest.raises(StudyError, match=r"data.interactions: must have at most"):
            pack(folder / "shop.yaml", study("data/clicks.csv"))
    monkeypatch.setattr(parcel, "PARCEL_LIMIT", 3)
    with pytest.raises(StudyError, match=r"the largest are (shop.yaml|own.py|data/clicks.csv)"):
        pack(folder / "shop.yaml", study("data/clicks.csv"))


def test_a_relative_path_that_does_not_exist_is_reported(folder: Path) -> None:
    with pytest.raises(StudyError, match="must be a file here, a URL, or an absolute path on the cluster"):
        pack(folder / "shop.yaml", study("nowhere.csv"))


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://head:10001", "http://", "http://host:port"])
def test_an_address_is_a_url(address: str) -> None:
    with pytest.raises(ClusterError, match="must be the URL of a cluster's dashboard"):
        connect(address)


def test_an_address_where_nothing_listens_is_reported() -> None:
    with pytest.raises(ClusterError, match=r"must be a cluster that can be reached(.|\n)*ray dashboard"):
        connect("http://127.0.0.1:1")


def test_versions_must_agree() -> None:
    check_versions(deciding_versions(), "here")
    with pytest.raises(ClusterError, match=r"rectools: must be one version .* is 0.18.0 where"):
        check_versions({**deciding_versions(), "rectools": "0.18.0"}, "here")


class _Jobs:
    """What a cluster lists of its jobs."""

    def __init__(self, *jobs: SimpleNamespace) -> None:
        self.jobs = jobs

    def list_jobs(self) -> tuple[SimpleNamespace, ...]:
        return self.jobs


def job(number: int, results: str, exit_code: int) -> SimpleNamespace:
    metadata = {"tuner_study": "shop", "tuner_results": results}
    return SimpleNamespace(
        submission_id=f"shop-{number}",
        metadata=metadata,
        status=JobStatus.SUCCEEDED if exit_code == 0 else JobStatus.FAILED,
        start_time=number,
        driver_exit_code=exit_code,
    )


def test_a_refused_job_does_not_say_where_the_results_are() -> None:
    done, refused = job(1, "/good", 0), job(2, "/bad", 2)
    assert find_job(_Jobs(done, refused), "shop").results == "/bad", "it is the newest"
    assert find_job(_Jobs(done, refused), "shop", with_results=True).results == "/good"
    assert find_job(_Jobs(refused), "shop", with_results=True).refused


def test_results_have_to_have_a_folder_that_can_be_written(tmp_path: Path) -> None:
    check_results(tmp_path / "studies" / "shop")
    assert list((tmp_path / "studies" / "shop").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="the cluster's head can write") as raised:
        check_results(tmp_path / "file" / "shop")
    assert "output" in str(raised.value)


def test_a_folder_goes_and_comes(tmp_path: Path) -> None:
    study, work = tmp_path / "study", tmp_path / "work"
    (study / "logs").mkdir(parents=True)
    work.mkdir()
    for name in ("journal.log", "logs/driver.log", ".lock", "half.tmp"):
        (study / name).write_text(name)
    target = tmp_path / "target"
    for _ in range(2):
        pack_folder(study, work / "archive.tar.gz")
        unpack_folder(work / "archive.tar.gz", target, source="http://head")
        names = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
        assert names == {"journal.log", "logs/driver.log", FETCHED}


def test_progress_goes_to_stderr_the_result_to_stdout_and_nothing_twice(capsys) -> None:
    said = f"ray speaks\n{BEGIN}\nfold 1\n{RESULT}\nrank\n{RESULT_ENDS}\nlast\n"
    printer = Printer()
    for piece in (said[:20], said[20:45], said[45:]):
        printer.take(piece)
    printer.reconnected()
    printer.take(f"{said}news\n")
    assert not printer.ended
    printer.take(f"{ENDS}\n")
    assert printer.ended
    out, err = capsys.readouterr()
    assert out == "rank\n"
    assert err == "fold 1\nlast\nnews\n"
    assert printer.before[0] == "ray speaks"


def test_a_job_has_the_changes_and_the_profile_of_the_command(folder: Path) -> None:
    sent = replace(pack(folder / "shop.yaml", study("data/clicks.csv")), modules=("own", "rectools"))
    words = command(sent, ["search.trials=3"], "cluster", "~/studies")
    assert words[:4] == ["python", "-um", "tuner.cluster.on_head", "run"]
    given = on_head_arguments(words[3:])
    assert (given.study, given.profile, given.output) == (Path("shop.yaml"), "cluster", "~/studies")
    assert given.set == ["search.trials=3", "data.interactions=data/clicks.csv"]
    assert given.client == deciding_versions()
    assert given.modules == ["own", "rectools"]
    assert on_head_arguments(command(sent, [], None, "x")[3:]).profile is None


def test_a_study_of_a_notebook_is_sent_with_its_data(folder: Path, tmp_path: Path) -> None:
    """A study made in Python has no file, and its data may be in memory."""
    table = pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "datetime": ["2024-01-01"] * 2, "x": 1})
    made = study(table).model_copy(update={"space": Space({"cls": "EASEModel"})})
    with written_study(made) as path:
        parcel = pack(path, Study.load(path))
        parcel.write(tmp_path / "sent")
        assert set(parcel.files) == {path.name, "interactions.parquet"}
    sent = pd.read_parquet(tmp_path / "sent" / "interactions.parquet")
    pd.testing.assert_frame_equal(sent, table.drop(columns="x"))
    assert parcel.overrides == ("data.interactions=interactions.parquet",)
    with written_study(folder / "shop.yaml") as path:
        assert path == folder / "shop.yaml", "a file is sent as it is"
    dataset = study(Dataset.construct(table.assign(weight=1)))
    with pytest.raises(StudyError, match="must be a table or a file to be sent"), written_study(dataset):
        pass
