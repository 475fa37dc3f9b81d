"""Judge tests outside the process of the code under test.

In: a tree, and which of its files belong to the tests. Out: which tests passed, and what couldn't be judged. The tests
run in one sandbox (the examiner), the code in another (the subject). Values cross between them as data and the examiner
compares them, so that nothing the code does to its own process can change a verdict.
"""

from rheostat.evidence.examining.examine import Examined, examine, examine_source

__all__ = ["Examined", "examine", "examine_source"]
