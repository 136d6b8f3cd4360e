"""`tuner init`: looks at the user's file and proposes a study for it, with the reasons written beside."""

__all__: list[str] = []
