"""What `judge` is asked for obeys the rules of the section `final`, before a look at the holdout."""

from __future__ import annotations

from pathlib import Path

import pytest

import tuner
from tuner.config import FinalJudgement, Study
from tuner.errors import StudyError
from tuner.workflows import final

STUDY = Study(
    study="shop",
    data={"interactions": "clicks.csv"},
    folds={"split": "last_n", "size": 1, "holdout": 1},
    metrics={"objective": "NDCG@10", "direction": "maximize"},
    space={"set": {"cls": "EASEModel"}},
    final={"top": 2, "seeds": 4},
)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[FinalJudgement]:
    """Return what judgements are asked for, and make none."""
    asked: list[FinalJudgement] = []
    monkeypatch.setattr(final, "run_final", lambda study, folder, settings: asked.append(settings))
    return asked


@pytest.mark.parametrize("value", [0, -1, True, "3", 2.0])
@pytest.mark.parametrize("name", ["top", "seeds"])
def test_numbers_are_checked(judged: list[FinalJudgement], tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(StudyError, match=rf"judge: 1 problem\n  {name}: must be .*, but got {value!r}"):
        tuner.judge(STUDY, output=tmp_path, **{name: value})
    assert not judged


def test_families_are_checked(judged: list[FinalJudgement], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="best: must be a list, but got 5"):
        tuner.judge(STUDY, output=tmp_path, best=5)
    tuner.judge(STUDY, output=tmp_path, best="transformer", seeds=1)
    tuner.judge(STUDY, output=tmp_path, best=["transformer"])
    assert judged == [
        FinalJudgement(top=2, seeds=1, best=("transformer",)),
        FinalJudgement(top=2, seeds=4, best=("transformer",)),
    ]
