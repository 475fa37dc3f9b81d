"""What a run did, for people and for tools that watch.

In: events. Out: OpenTelemetry spans. It never changes a run.
"""
