"""All of Ray: its session, the parts of Ray Tune that a search uses, and what runs on its workers."""

__all__: list[str] = []
