"""Lines by which a client tells the parts of a job's output apart; Ray joins stdout and stderr in one log."""

from __future__ import annotations

__all__ = ["BEGIN", "ENDS", "PACKED", "RESULT", "RESULT_ENDS"]

#: From here on the lines are ours; before it Ray speaks.
BEGIN = "[tuner] begins"
#: Nothing comes after it: whoever follows need not wait until Ray has noticed that the job has ended.
ENDS = "[tuner] ends"
#: Around what `tuner run` writes to stdout.
RESULT, RESULT_ENDS = "[tuner] result", "[tuner] result ends"
#: Begin of the line that names an archive, its size in bytes and its SHA-256.
PACKED = "[tuner] packed"
