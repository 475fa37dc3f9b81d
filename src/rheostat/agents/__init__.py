"""Agents over tools and repositories."""
