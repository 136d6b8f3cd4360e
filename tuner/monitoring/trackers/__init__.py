"""Trackers: they bring the trials of a study to MLflow, to Weights & Biases, or to a class of the user's."""

from __future__ import annotations

from tuner.monitoring.trackers.make import Tracker, check_tracking, make_tracker

__all__ = ["Tracker", "check_tracking", "make_tracker"]
