"""Benchmarks of the project. Run each as `python -m benchmarks.NAME`."""
