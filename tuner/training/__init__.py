"""Fast paths of a fit that change none of its results."""
