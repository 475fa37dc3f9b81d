"""Read the answer in a reply. In: a reply, a form, the question. Out: an `Answer` (text, value, key), or `None`."""

from rheostat.evidence.answers.apart import read_answer, without_thoughts
from rheostat.evidence.answers.asked import asked_form
from rheostat.evidence.answers.values import Answer, answer_of

__all__ = ["Answer", "answer_of", "asked_form", "read_answer", "without_thoughts"]
