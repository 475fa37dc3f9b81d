"""Tests judged outside of the process of the code that they test.

In: a tree, whose files are the tests'. Out: which tests passed, and what couldn't be judged. The tests run in one
sandbox (the examiner), the code in another (the subject); values cross between them as data and are compared by the
examiner, so that nothing which the code does to its own process can turn a verdict.
"""

from rheostat.evidence.examining.examine import Examined, examine, examine_source

__all__ = ["Examined", "examine", "examine_source"]
