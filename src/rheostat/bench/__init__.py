"""Benchmarks: adaptive against fixed thinking, ways of asking, verdicts, the ledgers, the overhead of a call.

In: problems with known answers. Out: tables and records in docs/benchmarks. Each benchmark measures a plain baseline
in the same run.
"""
