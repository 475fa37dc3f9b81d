"""The adapter of a provider: its chat models, how they are built and set, and its price list."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from langchain_core.language_models import BaseChatModel

from rheostat.errors import ModelUnknown, SettingWarning
from rheostat.money.pricing import Price, price_of
from rheostat.providers.dial import Dial
from rheostat.providers.generic import DIRECT, LEVELS, GenericDial

__all__ = ["Adapter", "is_kind", "model_of", "tell_replaced"]


class Adapter:
    """One provider. As it stands it fits any chat model, which thinks in a request of its own and has no listed price.

    To add a provider, subclass it or fill a row (`rheostat.providers.Integration`), and `register` the object.
    """

    spec: str = ""
    """The provider's name before the colon, as in `openai:gpt-5.1`; empty: its models aren't found by name."""
    takes_timeout: bool = False
    """Whether a call takes `timeout`, in seconds."""

    def claims(self, chat: BaseChatModel) -> bool:
        """Whether this is one of the provider's chat models."""
        return True

    def build(self, model: str) -> BaseChatModel:
        """Build a chat model from its name; the key comes from the provider's environment variable.

        Raises:
            ModelUnknown: there is no such model, or no key.
            ImportError: the provider's LangChain integration isn't installed.
        """
        raise ModelUnknown(f"{self.spec or type(self).__name__} builds no models by name")

    def once(self, chat: BaseChatModel) -> BaseChatModel:
        """A copy that doesn't retry, since the meter does, and has no thinking settings of its own."""
        return chat

    def bare(self, chat: BaseChatModel) -> BaseChatModel:
        """The model itself, or a copy without thinking settings that would override a call's.

        A copy has the same class and the same client.
        """
        return chat

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        """The dial that sets the model's thinking and reads its replies.

        Args:
            chat: The model as `once` returns it.
            name: The name to call the model by.
            provider: The provider whose rules apply, if the user or the address names one.
            strict: Raise an error for a level that the model doesn't have.
            live: Ask the provider what the model can do.
        """
        # a fake answers from a script, and some models think by themselves: no request of its own for a thought
        thinks = bool((chat.profile or {}).get("reasoning_output"))
        return GenericDial(name, levels=DIRECT if thinks or "fake" in chat._llm_type else LEVELS, profile=chat.profile)

    def price_list(self, chat: BaseChatModel) -> str | None:
        """The provider in genai-prices whose list prices apply; `None`: there is none."""
        return None

    def price(self, chat: BaseChatModel) -> Price | None:
        """The model's list price; `None`: unknown."""
        provider = self.price_list(chat)
        return price_of(provider, model_of(chat)) if provider else None


def is_kind(chat: BaseChatModel, module: str, kind: str) -> bool:
    """Whether a chat model is of a class, which isn't imported to find out: without its module it has no objects."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(chat, getattr(loaded, kind))


def model_of(chat: BaseChatModel) -> str:
    """The model's name, without the path or region that some services put before it."""
    name = getattr(chat, "model_name", None) or getattr(chat, "model_id", None) or getattr(chat, "model", None)
    return str(name or type(chat).__name__).removeprefix("models/")


def tell_replaced(chat: BaseChatModel, own: dict[str, Any], *, stacklevel: int = 5) -> None:
    """Warn that the model object's own thinking settings give way."""
    if own:
        text = ", ".join(f"{name}={value!r}" for name, value in own.items())
        warnings.warn(
            f"{type(chat).__name__}({text}): the plan sets the thinking of each call, so this gives way to it; "
            "leave it out, or fix the level with effort=…",
            SettingWarning,
            stacklevel=stacklevel,
        )
