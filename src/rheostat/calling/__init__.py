"""The only wing that sends requests or sees what is sent.

In: a plan and messages. Out: a reply, settled in the ledger. The gate (`gate`) takes a hold for every request where it
leaves; `step` and `fit` plan a step that fits; `sample` and `meter` send the solver's requests. This wing never decides
the effort.
"""
