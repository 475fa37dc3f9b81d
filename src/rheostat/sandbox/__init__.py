"""Where code that a model wrote may run. In: source, limits. Out: values and text that came out, or why it didn't run.

It never holds a verdict: what comes out is judged outside.
"""
