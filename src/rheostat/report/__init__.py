"""What runs did: pages for people, spans for monitoring tools.

In: a ledger; the work of runs, and their events. Out: a report as plain data and as one HTML page; OpenTelemetry's
spans and metrics; LangSmith's metadata. It never changes a run.
"""

from rheostat.report.build import build_report
from rheostat.report.data import Report

__all__ = ["Report", "build_report"]
