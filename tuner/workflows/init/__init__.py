"""`tuner init`: inspects the user's file and writes a study for it.

Comments in the study give the reasons.
"""

__all__: list[str] = []
