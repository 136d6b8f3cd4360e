"""The final judgement: what values by seed and user on the holdout say. Knows no store and no models."""

from __future__ import annotations

from tuner.holdout.records import LEVEL, Comparison, Final, Interval, JudgedRow

__all__ = ["LEVEL", "Comparison", "Final", "Interval", "JudgedRow"]
