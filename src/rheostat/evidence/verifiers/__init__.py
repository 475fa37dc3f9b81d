"""Verifiers: evidence from outside the model, which turns an answer into a `Verdict`.

`PythonTests`, `JsonSchema`, `Exact`, `Matches`, `MathsAnswer`, or any function of the answer (by `as_verifier`).
A verdict passes, fails with a reason that goes back to the model, or abstains.
"""

from rheostat.evidence.verifiers.maths import MathsAnswer
from rheostat.evidence.verifiers.plain import Exact, Matches
from rheostat.evidence.verifiers.python_tests import PythonTests
from rheostat.evidence.verifiers.schema import JsonSchema
from rheostat.evidence.verifiers.verdict import Check, Verdict, Verifier, as_verifier, judged

__all__ = [
    "Check",
    "Exact",
    "JsonSchema",
    "Matches",
    "MathsAnswer",
    "PythonTests",
    "Verdict",
    "Verifier",
    "as_verifier",
    "judged",
]
