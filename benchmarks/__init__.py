"""What is measured, and how: run each as `python -m benchmarks.NAME`."""
