"""What recorded tables of other data sets say of the params of the spaces.

The files are made by `python -m benchmarks.make_priors`. See `tuner.space.prior` for what they mean.
"""

from __future__ import annotations

from pathlib import Path

from tuner.space.prior import Prior

__all__ = ["TRANSFORMERS"]

#: Of SASRec, BERT4Rec and HSTU, for all spaces that search over them.
TRANSFORMERS = Prior.read(Path(__file__).parent / "transformers.json")
