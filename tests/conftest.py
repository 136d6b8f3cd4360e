"""What several tests need: one thread, and a small shop with fashions."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.finished import finished_shop, shop_folder  # noqa: F401  # fixtures: a study that was run
from tests.store.test_contract import place, postgres  # noqa: F401  # fixtures: every storage

N_USERS, N_ITEMS, N_DAYS = 60, 80, 63
#: Seconds after which a test that searches counts as hanging.
LONGEST_SEARCH = 900
#: Groups of tests that stay in one process, one after the other: those that search with Ray, and those that
#: look at one study that was run for them.
TOGETHER = {
    "search": ("tests/hosts/", "tests/integration/"),
    "look": (
        "tests/monitoring/test_optuna_dashboard.py",
        "tests/test_docs.py",
        "tests/monitoring/test_json_events.py",
        "tests/benchmarks/test_guide_table.py",
        "tests/workflows/test_watch.py",
        "tests/workflows/test_real_run.py",
        "tests/reporting/test_leaderboard.py",
    ),
}

#: A loaded machine makes any example slow, so no example has a deadline.
settings.register_profile("rectools-tuner", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rectools-tuner")


def pytest_configure(config: pytest.Config) -> None:
    """Share the processors among the processes of `make test`; leave a GPU to `-m gpu`."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is to be equal to the last digit is so on a CPU
        os.environ["TRITON_INTERPRET"] = (
            "1"  # read when Triton is imported; see tests/training/test_triton.py
        )
    # Ray would end trials if other programs fill the memory of this machine.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    n_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if n_processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n_processes)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the searches first where processes share the tests, and let them take longer on a loaded machine.

    One process runs all searches, which takes longest. When they are done, it helps with the other tests.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER["search"]))
    for item in items:
        if item.get_closest_marker("ray") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONGEST_SEARCH))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what wants a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")


class _Together(LoadScopeScheduling):
    """Keeps the tests of a group, and those of a file, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((group for group, begins in TOGETHER.items() if file.startswith(begins)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together:
    """Share the tests among the processes of `make test`."""
    return _Together(config, log)


@pytest.fixture(scope="session")
def one_thread():
    """Keep torch to one thread: the machine is shared, and sums depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def interactions() -> pd.DataFrame:
    """About 800 events in nine weeks: popular items, repeats, late comers, equal timestamps of one user."""
    rng = np.random.default_rng(7)
    popularity = 1 / np.arange(1, N_ITEMS + 1)
    counts = rng.integers(6, 22, N_USERS)
    users = np.repeat(np.arange(N_USERS), counts)
    hours = rng.integers(np.where(users < N_USERS - 6, 0, 44 * 24), N_DAYS * 24)
    frame = pd.DataFrame(
        {
            "user_id": users + 100,
            "item_id": rng.choice(N_ITEMS, users.size, p=popularity / popularity.sum()) + 1000,
            "weight": rng.integers(1, 4, users.size).astype(float),
            "datetime": pd.Timestamp("2024-03-01") + pd.to_timedelta(hours // 12 * 12, unit="h"),
        }
    )
    return frame.sort_values("datetime", kind="stable", ignore_index=True)


@pytest.fixture(scope="session")
def item_features(interactions: pd.DataFrame) -> pd.DataFrame:
    """Two categories of every item."""
    items = np.sort(interactions["item_id"].unique())
    return pd.concat(
        [
            pd.DataFrame({"id": items, "feature": name, "value": [f"{name}{item % n}" for item in items]})
            for name, n in (("genre", 5), ("age", 3))
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="session")
def folds(interactions: pd.DataFrame, item_features: pd.DataFrame):
    """Leave-last-two-out folds of that shop, the newest held out; with features."""
    from tuner.config import Data, Folds
    from tuner.data.features import Features
    from tuner.data.folds import development_dataset, make_folds
    from tuner.data.source import Source

    section = Folds(split="last_n", size=2, n_folds=2, holdout=1)
    source = Source(interactions, Features(item_features), "", 0, 0)
    return make_folds(development_dataset(source, Data(interactions="shop.csv"), section), section)


@pytest.fixture(scope="session")
def made_study(tmp_path_factory: pytest.TempPathFactory, one_thread):
    """Return the folder of a finished study, with its data and file two folders above; not to be changed."""
    from tests.made_study import make_study

    return make_study(tmp_path_factory.mktemp("made"))
