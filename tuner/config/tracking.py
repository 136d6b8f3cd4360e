"""The section `tracking` of a study: where a team sees its runs, besides TensorBoard."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from tuner.config.section import Section
from tuner.errors import did_you_mean

__all__ = ["Tracking"]

#: Trackers by name.
TRACKERS = ("mlflow", "wandb")


class Tracking(Section):
    """A tracker that gets the trials while they run. TensorBoard's files are written in any case.

    Attributes
    ----------
    use
        ``mlflow``, ``wandb``, or the import path of an observer class.
    options
        Keyword arguments of the tracker. For ``mlflow``: ``uri`` (default: ``MLFLOW_TRACKING_URI``) and
        ``experiment`` (default: name of the study). For ``wandb``: ``project`` (default: name of the study),
        ``entity`` and ``mode`` (``online`` or ``offline``; default: ``WANDB_MODE``).
    """

    use: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, plain: object) -> object:
        return {"use": plain} if isinstance(plain, str) else plain

    @field_validator("use")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name not in TRACKERS and "." not in name:
            hint = did_you_mean(name, TRACKERS)
            msg = f"must be mlflow, wandb or the import path of an observer class, but got {name!r}; {hint}"
            raise ValueError(msg)
        return name
