"""Adaptive against fixed thinking: the same model, the same problems, in one run."""
