"""A first look at the user's file: what is guessed is said, and the study can be read."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tuner.cli import main
from tuner.config import Study
from tuner.errors import DataError
from tuner.workflows.init.columns import guess_columns, time_formats
from tuner.workflows.init.dialect import guess_dialect
from tuner.workflows.init.folds import propose_folds
from tuner.workflows.init.inspect import inspect_file
from tuner.workflows.init.write import doubts, findings, study_text


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """An online shop of a year: 1,500 users who come back to items every week."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(1500), 30)
    seconds = 1_700_000_000 + rng.integers(0, 365 * 86400, users.size)
    frame = pd.DataFrame(
        {
            "event_time": seconds,
            "customer id": [f"c{user:04d}" for user in users],
            "session_id": rng.integers(0, 9000, users.size),
            "sku": rng.integers(0, 40, users.size),
            "quantity": rng.integers(1, 5, users.size),
        }
    )
    frame.to_csv("clicks.csv.gz", index=False)
    return frame


def test_the_study_can_be_read_and_says_how_columns_were_found(shop, capsys):
    assert main(["init", "clicks.csv.gz"]) == 0
    out, err = capsys.readouterr()
    assert "45,000 interactions of 1,500 users with 40 items" in out
    assert "user is customer id (by its name); it could be session_id" in err
    study = Study.load("study.yaml")
    assert study.study == "clicks"
    assert study.data.columns.model_dump() == {
        "user": "customer id",
        "item": "sku",
        "datetime": "event_time",
        "weight": None,
    }
    assert study.data.datetime == "unix_s"
    assert (study.folds.split, study.folds.size, study.folds.filter_viewed) == ("time_range", "14D", False)
    text = Path("study.yaml").read_text(encoding="utf-8")
    assert 'user: "customer id"    # by its name; could also be session_id' in text
    assert "# weight: quantity" in text
    assert "#   sku (int64, 40 values, such as" in text


def test_a_study_that_is_there_is_not_written_over(shop, tmp_path, capsys):
    (tmp_path / "study.yaml").write_text("mine", encoding="utf-8")
    assert main(["init", "clicks.csv.gz"]) == 2
    assert "must not exist yet" in capsys.readouterr().err
    assert (tmp_path / "study.yaml").read_text(encoding="utf-8") == "mine"
    assert main(["init", "clicks.csv.gz", "--force"]) == 0


def test_a_study_is_not_written_over_its_data_nor_under_another_ending(shop, tmp_path, capsys):
    data = tmp_path / "clicks.csv.gz"
    before = data.read_bytes()
    assert main(["init", "clicks.csv.gz", "-o", str(data), "--force"]) == 2
    assert "-o: must not be the file of the data" in capsys.readouterr().err
    assert main(["init", "clicks.csv.gz", "-o", "other.csv"]) == 2
    assert "-o: must end in .yaml or .yml\n      say other.csv.yaml" in capsys.readouterr().err
    assert data.read_bytes() == before
    assert not (tmp_path / "other.csv").exists()


def test_what_is_no_table_of_interactions_is_refused_with_its_columns(tmp_path):
    pd.DataFrame({"name": ["a", "b"], "price": [1.5, 2.5]}).to_csv(tmp_path / "prices.csv", index=False)
    with pytest.raises(DataError) as refused:
        inspect_file(str(tmp_path / "prices.csv"))
    message = str(refused.value)
    assert "has none for user, item, datetime" in message
    assert (
        "it has the columns name (object, 2 values, such as 'a'); price (float64, 2 values, such as 1.5)"
        in message
    )


def test_a_first_line_without_end_is_refused(tmp_path):
    (tmp_path / "page.txt").write_text("x" * 200_000, encoding="utf-8")
    with pytest.raises(DataError, match="must be readable as a table, but field larger"):
        inspect_file(str(tmp_path / "page.txt"))


def test_missing_ids_are_refused_with_the_columns(tmp_path):
    frame = pd.DataFrame({"user": ["a", None], "item": [1, 2], "time": ["2024-01-01", "2024-01-02"]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="ids must not be missing"):
        inspect_file(str(tmp_path / "x.csv"))


def test_the_next_commands_can_be_pasted_into_a_shell(shop, capsys):
    Path("my studies").mkdir()
    assert main(["init", "clicks.csv.gz", "-o", "my studies/it's.yaml"]) == 0
    lines = capsys.readouterr().err.splitlines()[-2:]
    expected = [["tuner", command, "my studies/it's.yaml"] for command in ("check", "run")]
    assert [shlex.split(line) for line in lines] == expected


def test_columns_without_telling_names_are_a_guess_that_says_so():
    frame = pd.DataFrame({"a": [1, 1, 2], "b": [5, 6, 5], "c": ["2024-01-01"] * 3})
    guesses = guess_columns(frame, "x")
    assert (guesses.user.column, guesses.item.column, guesses.datetime.column) == ("a", "b", "c")
    assert guesses.user.others == ("b",)
    assert guesses.item.others == ("a",)
    assert guesses.user.how.startswith("a guess")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1_700_000_000, 1_700_000_001], "unix_s"),
        ([1_700_000_000_000, 1_700_000_000_001], "unix_ms"),
        (["2024-01-01", "2024-01-02T10:00:00Z"], "iso"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "iso"),
        ([1_700_000_000_000_000, 1_700_000_000_000_001], "unix_us"),
        ([1_700_000_000_000_000_000, 1_700_000_000_000_000_001], "unix_ns"),
        (["2024-01-01 10:00:00 UTC", "2024-01-02 10:00:00 UTC"], "iso"),
        (["31.01.2024 10:00", "01.02.2024 11:00"], "%d.%m.%Y %H:%M"),
        (["31.01.24", "01.02.24"], "%d.%m.%y"),
        (["31/01/24 10:00", "01/02/24 11:00"], "%d/%m/%y %H:%M"),
        ([20240131, 20240201], "%Y%m%d"),
        (["1700000000000", "1700000000001"], "unix_ms"),
        (["31-Jan-2024 05:10 PM", "01-Feb-2024 11:00 AM"], "%d-%b-%Y %I:%M %p"),
        ([1_700_000_000, 1_700_000_000_000], None),
        ([1, 2], None),
        (["a", "b"], None),
        ([True, False], None),
    ],
)
def test_times_are_known_by_how_they_are_written(values, kind):
    assert time_formats(pd.Series(values)) == ([] if kind is None else [kind])


def test_few_users_in_windows_of_time_lead_to_the_last_of_each(interactions):
    proposed = propose_folds(interactions, filter_viewed=True)
    assert (proposed.split, proposed.size) == ("last_n", 1)
    assert "has few test users" in proposed.reasons[0]


def test_words_of_the_file_cannot_leave_their_place(tmp_path):
    """Names of columns, and text in them, are the file's: a comment stays one, and a key its own."""
    evil = "item\nsearch: {trials: 9999}"
    frame = pd.DataFrame(
        {
            "user": np.repeat(np.arange(30), 5),
            evil: [f"x\ny: {n}" for n in range(50)] * 3,
            "yes": ["2024-01-01"] * 150,
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    found = inspect_file(str(tmp_path / "x.csv"))
    plain = yaml.safe_load(study_text(found))
    assert plain["data"]["columns"] == {"user": "user", "item": evil, "datetime": "yes"}
    assert plain["search"]["trials"] == 40


ROWS = [(f"u{n % 40}", f"i{n * 7 % 30}", 1_700_000_000 + n * 3600, 1 + n % 5) for n in range(400)]


@pytest.mark.parametrize(
    ("name", "delimiter", "header", "settings", "columns"),
    [
        ("r.dat", "::", False, {"delimiter": "::", "header": False}, ("0", "1", "2")),
        ("r.csv", ";", True, {"delimiter": ";"}, ("user", "item", "time")),
        ("r.tsv", "\t", True, {}, ("user", "item", "time")),
        ("r.txt", "|", True, {"delimiter": "|"}, ("user", "item", "time")),
        ("r.csv", ",", False, {"header": False}, ("0", "1", "2")),
        ("u.data", " ", False, {"delimiter": " ", "header": False}, ("0", "1", "2")),
        ("r.csv", "^", True, {"delimiter": "^"}, ("user", "item", "time")),
        ("part-0", "\x01", False, {"delimiter": "\x01", "header": False}, ("0", "1", "2")),
        (
            "r.inter",
            "\t",
            "user_id:token\titem_id:token\ttimestamp:float\trating:float",
            {},
            ("user_id", "item_id", "timestamp"),
        ),
    ],
)
def test_the_way_in_which_text_is_written_is_found(
    name, delimiter, header, settings, columns, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first = (
        [header]
        if isinstance(header, str)
        else [delimiter.join(("user", "item", "time", "stars"))]
        if header
        else []
    )
    Path(name).write_text(
        "\n".join([*first, *(delimiter.join(map(str, row)) for row in ROWS)]) + "\n", encoding="utf-8"
    )
    found = inspect_file(name)
    assert found.written.settings == settings
    assert main(["init", name]) == 0
    study = Study.load("study.yaml")
    assert (study.data.columns.user, study.data.columns.item, study.data.columns.datetime) == columns
    assert study.data.datetime == "unix_s"
    assert found.source.interactions["user_id"].tolist() == [row[0] for row in ROWS]


def test_encoding_decimal_and_format_of_dates_are_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [
        "kunde;artikel;datum;menge",
        *(f"Zoë{n % 30};{n % 20};{1 + n % 28:02d}.03.2024 10:00;{n % 3 + 1},5" for n in range(300)),
    ]
    Path("k.csv").write_bytes("\n".join(lines).encode("latin-1"))
    assert main(["init", "k.csv"]) == 0
    study = Study.load("study.yaml")
    assert study.data.format.model_dump() == {
        "delimiter": ";",
        "header": True,
        "encoding": "latin-1",
        "decimal": ",",
    }
    assert study.data.datetime == "%d.%m.%Y %H:%M"
    assert "it is read as latin-1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("cp1251", "Война и мир"),
        ("koi8_r", "Мастер и Маргарита"),
        ("cp932", "ノルウェイの森 吾輩は猫である"),
        ("gb18030", "红楼梦的故事"),
        ("cp949", "채식주의자 소설"),
        ("latin-1", "L'été à Nîmes"),
        ("latin-1", "Zoë"),
        ("cp1252", "“Größe” für alle"),
    ],
)
def test_the_encoding_is_found_by_letters(encoding, title, tmp_path):
    rows = "".join(f"{n % 30},{title} {n % 20},{1_700_000_000 + 3600 * n}\n" for n in range(300))
    (tmp_path / "i.csv").write_bytes(("user_id,item_id,timestamp\n" + rows).encode(encoding))
    found = inspect_file(str(tmp_path / "i.csv"))
    assert found.written.settings["encoding"] == encoding
    assert found.source.interactions["item_id"][0] == f"{title} 0"


def test_a_time_of_day_beside_the_date_is_told(tmp_path):
    rows = "".join(f"{n % 30},{n % 20},2024-01-{1 + n % 28:02d},{n % 24:02d}:30\n" for n in range(300))
    (tmp_path / "i.csv").write_text("user_id,item_id,date,clock\n" + rows)
    told = list(doubts(inspect_file(str(tmp_path / "i.csv"))))
    assert any("date has days alone, and clock may be the time of day" in one for one in told)


def test_sessions_in_one_row_are_told(tmp_path, capsys):
    frame = pd.DataFrame(
        {"user_id": [1, 2], "item_id": [[1], [2, 3]], "datetime": pd.Timestamp("2024-01-01")}
    )
    frame.to_parquet(tmp_path / "x.parquet")
    assert main(["init", str(tmp_path / "x.parquet"), "-o", str(tmp_path / "s.yaml")]) == 2
    assert "one interaction a row" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "sure.csv",
            "user,item,time\n"
            + "".join(f"u{n % 9},i{n % 7},{1_700_000_000 + n * 3600}\n" for n in range(60)),
            [
                "encoding utf-8: sure, all letters are ASCII in the first",
                "delimiter ',': sure, it divides each of the first 50 lines into 3 fields",
                "a header: sure, the first row holds no number and no date, and others do",
                "time unix_s: sure, the times are then 2023-11-14 to 2023-11-17",
            ],
        ),
        (
            "bare.csv",
            "".join(f"u{n % 9},i{n % 7},2024-01-0{1 + n % 9}\n" for n in range(60)),
            ["no header: sure, the first row holds '2024-01-01', as the other rows do"],
        ),
        (
            "months.csv",
            "user,item,time\n"
            + "".join(f"u{n % 9},i{n % 7},0{1 + n % 9}/0{1 + n % 8}/2024\n" for n in range(60)),
            ['time "%m/%d/%Y": not sure, the times are then', '; it could be "%d/%m/%Y"'],
        ),
    ],
)
def test_it_says_how_sure_it_is(name, text, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    assert main(["init", name]) == 0
    err = capsys.readouterr().err
    for line in said:
        assert line in err
    assert "sure, the times are then" in Path("study.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("first", "step", "doubt"),
    [
        (638448852300000000, 10**11, "look like ticks of .NET: number / 10000000 - 62135596800 is unix_s"),
        (
            133537620300000000,
            10**11,
            "look like FILETIME of Windows: number / 10000000 - 11644473600 is unix_s",
        ),
        (730981230, 10**4, "look like seconds since 2001, as Apple counts: number + 978307200 is unix_s"),
    ],
)
def test_numbers_that_count_from_another_year_are_not_sure(first, step, doubt, tmp_path):
    lines = [f"u{n % 9},i{n % 7},{first + n * step}" for n in range(60)]
    (tmp_path / "i.csv").write_text("\n".join(["user,item,time", *lines]), encoding="utf-8")
    told = next(one for one in findings(inspect_file(str(tmp_path / "i.csv"))) if one.what.startswith("time"))
    assert not told.sure
    assert doubt in told.why


def test_it_says_what_speaks_against(tmp_path):
    rows = "".join(f"Zo\u00eb{n % 9};a|b{n % 7};x|c\n" for n in range(60))
    (tmp_path / "i.txt").write_bytes(("user;item|x;time|y\n" + rows).encode("latin-1"))
    encoding, delimiter, header = map(str, guess_dialect(str(tmp_path / "i.txt")).findings)
    assert encoding.startswith("encoding latin-1: not sure, the text is not UTF-8; it is read as latin-1")
    divides = "it divides each of the first 50 lines into 3 fields"
    assert delimiter == f"delimiter ';': not sure, {divides}; it could be '|'"
    assert header.startswith("a header: not sure, the first row is taken for a header")


@pytest.mark.parametrize(("day_of", "told"), [(lambda n: n // 45, True), (lambda n: n, False)])
def test_interactions_without_an_order_of_their_own_are_told(day_of, told, tmp_path):
    start = pd.Timestamp("2024-01-01")
    lines = [f"u{n % 9},i{n % 7},{start + pd.Timedelta(day_of(n), 'D'):%Y-%m-%d}" for n in range(90)]
    (tmp_path / "i.csv").write_text("\n".join(["user,item,day", *lines]), encoding="utf-8")
    said = "100% of interactions have the same user and time as another. Their order is that of their rows"
    assert any(line.startswith(said) for line in doubts(inspect_file(str(tmp_path / "i.csv")))) is told


@pytest.mark.parametrize(
    "items", [["007", "7", "0070"], ["1.0", "2.0", "3.50"], ["9" * 20, "9" * 19 + "8", "8" * 20]]
)
def test_ids_that_look_like_numbers_are_taken_as_written(items, tmp_path):
    lines = [f"{n % 9},{items[n % 3]},{1_700_000_000 + n * 90_000}" for n in range(90)]
    (tmp_path / "i.csv").write_text("\n".join(["user_id,item_id,ts", *lines]), encoding="utf-8")
    found = inspect_file(str(tmp_path / "i.csv"))
    assert (found.guesses.item.column, found.guesses.item.how) == ("item_id", "by its name")
    assert set(found.source.interactions["item_id"]) == set(items)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("user,item,ts,", "u{0},i{1},{2}", "the header ends with ',' and the row does not"),
        ("user;item;ts", "u{0};i{1};{2};", "the row ends with ';' and the header does not"),
        ("# from the shop\nuser,item,ts", "u{0},i{1},{2}", "'# from the shop' is taken for the header"),
        ("user,item,ts", "u{0},,{2}", "ids must not be missing"),
        ("sep=;\nuser;item;ts", "u{0};i{1};{2}", "'sep=' is taken for the header"),
        (
            "user,item,ts",
            "u{0},only,{2}",
            "must have two items or more, but all 60 interactions are with 'only'",
        ),
        (
            "user,item,ts",
            "u{0},i{1},{4}",
            "is not in 1 of 60 rows; the first is row 8: {'user': 'u7', 'item': ",
        ),
        ("user,item,ts", "u{0},i{1},{2}{3}", "the column mixes units"),
        ("user,item,ts", "u{0},i{1},45{1}92.5", "The numbers of ts look like days of a spreadsheet"),
        ("user,item,ts", "u{0},i{1},week {1}", "ts is named as a time, but is written in no way"),
        ("user,item", "u{0},i{1}", "If nothing says when, add a column with dates"),
    ],
    ids=[
        "header",
        "rows",
        "comment",
        "missing",
        "excel",
        "item",
        "null",
        "units",
        "spreadsheet",
        "unknown",
        "none",
    ],
)
def test_what_keeps_a_file_from_being_read_is_told_with_its_cure(header, row, said, tmp_path):
    times = range(1_700_000_000, 1_700_000_060)
    lines = [
        row.format(n % 9, n % 7, time, "000" * (n % 5 == 0), "NULL" if n == 7 else time)
        for n, time in enumerate(times)
    ]
    (tmp_path / "i.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as refused:
        inspect_file(str(tmp_path / "i.csv"))
    assert said in str(refused.value)
    assert len(refused.value.problems) == 1, "the cause alone"
