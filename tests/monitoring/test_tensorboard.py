"""What the observer writes, read back with TensorBoard's own readers, its server and a browser."""

import base64
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups, metadata
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as GetExperiment

from tuner.monitoring.tensorboard import TensorBoardWriter
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation

ROOT = Path(__file__).resolve().parents[2]
HALVED = {"value": 0.1, "place": 3, "n_trials": 4, "rung": 2, "kept": 2}
NET_BLOCKS = "rectools.models.nn.transformers.net_blocks"
ITEM_NET = "rectools.models.nn.item_net"


def sasrec(**params):
    return {
        "cls": "SASRecModel",
        "n_factors": 64,
        "lr": 0.5,
        "use_pos_emb": True,
        "get_val_mask_func": None,
        "recommend_batch_size": "v1.5 or so",
        "item_net_block_types": (f"{ITEM_NET}.IdEmbeddingsItemNet", f"{ITEM_NET}.CatFeaturesItemNet"),
        **params,
    }


POPULAR = Job(0, {"cls": "PopularModel", "popularity": "n_users"}, (1, 2), "popular")
PRE_LN = Job(
    1,
    sasrec(
        n_factors=32,
        transformer_layers_type=f"{NET_BLOCKS}.PreLNTransformerLayers",
        **{"transformer_layers_kwargs.ff_factors_multiplier": 2},
    ),
    (1, 2),
    "SASRecModel",
)
ALBERT = Job(
    2,
    sasrec(
        transformer_layers_type="search_spaces.albert.AlbertLayers",
        **{"transformer_layers_kwargs.n_hidden_groups": 1},
    ),
    (1, 2),
    "SASRecModel",
)
BROKEN = Job(3, sasrec(lr=0.25), (1, 2), "SASRecModel")


def evaluations(number, epochs):
    """Values that a 32-bit float holds exactly; better in the last epoch, and in the second fold."""
    return [
        Evaluation(
            fold,
            epoch,
            {"MAP@10": epoch / 32, "NDCG@10": (number + epoch + fold) / 16, "Recall@10": epoch / 8},
            train_loss=4.0 / epoch if epoch else None,
            fit_seconds=epoch + 0.5,
            n_parameters=1024 if epoch else None,
        )
        for fold in range(2)
        for epoch in epochs
    ]


def new_writer(folder):
    return TensorBoardWriter(folder, objective="NDCG@10", direction="maximize")


def run_trial(writer, job, epochs, *, again=False):
    writer.started(job, again=again)
    reports = evaluations(job.number, epochs)
    for report in reports:
        writer.evaluated(job, report)
    writer.finished(job, summarise(reports, "NDCG@10", "maximize"), 3.0)


def write_trials(folder):
    """Write three finished trials and a failed one."""
    writer = new_writer(folder)
    run_trial(writer, POPULAR, [0])
    run_trial(writer, PRE_LN, [1, 2])
    run_trial(writer, ALBERT, [1, 2])
    writer.started(BROKEN, again=False)
    writer.failed(BROKEN, "RuntimeError: CUDA out of memory", "logs/trial-0003.log")
    writer.close()
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_trials(tmp_path / "tensorboard")


def read(run):
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def points(accumulator, tag):
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def hparams(accumulator):
    content = accumulator.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in values.items()}


def status(accumulator):
    content = accumulator.PluginTagToContent(metadata.PLUGIN_NAME).get(metadata.SESSION_END_INFO_TAG)
    return content and api_pb2.Status.Name(metadata.parse_session_end_info_plugin_data(content).status)


def hparams_page(logdir):
    """Return what the server's HParams plugin answers: names of params, tags of metrics, rows."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(logdir))))
    experiment = GetExperiment(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    everything = api_pb2.ListSessionGroupsRequest(allowed_statuses=api_pb2.Status.values(), slice_size=100)
    groups = list_session_groups.Handler(RequestContext(), context, "", everything).run().session_groups
    return (
        [info.name for info in experiment.hparam_infos],
        [info.name.tag for info in experiment.metric_infos],
        {group.name: group for group in groups},
    )


def test_importing_it_is_cheap():
    code = (
        "import sys; "
        "from pathlib import Path; from tuner.monitoring.tensorboard import TensorBoardWriter as Writer\n"
        "Writer(Path('nowhere'), objective='MAP@10', direction='maximize')\n"
        "print(sorted({'torch', 'ray', 'rectools', 'tensorboard', 'tensorboardX'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_written_before_the_first_trial(tmp_path):
    new_writer(tmp_path / "tensorboard").close()
    assert not (tmp_path / "tensorboard").exists()


def test_curves_are_written_by_fold_and_epoch(folder):
    run = read(folder / "0001-SASRecModel")
    assert points(run, "fold1/NDCG@10") == [(1, 2 / 16), (2, 3 / 16)]
    assert points(run, "fold2/NDCG@10") == [(1, 3 / 16), (2, 4 / 16)]
    assert points(run, "fold1/MAP@10") == points(run, "fold2/MAP@10") == [(1, 1 / 32), (2, 2 / 32)]
    assert points(run, "fold2/train_loss") == [(1, 4.0), (2, 2.0)]
    assert points(run, "fold1/fit_seconds") == [(1, 1.5), (2, 2.5)]


def test_results_stand_at_the_best_epoch(folder):
    run = read(folder / "0001-SASRecModel")
    assert points(run, "fold mean (maximize)/NDCG@10") == [(2, 3.5 / 16)]
    assert points(run, "fold std/NDCG@10") == [(2, pytest.approx(2**-0.5 / 16))]
    assert points(run, "fold mean/Recall@10") == [(2, 0.25)]
    assert points(run, "parameters") == [(2, 1024.0)]


def test_a_model_without_epochs_has_its_points_at_zero(folder):
    run = read(folder / "0000-popular")
    assert points(run, "fold2/NDCG@10") == [(0, 1 / 16)]
    assert points(run, "fold mean (maximize)/NDCG@10") == [(0, 0.5 / 16)]
    assert not {"fold1/train_loss", "parameters"} & set(run.Tags()["scalars"])


def test_hparams_are_plain_and_only_those_of_the_trial(folder):
    popular = {"name": "popular", "cls": "PopularModel", "popularity": "n_users"}
    assert hparams(read(folder / "0000-popular")) == popular
    common = {
        "name": "SASRecModel",
        "cls": "SASRecModel",
        "use_pos_emb": True,
        "get_val_mask_func": "None",
        "recommend_batch_size": "v1.5 or so",
        "item_net_block_types": "IdEmbeddingsItemNet, CatFeaturesItemNet",
    }
    assert hparams(read(folder / "0001-SASRecModel")) == {
        **common,
        "n_factors": 32.0,
        "lr": 0.5,
        "transformer_layers_type": "PreLNTransformerLayers",
        "transformer_layers_kwargs.ff_factors_multiplier": 2.0,
    }
    assert hparams(read(folder / "0002-SASRecModel")) == {
        **common,
        "n_factors": 64.0,
        "lr": 0.5,
        "transformer_layers_type": "AlbertLayers",
        "transformer_layers_kwargs.n_hidden_groups": 1.0,
    }


def test_the_end_of_a_trial_has_its_status_and_a_failure_its_cause(folder):
    assert status(read(folder / "0001-SASRecModel")) == "STATUS_SUCCESS"
    broken = read(folder / "0003-SASRecModel")
    assert status(broken) == "STATUS_FAILURE"
    (text,) = broken.Tensors("failure")
    (shown,) = text.tensor_proto.string_val
    assert b"CUDA out of memory" in shown
    assert b"logs/trial-0003.log" in shown


def test_the_table_has_params_of_all_trials_and_results_first(folder):
    params, metrics, rows = hparams_page(folder)
    differing = ["cls", "lr", "n_factors", "name", "transformer_layers_type"]
    assert params[: len(differing)] == differing
    assert {
        "popularity",
        "transformer_layers_kwargs.ff_factors_multiplier",
        "transformer_layers_kwargs.n_hidden_groups",
    } <= set(params)
    assert metrics[:4] == [
        "fold mean (maximize)/NDCG@10",
        "fold mean/MAP@10",
        "fold mean/Recall@10",
        "fold std/NDCG@10",
    ]
    assert list(rows) == ["0000-popular", "0001-SASRecModel", "0002-SASRecModel", "0003-SASRecModel"]
    values = {metric.name.tag: metric.value for metric in rows["0002-SASRecModel"].metric_values}
    assert values["fold mean (maximize)/NDCG@10"] == 4.5 / 16
    assert not rows["0003-SASRecModel"].metric_values
    assert rows["0003-SASRecModel"].hparams["lr"].number_value == 0.25


def test_studies_side_by_side_keep_their_rows_and_columns_apart(tmp_path):
    other = Job(0, {"cls": "EASEModel", "regularization": 2.0}, (1, 2), "popular")
    run_trial(new_writer(tmp_path / "a"), POPULAR, [0])
    run_trial(new_writer(tmp_path / "b"), other, [0])
    params, _, rows = hparams_page(tmp_path)
    assert sorted(params) == ["cls", "name", "popularity", "regularization"]
    assert sorted(rows) == ["a/0000-popular", "b/0000-popular"]


@pytest.mark.parametrize("crashed", [True, False], ids=["search crashed", "worker lost"])
def test_a_trial_begun_again_leaves_one_curve(tmp_path, crashed):
    writer = new_writer(tmp_path)
    writer.started(PRE_LN, again=False)
    for report in evaluations(7, [1, 2, 3]):
        writer.evaluated(PRE_LN, report)
    run_trial(new_writer(tmp_path) if crashed else writer, PRE_LN, [1, 2], again=True)
    run = read(tmp_path / "0001-SASRecModel")
    assert points(run, "fold1/NDCG@10") == [(1, 2 / 16), (2, 3 / 16)]
    assert status(run) == "STATUS_SUCCESS"


def test_a_trial_can_be_watched_and_is_readable_after_close(tmp_path):
    writer = new_writer(tmp_path)
    writer.started(PRE_LN, again=False)
    assert hparams(read(tmp_path / "0001-SASRecModel"))["cls"] == "SASRecModel"
    first, second, *_ = evaluations(1, [1, 2])
    writer.evaluated(PRE_LN, first)
    assert points(read(tmp_path / "0001-SASRecModel"), "fold1/NDCG@10") == [(1, 2 / 16)]
    writer.evaluated(PRE_LN, second)
    writer.close()
    run = read(tmp_path / "0001-SASRecModel")
    assert points(run, "fold1/NDCG@10") == [(1, 2 / 16), (2, 3 / 16)]
    assert status(run) is None


SCRIPT = """
import logging, os, resource, signal, sys
from pathlib import Path
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Stop
from tuner.trials.records import Evaluation
from tuner.monitoring.tensorboard import TensorBoardWriter

logging.basicConfig(format="%(levelname)s %(name)s")
writer = TensorBoardWriter(Path(sys.argv[1]), objective="MAP@10", direction="maximize")
job, other = Job(1, {"cls": "SASRecModel"}, (1,), "a"), Job(2, {"cls": "SASRecModel"}, (1,), "b")
"""


def test_a_killed_search_leaves_readable_files(tmp_path):
    code = SCRIPT + (
        "writer.started(job, again=False)\n"
        "writer.evaluated(job, Evaluation(0, 1, {'MAP@10': 0.5}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    run = read(tmp_path / "0001-a")
    assert hparams(run) == {"name": "a", "cls": "SASRecModel"}
    assert points(run, "fold1/MAP@10") == [(1, 0.5)]


def test_a_file_that_cannot_grow_ends_the_curves_and_not_the_search(tmp_path):
    code = SCRIPT + (
        "writer.started(job, again=False)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "reports = [Evaluation(0, epoch, {'MAP@10': epoch / 256}) for epoch in range(256)]\n"
        "for report in reports:\n"
        "    writer.evaluated(job, report)\n"
        "writer.finished(job, summarise(reports, 'MAP@10', 'maximize'), 1.0)\n"
        "writer.started(other, again=False)\n"
        "writer.failed(other, 'cause', 'log')\n"
        "writer.close()\n"
        "print('went on')\n"
    )
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "went on\n"
    assert done.stderr == "WARNING tuner.monitoring.tensorboard\n"
    written = points(read(tmp_path / "0001-a"), "fold1/MAP@10")
    assert written == [(epoch, epoch / 256) for epoch in range(len(written))]
    assert 20 < len(written) < 256


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("not a folder")
    writer = new_writer(tmp_path / "tensorboard")
    with caplog.at_level(logging.WARNING):
        run_trial(writer, PRE_LN, [1])
        run_trial(writer, ALBERT, [1])
        writer.close()
    assert [record.name for record in caplog.records] == ["tuner.monitoring.tensorboard"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("most popular/7 days: 1", "0007-most_popular_7_days_1"),
        ("../x", "0007-.._x"),
        ("ы" * 300, "0007-" + "ы" * 60),
    ],
)
def test_any_label_makes_a_folder_name(tmp_path, label, name):
    run_trial(new_writer(tmp_path), Job(7, {"cls": "PopularModel"}, (1, 2), label), [0])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [name]


@contextmanager
def tensorboard_server(logdir):
    """Give the address of a real TensorBoard on a free port of this machine, once it has read all runs."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--host=127.0.0.1", "--port=0"]
    command += ["--reload_interval=1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            matches = (re.search(r"at (http://\S+)", line) for line in server.stderr)
            address = next(found[1] for found in matches if found)
            runs = sum(path.is_dir() for path in logdir.iterdir())
            until(lambda: len(json.load(urllib.request.urlopen(f"{address}data/runs"))) == runs)
            yield address
        finally:
            server.terminate()


#: Functions for a page whose custom elements hold others: all parts of a node, the first element of a name,
#: and the text as a person sees it.
DEEP = """
    const parts = node => [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes];
    const all = (node, name) => [
        ...(node.nodeName === name ? [node] : []), ...parts(node).flatMap(part => all(part, name))];
    const text = node => node.nodeType === Node.TEXT_NODE ? node.data.trim() + "\\n"
        : ["STYLE", "TEMPLATE"].includes(node.nodeName) ? "" : parts(node).map(text).join("");
    const first = name => all(document.body, name)[0];
"""
TABLE, PANE = "TF-HPARAMS-TABLE-VIEW", "TF-HPARAMS-QUERY-PANE"
CHART = "TF-CUSTOM-SCALAR-MULTI-LINE-CHART-CARD"


class Page:
    """A page in headless Chromium, driven over its debugging pipe: JSON, each message ended by NUL."""

    FLAGS = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--window-size=2200,800", "--remote-debugging-pipe"),
    )

    def __init__(self, process):
        self._process = process
        self._messages = self._read()
        self._n_asked = 0
        (self._session,) = (
            self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
            for target in self.ask("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        )

    @classmethod
    @contextmanager
    def opened(cls, browser, profile, address):
        # The browser listens on descriptor 3 and answers on 4.
        command = ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1', browser, *cls.FLAGS]
        command += [f"--user-data-dir={profile}", address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield cls(process)
            finally:
                process.terminate()

    def ask(self, method, **params):
        self._n_asked += 1
        message = {"id": self._n_asked, "method": method, "params": params}
        if not method.startswith("Target."):
            message["sessionId"] = self._session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        return next(answer["result"] for answer in self._messages if answer.get("id") == self._n_asked)

    def evaluate(self, expression):
        """Return what an expression with the functions of DEEP comes to; None while it fails."""
        code = f"(() => {{{DEEP}; try {{ return {expression}; }} catch {{ return null; }}}})()"
        result = self.ask("Runtime.evaluate", expression=code, returnByValue=True)["result"]
        return result.get("value")

    def table(self):
        """Return the texts of the HParams table."""
        return set((self.evaluate(f'text(first("{TABLE}"))') or "").splitlines()) - {""}

    def rows(self):
        """Return the names of the table's rows in order."""
        return self.evaluate(f'first("{TABLE}").sessionGroups.map(group => group.name)') or []

    def choose(self, item):
        """Click an item of the menus beside the table."""
        found = f'all(first("{PANE}"), "PAPER-ITEM").find(item => text(item).trim() === "{item}")'
        return self.evaluate(f"({found}.click(), true)")

    def screenshot(self):
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])

    def _read(self):
        pause = b""
        while chunk := self._process.stdout.read1(1 << 16):
            *whole, pause = (pause + chunk).split(b"\0")
            yield from map(json.loads, whole)


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return found or pytest.skip("no chromium or google-chrome on the PATH")


@pytest.fixture(scope="module")
def served(tmp_path_factory, browser):
    """Give a folder of trials, the address of a server that reads it, and a page on that."""
    folder = write_trials(tmp_path_factory.mktemp("served") / "tensorboard")
    profile = tmp_path_factory.mktemp("profile")
    with tensorboard_server(folder) as address, Page.opened(browser, profile, f"{address}#hparams") as page:
        yield folder, address, page


OBJECTIVE = "fold mean (maximize)/NDCG@10"


@pytest.mark.browser
def test_the_hparams_page_shows_params_and_results(served, tmp_path):
    folder, address, page = served
    wanted = {
        *("Trial ID", "cls", "lr", "n_factors", "transformer_layers_type"),
        *("fold mean (maximize)/NDCG@10", "fold mean/MAP@10", "fold mean/Recall@10", "fold std/NDCG@10"),
        *("0000-popular", "PopularModel", "0.031250"),
        *("0001-SASRecModel", "PreLNTransformerLayers", "0.21875"),
        *("0002-SASRecModel", "AlbertLayers", "0.28125"),
        *("0003-SASRecModel", "0.25000"),
    }
    until(lambda: wanted <= page.table())
    (tmp_path / "hparams.png").write_bytes(page.screenshot())  # for the eye
    assert wanted - page.table() == set()
    assert page.rows() == ["0000-popular", "0001-SASRecModel", "0002-SASRecModel", "0003-SASRecModel"]
    assert page.choose(OBJECTIVE)
    assert page.choose("Descending")
    best_first = ["0002-SASRecModel", "0001-SASRecModel", "0000-popular", "0003-SASRecModel"]
    until(lambda: page.rows() == best_first)
    assert page.rows() == best_first
    # While the server runs, a trial is interrupted and starts again: there is one curve, the new one.
    run_trial(new_writer(folder), PRE_LN, [1, 2, 3], again=True)
    curve = f"{address}data/plugin/scalars/scalars?run=0001-SASRecModel&tag=fold1%2Ftrain_loss"
    until(lambda: len(json.load(urllib.request.urlopen(curve))) >= 3)
    assert [point[1:] for point in json.load(urllib.request.urlopen(curve))] == [
        [epoch, pytest.approx(4 / epoch)] for epoch in (1, 2, 3)
    ]


@pytest.mark.browser
def test_the_page_of_custom_scalars_opens_on_the_objective(served, tmp_path):
    _, address, page = served
    page.ask("Page.navigate", url=f"{address}?again#custom_scalars")
    charts = f'all(document.body, "{CHART}").length'
    until(lambda: "Matches (6)" in (page.evaluate("text(document.body)") or ""))
    (tmp_path / "custom_scalars.png").write_bytes(page.screenshot())  # for the eye
    assert page.evaluate(charts) == 1
    assert "Matches (6)" in page.evaluate("text(document.body)")  # three trials, two folds
    assert {"objective", "NDCG@10", "training", "memory"} <= set(page.evaluate("text(document.body)").split())
    (first, *_) = json.load(urllib.request.urlopen(f"{address}data/plugin/custom_scalars/layout"))["category"]
    pattern = first["chart"][0]["multiline"]["tag"][0]
    tags = ["fold1/NDCG@10", "fold12/NDCG@10", "fold1/NDCG@100", "fold mean/NDCG@10"]
    assert [tag for tag in tags if re.fullmatch(pattern, tag)] == tags[:2]


def test_a_server_that_has_read_a_trial_drops_it_when_it_is_begun_again(tmp_path):
    writer = new_writer(tmp_path)
    writer.started(PRE_LN, again=False)
    for report in evaluations(7, [1, 2, 3]):
        writer.evaluated(PRE_LN, report)
    served = read(tmp_path / "0001-SASRecModel")
    assert len(points(served, "fold2/NDCG@10")) == 3
    run_trial(new_writer(tmp_path), PRE_LN, [1, 2], again=True)
    assert points(served.Reload(), "fold2/NDCG@10") == [(1, 3 / 16), (2, 4 / 16)]


def test_an_evaluation_has_curves_of_all_that_was_measured(tmp_path):
    writer = new_writer(tmp_path)
    writer.started(PRE_LN, again=False)
    report = Evaluation(
        0,
        2,
        {"NDCG@10": 0.5},
        train_loss=2.0,
        fit_seconds=8.0,
        learning_rate=0.25,
        epoch_seconds=4.0,
        peak_memory=2**31,
        peak_gpu_memory=2**29,
    )
    writer.evaluated(PRE_LN, report)
    writer.stopped(PRE_LN, Stop("halving", 0, 2, HALVED), 1.0)
    run = read(tmp_path / "0001-SASRecModel")
    assert {tag: points(run, tag) for tag in run.Tags()["scalars"]} == {
        "fold1/NDCG@10": [(2, 0.5)],
        "fold1/train_loss": [(2, 2.0)],
        "fold1/learning_rate": [(2, 0.25)],
        "fold1/epoch_seconds": [(2, 4.0)],
        "fold1/fit_seconds": [(2, 8.0)],
        "fold1/memory_gb": [(2, 2.0)],
        "fold1/gpu_memory_gb": [(2, 0.5)],
        "last/NDCG@10": [(2, 0.5)],
        "stopped early/fold": [(2, 1.0)],
    }
    (text,) = run.Tensors("stopped early")
    assert b"by halving after fold 1, epoch 2" in text.tensor_proto.string_val[0]


def test_each_fold_has_its_results_at_the_best_epoch(folder):
    run = read(folder / "0001-SASRecModel")
    assert points(run, "folds/NDCG@10 fold 1") == [(2, 3 / 16)]
    assert points(run, "folds/NDCG@10 fold 2") == [(2, 4 / 16)]
    assert points(run, "folds/Recall@10 fold 1") == [(2, 0.25)]


def test_only_trials_are_runs_and_the_layout_of_an_older_version_is_removed(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    writer = new_writer(tmp_path)
    run_trial(writer, PRE_LN, [1])
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["0001-SASRecModel"]
    assert "custom_scalars__config__" in read(tmp_path / "0001-SASRecModel").Tags()["tensors"]


@pytest.mark.parametrize("restarted", [False, True], ids=["in one run", "in the next run"])
def test_a_paused_trial_that_is_stopped_in_the_end_keeps_its_curve_and_last_value(tmp_path, restarted):
    writer = new_writer(tmp_path)
    writer.started(PRE_LN, again=False)
    writer.evaluated(PRE_LN, Evaluation(0, 1, {"NDCG@10": 0.25}))
    writer.paused(PRE_LN, Pause(0, 1, 1))
    if restarted:
        writer.close()
        writer = new_writer(tmp_path)
    writer.stopped(PRE_LN, Stop("halving", 0, 1, HALVED), 1.0)
    run = read(tmp_path / "0001-SASRecModel")
    assert points(run, "fold1/NDCG@10") == points(run, "last/NDCG@10") == [(1, 0.25)]
    assert points(run, "stopped early/fold") == [(1, 1.0)]
    assert status(run) == "STATUS_SUCCESS"


@pytest.mark.browser
@pytest.mark.long
def test_five_hundred_trials_are_usable(tmp_path, browser):
    folder = tmp_path / "tensorboard"
    writer = new_writer(folder)
    for number in range(500):
        run_trial(
            writer, Job(number, sasrec(lr=(number * 37 % 500) / 500), (1, 2), "SASRecModel"), range(1, 11)
        )
    writer.close()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 20 * 2**20
    with (
        tensorboard_server(folder) as address,
        Page.opened(browser, tmp_path / "profile", f"{address}#hparams") as page,
    ):
        until(lambda: len(page.rows()) == 100)
        assert page.evaluate(f'first("{PANE}")._totalSessionGroupsCountStr') == 500
        assert page.choose(OBJECTIVE)
        assert page.choose("Descending")
        until(lambda: page.rows()[:1] == ["0499-SASRecModel"])
        assert page.rows() == [f"{number:04d}-SASRecModel" for number in range(499, 399, -1)]
        (tmp_path / "hparams.png").write_bytes(page.screenshot())
    with (
        tensorboard_server(folder) as address,
        Page.opened(browser, tmp_path / "profile2", f"{address}#custom_scalars") as page,
    ):
        until(lambda: page.evaluate(f'all(document.body, "{CHART}").length') == 1)
        # Of more than 40 runs TensorBoard selects none at first; all 500 at once would be slow to draw.
        listed = page.evaluate("text(document.body)")
        (tmp_path / "custom_scalars.png").write_bytes(page.screenshot())
        assert "0499-SASRecModel" in listed
        assert "Matches (0)" in listed
