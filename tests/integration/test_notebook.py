"""Notebooks in a real kernel: the examples run; a stopped search is continued by the same call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PATIENCE, write_interactions
from tuner.store import read_records
from tuner.trials.status import TrialStatus

pytest.importorskip("ipykernel", reason="needs the extra notebook")
nbformat = pytest.importorskip("nbformat", reason="needs the extra notebook")

ROOT = Path(__file__).parents[2]
#: What makes an example shorter here; with its own numbers it made the outputs that are committed.
LESS = {
    "quickstart": {
        "n_items, n_events = 400, 80, 16": "n_items, n_events = 100, 80, 16",
        '"trials": 6': '"trials": 2',
        '"epochs": 6': '"epochs": 2',
        '"concurrency": 2': '"concurrency": 1',
        "top=2, seeds=3": "top=1, seeds=1",
    }
}
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))

SETUP = """
import warnings
warnings.simplefilter("ignore")
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers
from tuner import Choice, Space, Study, run

FACTOR = 2.0

class Scaled(SASRecTransformerLayers):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs) / FACTOR

def study(trials):
    return Study(
        study="cells",
        data={"interactions": "clicks.csv"},
        folds={"split": "last_n", "size": 1, "filter_viewed": False},
        metrics={"objective": "NDCG@10", "direction": "maximize"},
        space=Space(
            {
                "cls": "SASRecModel", "n_factors": Choice(8, 16, 24), "n_blocks": Choice(1, 2), "n_heads": 1,
                "session_max_len": 8, "batch_size": 32, "transformer_layers_type": Choice(Scaled),
                "lr": Choice(*(rate / 1000 for rate in range(1, 40))),
            }
        ),
        baselines=["popular"],
        search={"trials": trials, "seed": 1},
        training={"epochs": 3},
        stopping=False,
        resources={"concurrency": 2},
    )
"""


class Kernel:
    """A kernel of Python, and what its cells put out."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str, seen: Callable[[str], None] = lambda html: None) -> list[dict[str, Any]]:
        """Run a cell; return its outputs, each update of one too."""
        asked = self.client.execute(textwrap.dedent(code))
        outputs: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            outputs.append({"kind": kind, **content})
            seen(str(content.get("data", {}).get("text/html", "")))

    def value(self, code: str) -> str:
        """Return what a cell prints."""
        outputs = self.run(code)
        assert [one for one in outputs if one["kind"] == "error"] == []
        return "".join(one["text"] for one in outputs if one["kind"] == "stream").strip()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    write_interactions(tmp_path / "clicks.csv")
    found = Kernel(tmp_path)
    yield found
    found.close()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_a_search_is_stopped_continued_in_the_background_and_exported_elsewhere(
    kernel: Kernel, tmp_path: Path
) -> None:
    assert kernel.value(SETUP) == ""
    stopped: list[str] = []

    def stop(html: str) -> None:
        if not stopped and "trial 1 SASRecModel" in html:
            stopped.append(html)
            kernel.manager.interrupt_kernel()

    outputs = kernel.run("board = run(study(200))", stop)
    assert stopped, "the cell shows a trial that has ended"
    kinds = [one["kind"] for one in outputs]
    assert kinds.count("display_data") == 1, "one output, whose content is replaced"
    assert kinds.count("update_display_data") >= 1
    (error,) = [one for one in outputs if one["kind"] == "error"]
    assert error["ename"] == "InterruptedSearchError"
    assert error["traceback"] == [
        "InterruptedSearchError: interrupted; finished trials are kept\n  call run(study) again to continue"
    ]
    done = read_records(tmp_path / "studies" / "cells").records
    kept = [record.number for record in done if record.status == TrialStatus.COMPLETE]
    assert len(kept) >= 1

    assert kernel.value("import asyncio; await asyncio.sleep(0); print('alive')") == "alive"
    # What the run prints may come into any of these cells.
    assert "running" in kernel.value("going = run(study(200), background=True); print(going.status())")
    assert "<run of cells: running" in kernel.value("print(repr(going))")
    kernel.run("stopped = going.stop()")
    assert "interrupted" in kernel.value("print(going.status())")
    n_ended = int(kernel.value("print(sum(row.status.has_ended for row in stopped.rows))"))
    assert n_ended >= len(kept)

    last = kernel.run(f"board = run(study({n_ended + 1})); board")[-1]
    assert last["kind"] == "execute_result"
    assert len(last["data"]["text/plain"].splitlines()) <= 40
    assert "<table>" in last["data"]["text/html"]
    recommended = kernel.value(
        "made = board.best_searched.load_model()\n"
        "from tuner import export, recommend\n"
        "export(board, 'best:searched', to='here')\n"
        "print(recommend('here', ['u1', 'u2'], k=3)['item_id'].tolist())"
    )
    code = (
        "import tuner; tuner.export('cells', 'best:searched', to='there'); "
        "print(tuner.recommend('there', ['u1', 'u2'], k=3)['item_id'].tolist())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == json.loads(recommended.splitlines()[-1])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_ran(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"] == []
    assert sum("text/html" in one.get("data", {}) for one in outputs) > 3
    text = path.read_text(encoding="utf-8")
    assert "data:image/png" in text, "charts are seen where no script runs"
    assert len(text) < 1_000_000
    assert "/home/" not in text
    assert "/tmp/" not in text


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", ["quickstart", pytest.param("guide", marks=pytest.mark.timeout(1200))])
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    for much, little in LESS.get(name, {}).items():
        (cell,) = [one for one in book.cells if one.cell_type == "code" and much in one.source]
        cell.source = cell.source.replace(much, little)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=1000, kernel_name="python3", resources=resources).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert any("tuner-cell" in one.get("data", {}).get("text/html", "") for one in shown)
    assert read_records(tmp_path / "studies" / name).attributes, "it was judged"
