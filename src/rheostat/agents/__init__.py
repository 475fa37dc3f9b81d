"""Agents that think under a budget: the middleware, ready agents, the coder, autonomous tasks.

In: LangChain's agents, tools, a repository. Out: each step planned, sent by the agent's own model, and corrected on
evidence. Charges are decided in `rheostat.calling`, never here.
"""
