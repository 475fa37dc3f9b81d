"""How a task is put to a model, how the answer is found in its reply, and what can be said about it.

In: questions, replies, verifiers. Out: messages, answers with exact values, verdicts, votes. Pure and bounded: nothing
here sends a request, reads a budget or knows a graph.
"""
