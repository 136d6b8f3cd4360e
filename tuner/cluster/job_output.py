"""The lines that separate the parts of a job's output. Ray writes stdout and stderr to one log."""

from __future__ import annotations

__all__ = ["BEGIN", "ENDS", "PACKED", "RESULT", "RESULT_ENDS"]

#: First line of `on_head`. The lines before it are Ray's.
BEGIN = "[tuner] begins"
#: Last line of `on_head`. A client stops reading here. Ray notices the end of the job only seconds later.
ENDS = "[tuner] ends"
#: The lines before and after the part that `tuner run` would write to stdout.
RESULT, RESULT_ENDS = "[tuner] result", "[tuner] result ends"
#: Start of the line with the name of an archive, its size in bytes and its SHA-256.
PACKED = "[tuner] packed"
