"""Run code that a model wrote. In: source or a command, limits. Out: values and text, or why it didn't run.

The sandbox never holds a verdict: its output is judged outside.
"""

from rheostat.sandbox.allowed import Limits, Show
from rheostat.sandbox.kinds import Sandbox, choose, why_not
from rheostat.sandbox.running import Ended, Running
from rheostat.sandbox.scratch import remove, temporary_directory

__all__ = ["Ended", "Limits", "Running", "Sandbox", "Show", "choose", "remove", "temporary_directory", "why_not"]
