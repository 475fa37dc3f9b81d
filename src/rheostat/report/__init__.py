"""Report runs to monitoring tools.

In: the work of runs, and their events. Out: OpenTelemetry's spans and metrics, and LangSmith's metadata. It never
changes a run.
"""
