"""Look up LangChain's model profile for a model that is known only by its name, as on the wire."""

from __future__ import annotations

import functools
import importlib

__all__ = ["most_output_tokens"]

_PACKAGES = {
    "openai": "langchain_openai", "anthropic": "langchain_anthropic", "google": "langchain_google_genai",
    "groq": "langchain_groq", "x-ai": "langchain_xai", "deepseek": "langchain_deepseek", "aws": "langchain_aws",
}  # fmt: skip
"""LangChain packages by the provider's name in genai-prices."""


@functools.cache
def most_output_tokens(provider: str, model: str) -> int | None:
    """The longest reply of a model, in tokens; `None`: its package isn't installed, or doesn't list it."""
    package = _PACKAGES.get(provider)
    if package is None:
        return None
    try:
        profiles = importlib.import_module(f"{package}.data._profiles")._PROFILES
    except (ImportError, AttributeError):
        return None
    most = (profiles.get(model) or {}).get("max_output_tokens")
    return most if isinstance(most, int) and most > 0 else None
