"""The final judgement: judges trials by their per-user values on the holdout, without store or models."""

from __future__ import annotations

from tuner.holdout.records import LEVEL, Comparison, Final, Interval, JudgedRow

__all__ = ["LEVEL", "Comparison", "Final", "Interval", "JudgedRow"]
