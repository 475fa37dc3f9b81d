"""Put a task to a model, find the answer in the reply, and judge it.

In: questions, replies, verifiers. Out: messages, answers with exact values, verdicts, votes. Pure and bounded: nothing
here sends a request, reads a budget or knows a graph.
"""
