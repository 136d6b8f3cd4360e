"""Laws of the reader: however a table is written, the same interactions and folds come of it."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from pyarrow import feather, parquet

from tuner.config import Data, Folds
from tuner.data.folds import development_dataset, make_folds
from tuner.data.reading import delimited
from tuner.data.source import load_source
from tuner.errors import TunerError
from tuner.workflows.init.inspect import inspect_file

pytestmark = pytest.mark.filterwarnings("ignore")

#: Ids that readers of tables like to change, and any others that text can hold.
ODD = [
    "7",
    "07",
    "7.0",
    "NA",
    "nan",
    "None",
    "null",
    "1e3",
    "-0",
    "+1",
    " x ",
    "é",
    '"',
    "a,b",
    "a;b",
    "::",
    "#",
    "\\N",
    "true",
]
TEXT = st.one_of(
    st.sampled_from(ODD),
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), min_size=1, max_size=6
    ),
)
FORMS = ["tsv", "semicolon", "utf-16", "gzip", "parts", "parquet", "dictionary", "feather", "jsonl"]
IDS = st.sampled_from(["numbers", "text", "mixed"])


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Make users with some interactions each, so that folds can be made."""
    kind = draw(IDS)
    numbers = st.integers(-(2**63), 2**63 - 1).map(str)
    values = {"numbers": numbers, "text": TEXT, "mixed": st.one_of(numbers, TEXT)}[kind]
    users = draw(st.lists(values, min_size=3, max_size=6, unique=True))
    items = draw(st.lists(values, min_size=3, max_size=6, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = 40
    return pd.DataFrame(
        {
            "user_id": rng.choice(np.array(users, dtype=object), n),
            "item_id": rng.choice(np.array(items, dtype=object), n),
            "datetime": 1_700_000_000 + np.sort(rng.integers(0, 9 * 86_400, n)),
        }
    )


def csv_text(table: pd.DataFrame, delimiter: str) -> str:
    """Write each value in quotes, as every writer may."""
    rows = [list(table.columns), *table.astype(str).to_numpy().tolist()]
    quoted = [delimiter.join('"' + value.replace('"', '""') + '"' for value in row) for row in rows]
    return "\n".join(quoted) + "\n"


def write(table: pd.DataFrame, folder: Path, how: str) -> tuple[Any, dict[str, Any]]:
    """Write a table in one of many ways; return its place and how a study says it."""
    columns = [
        pa.array(table["user_id"].tolist()),
        pa.array(table["item_id"].tolist()),
        pa.array(table["datetime"]),
    ]
    typed = pa.table(columns, names=list(table.columns))
    if how in {"parquet", "dictionary"}:
        parquet.write_table(typed, folder / "i.parquet", use_dictionary=how == "dictionary", row_group_size=7)
        return str(folder / "i.parquet"), {}
    if how == "feather":
        feather.write_feather(typed, folder / "i.feather", chunksize=9)
        return str(folder / "i.feather"), {}
    if how == "jsonl":
        table.to_json(folder / "i.jsonl", orient="records", lines=True)
        return str(folder / "i.jsonl"), {}
    if how == "parts":
        for number, part in enumerate(np.array_split(np.arange(len(table)), 3)):
            (folder / f"part-{number}.csv").write_text(csv_text(table.iloc[part], ","), encoding="utf-8")
        return str(folder), {}
    name, delimiter, encoding = {
        "csv": ("i.csv", ",", "utf-8"),
        "tsv": ("i.tsv", "\t", "utf-8"),
        "semicolon": ("i.csv", ";", "utf-8"),
        "utf-16": ("i.csv", ",", "utf-16"),
        "gzip": ("i.csv.gz", ",", "utf-8"),
    }[how]
    raw = csv_text(table, delimiter).encode(encoding)
    (folder / name).write_bytes(gzip.compress(raw) if how == "gzip" else raw)
    own = {"delimiter": ";"} if how == "semicolon" else {}
    return str(folder / name), {"format": {**own, "encoding": encoding}}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    table=tables(),
    how=st.sampled_from(
        ["tsv", "semicolon", "utf-16", "gzip", "parts", "parquet", "dictionary", "feather", "jsonl"]
    ),
)
def test_however_a_table_is_written_its_folds_are_the_same(table: pd.DataFrame, how: str) -> None:
    section = Folds(split="last_n", size=1, n_folds=1, holdout=1, filter_viewed=False)
    found = []
    for one in ("csv", how):
        with tempfile.TemporaryDirectory() as name:
            place, said = write(table, Path(name), one)
            data = Data(interactions=place, datetime="unix_s", ids="text", **said)
            source = load_source(data)
            free = load_source(data.model_copy(update={"ids": "auto"}))
        assert source.interactions["user_id"].tolist() == table["user_id"].tolist()
        assert source.interactions["item_id"].tolist() == table["item_id"].tolist()
        assert free.interactions["item_id"].astype(str).tolist() == table["item_id"].tolist()
        found.append((source, make_folds(development_dataset(source, data, section), section)))
    (first, folds), (second, others) = found
    assert first.fingerprint == second.fingerprint
    for fold, other in zip(folds, others, strict=True):
        assert_frame_equal(fold.seen, other.seen)
        assert_frame_equal(fold.test, other.test)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(), block=st.integers(40, 400))
def test_the_size_of_chunks_decides_nothing(table: pd.DataFrame, block: int) -> None:
    """pyarrow reads blocks of a megabyte; with small ones each id is met in several."""
    original = delimited.arrow_csv.ReadOptions

    def small(**options: Any) -> Any:
        return original(**{**options, "block_size": options["block_size"] or block})

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        (Path(name) / "i.csv").write_text(csv_text(table, ","), encoding="utf-8")
        data = Data(interactions=str(Path(name) / "i.csv"), datetime="unix_s")
        whole = load_source(data).interactions
        patch.setattr(delimited.arrow_csv, "ReadOptions", small)
        parts = load_source(data).interactions  # a row may be longer than a block
    assert_frame_equal(parts, whole)


# ####  --------------  Mutants  --------------  #### #

N_MUTANTS = 300


def mutant(rng: np.random.Generator, table: pd.DataFrame, folder: Path) -> str:
    """Write a file that is broken in one of many ways."""
    how = ["csv", "tsv", "gzip", "parquet", "feather", "jsonl"][rng.integers(6)]
    if rng.random() < 0.4 and how in {"parquet", "feather"}:
        return odd_types(rng, table, folder, how)
    place, _ = write(table, folder, how)
    raw = bytearray(Path(place).read_bytes())
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(6), int(rng.integers(len(raw)))
        if kind == 0:
            raw[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            raw = raw[: max(1, at)]
        elif kind == 2:
            raw[at:at] = bytes(rng.integers(0, 256, 5, dtype=np.uint8))
        elif kind == 3:
            raw[at : at + 9] = b""
            raw = raw or bytearray(b"\n")
        elif kind == 4:
            raw[at:at] = [b'"', b",", b"\n", b"\x00", b"1e999", b"99999999999999999999"][rng.integers(6)]
        else:
            raw = bytearray(raw.decode("latin-1").encode(["utf-16", "utf-8", "utf-7"][rng.integers(3)]))
    Path(place).write_bytes(raw)
    return place


def odd_types(rng: np.random.Generator, table: pd.DataFrame, folder: Path, how: str) -> str:
    """Write columns of types that interactions do not have."""
    n = len(table)
    options: list[Any] = [
        pa.array(np.ones(n, np.float16)),
        pa.array([b"2024-01-01"] * n),
        pa.array([b"\xff\x00"] * n),
        pa.array([{"a": 1}] * n),
        pa.array([[1, 2]] * n),
        pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        pa.array([2**63 + 5] * n, pa.uint64()),
        pa.array([float("nan")] * n),
        pa.array([1e300] * n),
        pa.array([True] * n),
        pa.array([0] * n, pa.duration("s")),
        pa.array([0] * n, pa.time64("us")),
        pa.array([2**62] * n, pa.timestamp("us")),
        pa.array([-(2**63)] * n, pa.timestamp("ns", "Asia/Kolkata")),
        pa.array([10**9] * n, pa.date64()),
        pa.nulls(n),
        pa.array(["x"] * n).dictionary_encode(),
        pa.array(["2024-01-01T00:00:00+01:00", None] * (n // 2)),
        pa.array(["1" * 400] * n),
        pa.array([""] * n),
    ]
    columns = {name: pa.array(table[name].tolist()) for name in table.columns}
    for name in rng.choice(list(columns), rng.integers(1, 3), replace=False):
        columns[name] = options[rng.integers(len(options))]
    path = folder / f"i.{how}"
    write_typed = parquet.write_table if how == "parquet" else feather.write_feather
    write_typed(pa.table(columns), path)
    return str(path)


@pytest.mark.slow
def test_broken_files_are_read_or_refused(tmp_path: Path) -> None:
    """Nothing else is raised, and every refusal says something of one line for each problem."""
    table = pd.DataFrame(
        {
            "user_id": [f"u{n % 7}" for n in range(40)],
            "item_id": [f"i{n % 5}" for n in range(40)],
            "datetime": 1_700_000_000 + np.arange(40) * 3600,
        }
    )
    outcomes: dict[str, int] = {"read": 0, "refused": 0}
    messages: list[str] = []
    for seed in range(N_MUTANTS):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        place = mutant(rng, table, folder)
        kind = ["unix_s", "iso", "unix_ms", "%Y-%m-%d"][rng.integers(4)] if rng.random() < 0.5 else "unix_s"
        calls = [lambda place=place, kind=kind: load_source(Data(interactions=place, datetime=kind))]
        calls += [lambda place=place: inspect_file(place)] * (seed % 3 == 0)  # as `tuner init` does
        for call in calls:
            try:
                call()
                outcomes["read"] += 1
            except TunerError as error:
                outcomes["refused"] += 1
                messages.append(str(error))
            except Exception as error:
                msg = f"mutant {seed} ({place}, {kind}) raised {type(error).__name__}: {error}"
                raise AssertionError(msg) from error
    assert min(outcomes.values()) > 5, outcomes
    assert all("problem" in message for message in messages)
