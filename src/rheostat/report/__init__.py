"""Report runs to monitoring tools.

In: events. Out: OpenTelemetry spans. It never changes a run.
"""
