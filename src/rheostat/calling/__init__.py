"""The only wing that sends anything, or sees what is sent.

In: a plan and messages. Out: a reply, settled in the ledger. The gate (`gate`) holds for every request where it leaves;
`step` and `fit` plan one that fits; `sample` and `meter` send the solver's own. It never decides how hard to think.
"""
