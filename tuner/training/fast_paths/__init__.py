"""Fast paths for a fit: the results of RecTools' training step, for a part of its time and memory."""

from tuner.training.fast_paths.accelerate import FastPaths, accelerate

__all__ = ["FastPaths", "accelerate"]
