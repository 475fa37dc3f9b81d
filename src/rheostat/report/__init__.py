"""What runs did: pages for people, spans for monitoring tools.

In: a ledger; events. Out: a report as plain data and as one HTML page; OpenTelemetry spans. It never changes a run.
"""

from rheostat.report.build import build_report
from rheostat.report.data import Report

__all__ = ["Report", "build_report"]
