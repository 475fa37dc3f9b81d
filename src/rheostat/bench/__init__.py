"""Measurements: adaptive against fixed thinking, ways of asking, verdicts, what we add to a call.

In: problems with known answers. Out: tables and records in docs/benchmarks. Each has the plain way beside it in the
same run.
"""
