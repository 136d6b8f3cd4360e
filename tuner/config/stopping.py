"""The sections `stopping` and `final`: which trials stop early, and which are judged in the end."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tuner.config.section import Section, read_off, read_switch

__all__ = ["FinalJudgement", "Halving", "Race", "Stopping"]


class Halving(Section):
    """Compare trials at some epochs of the first fold (rungs). The best continue, and the others pause.

    Only trials of the search are compared; baselines are not.

    A paused trial is promoted as soon as it is among the best at its rung. It then continues from its
    checkpoint, with the same results as without the pause. When all trials of the search have begun, paused
    trials are resumed, the best first, as far as `resume` allows. The others are stopped. These settings may
    differ between two runs of a study.

    Attributes
    ----------
    rungs
        Epochs at which trials are compared, ascending. null: 1, 4, 16, ... and the last epoch. A rung at the
        last epoch is the end of the fold, also for a trial whose patience ends the fold earlier. With
        `training.evaluate_every`, a rung between two evaluations is at the next one.
    keep
        Share of the trials at a rung that continues at once.
    resume
        Share of the trials at a rung that may continue in the end; at least the best `stopping.complete`
        trials of a rung may. null: no trial pauses, and a trial that is not within `keep` is stopped at once.
    grace
        Number of trials that must have reached a rung before a trial can be paused there, where trials are
        not held.
    hold
        Hold trials at the rungs within the first fold until so many have reached the rung: all of them pause
        there, and the best share `keep` of all that have come, rounded down, continues. 0, or `resume: null`:
        trials are not held, and the share is rounded up. At the end of the fold trials are never held.
    leaders
        Whether to begin the other folds of a leader at once, before any new trial. A leader is the best of at
        least four trials at a rung within the first fold, after epoch 1 and the first quarter of the fold.
    """

    rungs: tuple[int, ...] | None = Field(default=None, strict=False)
    keep: float = Field(default=0.25, gt=0, lt=1)
    resume: Annotated[float | None, BeforeValidator(read_off)] = Field(default=0.5, gt=0, le=1)
    grace: int = Field(default=2, ge=2)
    hold: int = Field(default=4, ge=0)
    leaders: bool = True

    @field_validator("rungs")
    @classmethod
    def _check_rungs(cls, rungs: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if rungs is not None and (not rungs or rungs[0] < 1 or list(rungs) != sorted(set(rungs))):
            msg = f"must be ascending epochs from 1 on, but got {list(rungs)}"
            raise ValueError(msg)
        return rungs


class Race(Section):
    """After each fold, stop a trial that is clearly worse than the best one so far on the same users.

    The best one is a complete trial of the search, not a baseline.

    Attributes
    ----------
    z
        A trial is stopped if its mean difference is worse than zero by more than `z` standard errors. With
        1.64, a trial that is as good as the best one is stopped after a fold with a chance of one in twenty.
    """

    z: float = Field(default=1.64, ge=0)


class Stopping(Section):
    """Which trials are stopped early. Baselines never are.

    Both rules use the first objective only. In a study with several objectives they are off unless the study
    switches them on, because a trial that they stop may belong to the Pareto front.

    Attributes
    ----------
    halving
        Compare trials at some epochs of the first fold. false: off.
    race
        Compare a trial with the best one, user by user, after each fold. false: off.
    complete
        Number of trials of the search that complete, whatever the rules say. Until so many are complete, no
        rule stops a trial, and at the end of the search paused trials are resumed, the best first. Trials
        that violate a constraint do not count, until three times as many are complete. 0: the rules may stop
        every trial.
    """

    halving: Annotated[Halving | None, BeforeValidator(read_switch)] = Halving()
    race: Annotated[Race | None, BeforeValidator(read_switch)] = Race()
    complete: int = Field(default=3, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _read_switch(cls, plain: object) -> object:
        if isinstance(plain, bool):
            return {} if plain else {"halving": None, "race": None}
        return plain


class FinalJudgement(Section):
    """Which trials are judged on the holdout at the end of a run, and how often each is fitted.

    Attributes
    ----------
    top
        Number of trials to judge, the best by validation. Baselines are judged as well and are not counted.
    seeds
        How often each trial is fitted, each time with another seed.
    best
        Families of which the best trial is judged too, such as ``transformer`` or ``BERT4RecModel``.
    """

    top: int = Field(default=5, ge=1)
    seeds: int = Field(default=3, ge=1)
    best: tuple[str, ...] = Field(default=(), strict=False)
