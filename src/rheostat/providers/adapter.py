"""What a provider is: the chat models that are its own, how they are built and set, and the price list that holds."""

from __future__ import annotations

import warnings
from typing import Any

from langchain_core.language_models import BaseChatModel

from rheostat.errors import ModelUnknown, SettingWarning
from rheostat.money.pricing import Price, price_of
from rheostat.providers.dial import Dial
from rheostat.providers.generic import DIRECT, LEVELS, GenericDial

__all__ = ["Adapter", "model_of", "tell_replaced"]


class Adapter:
    """One provider. The methods here fit any chat model: it thinks in a request of its own, and has no listed price.

    Subclass it, or fill a row (`rheostat.providers.Integration`), and `register` the object.
    """

    spec: str = ""
    """The provider's name before the colon, as in `openai:gpt-5.1`; empty: its models aren't found by name."""
    takes_timeout: bool = False
    """A call takes `timeout` (seconds)."""

    def claims(self, chat: BaseChatModel) -> bool:
        """Is it one of this provider's chat models?"""
        return True

    def build(self, model: str) -> BaseChatModel:
        """A chat model from its name; the key comes from the provider's environment variable.

        Raises:
            ModelUnknown: there is no such model, or no key.
            ImportError: the provider's LangChain integration isn't installed.
        """
        raise ModelUnknown(f"{self.spec or type(self).__name__} builds no models by name")

    def once(self, chat: BaseChatModel) -> BaseChatModel:
        """A copy that sends a request once (the meter retries) and has no thinking settings of its own."""
        return chat

    def bare(self, chat: BaseChatModel) -> BaseChatModel:
        """The model object itself; or a copy of the same class, with the same client, without thinking settings that
        would win over a call's."""
        return chat

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        """How its thinking is set and its replies are read.

        Args:
            chat: As `once` made it.
            name: What to call the model.
            provider: The one whose rules hold, if the user or the address says so.
            strict: A level that the model doesn't have is an error.
            live: Ask the provider what the model can do.
        """
        # a fake in a test says what it was told to say, request by request: none is made for a thought
        return GenericDial(name, levels=DIRECT if "fake" in chat._llm_type else LEVELS)

    def price_list(self, chat: BaseChatModel) -> str | None:
        """The provider in genai-prices whose prices hold; `None`: none does."""
        return None

    def price(self, chat: BaseChatModel) -> Price | None:
        """What the model costs; `None`: unknown."""
        provider = self.price_list(chat)
        return price_of(provider, model_of(chat)) if provider else None


def model_of(chat: BaseChatModel) -> str:
    """The model's name, without the path or region that some services put before it."""
    name = getattr(chat, "model_name", None) or getattr(chat, "model_id", None) or getattr(chat, "model", None)
    return str(name or type(chat).__name__).removeprefix("models/")


def tell_replaced(chat: BaseChatModel, own: dict[str, Any]) -> None:
    """Warn that the model object's own thinking settings give way."""
    if own:
        text = ", ".join(f"{name}={value!r}" for name, value in own.items())
        warnings.warn(
            f"{type(chat).__name__}({text}): the plan sets the thinking of each call, so this gives way to it; "
            "leave it out, or fix the level with effort=…",
            SettingWarning,
            stacklevel=5,
        )
