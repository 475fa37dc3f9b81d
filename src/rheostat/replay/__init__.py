"""Replay strategies over recorded samples, without any model.

In: recorded questions with their samples (`read_rows`), and a strategy. Out: how often its answer is right, what it
drew and what that cost, beside controls on the same samples (`compare`). Each sample is drawn at most once in a run,
in seeded random orders. It never calls a model, never invents a sample, and never tells a strategy what is right.
"""

from rheostat.replay.choice import Choice
from rheostat.replay.compare import Comparison, Line, compare
from rheostat.replay.play import Outcome, Replay, replay
from rheostat.replay.reading import Recording, read_rows, rows_of
from rheostat.replay.rows import Row, Sample, row_of

__all__ = [
    "Choice", "Comparison", "Line", "Outcome", "Recording", "Replay", "Row", "Sample", "compare", "read_rows",
    "replay", "row_of", "rows_of",
]  # fmt: skip
