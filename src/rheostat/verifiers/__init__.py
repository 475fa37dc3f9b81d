"""Evidence from outside the model: each verifier turns an answer into a `Verdict`.

`PythonTests`, `JsonSchema`, `Exact`, `Matches`, `MathsAnswer`, or any function of the answer (by `as_verifier`).
A verdict passes, fails with a reason that goes back to the model, or abstains.
"""

from rheostat.verifiers.maths import MathsAnswer, maths_key
from rheostat.verifiers.plain import Exact, Matches
from rheostat.verifiers.python_tests import PythonTests
from rheostat.verifiers.schema import JsonSchema
from rheostat.verifiers.verdict import AnswerForm, Check, Verdict, Verifier, as_verifier

__all__ = [
    "AnswerForm",
    "Check",
    "Exact",
    "JsonSchema",
    "Matches",
    "MathsAnswer",
    "PythonTests",
    "Verdict",
    "Verifier",
    "as_verifier",
    "maths_key",
]
