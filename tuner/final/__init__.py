"""What the store has of final judgements; `tuner.holdout` makes them.

Attributes of the study, beside those of its trials:

    final:look:N        the Nth look at the holdout: when, who, and which trials with which seeds
    final:fit:T:S       trial T trained with seed S on everything before the holdout: its metrics on it
    final:judged:N      what the Nth look came to

The values by user of each fit stand in the study's folder, in `users/`.
"""

from __future__ import annotations

from tuner.final.reading import final_of, read_final

__all__ = ["final_of", "read_final"]
