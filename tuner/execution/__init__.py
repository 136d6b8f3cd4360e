"""The only package that imports Ray: its session, the adapters for Ray Tune, and the code of workers."""

__all__: list[str] = []
