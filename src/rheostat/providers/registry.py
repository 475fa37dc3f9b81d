"""The registry of providers, which makes endpoints of chat models and names."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, get_args

from langchain_core.language_models import BaseChatModel

from rheostat.errors import BadInput, MissingExtra, ModelUnknown
from rheostat.money.pricing import Price, declared_price, own_prices, price_of
from rheostat.providers.adapter import Adapter, model_of
from rheostat.providers.anthropic import Anthropic
from rheostat.providers.dial import Endpoint
from rheostat.providers.integrations import INTEGRATIONS
from rheostat.providers.llama_cpp import LlamaCpp
from rheostat.providers.openai import OpenAI
from rheostat.providers.transformers import Transformers

Provider: TypeAlias = Literal["openai", "anthropic"]

__all__ = ["adapter_of", "endpoint_for", "hosted_endpoint", "register"]

_adapters: list[Adapter] = [LlamaCpp(), Transformers(), *INTEGRATIONS, Anthropic(), OpenAI(), Adapter()]
"""The adapters, asked in turn; the last one claims every chat model."""


def register(adapter: Adapter) -> None:
    """Add a provider, which is asked first from now on.

    Raises:
        BadInput: the object isn't an adapter.
    """
    if not isinstance(adapter, Adapter):
        raise BadInput(f"register takes an Adapter or an Integration, not {adapter!r}")
    _adapters.insert(0, adapter)


def adapter_of(chat: BaseChatModel) -> Adapter:
    """The provider that claims this chat model."""
    return next(adapter for adapter in _adapters if adapter.claims(chat))


def endpoint_for(
    chat: BaseChatModel,
    *,
    name: str | None = None,
    price: Price | None = None,
    provider: Provider | None = None,
    strict: bool = False,
    live: bool = False,
) -> Endpoint:
    """Make an endpoint of any chat model: its dial by class and profile, its price yours or the listed one.

    The model is copied, not changed. The copy doesn't retry, since the meter does, and has no thinking settings of its
    own, since some would override the plan's. The solver and `ThinkingChatModel` call the copy; agents call the model
    as given.

    Args:
        chat: Any LangChain chat model.
        name: The name to use in plans, spend and messages; by default the model's own.
        price: Your own price, instead of the listed one.
        provider: The provider whose rules and prices apply behind an address that doesn't show it, such as a gateway.
        strict: Raise an error for a level that the model doesn't have, instead of taking the nearest one.
        live: Ask the provider now what the model can do, where it offers that (Anthropic's `/v1/models/{id}`). Its
            answer overrides LangChain's profile and our tables. One request, free of charge.

    Raises:
        ModelUnknown: with `live`, the provider doesn't know the model, or can't be asked.

    Warns:
        SettingWarning: the model object has thinking settings of its own; the plan replaces them.
    """
    if provider not in (None, *get_args(Provider)):
        raise BadInput(f"provider must be {' or '.join(get_args(Provider))}, not {provider!r}")
    adapter, given = adapter_of(chat), chat
    chat = adapter.once(chat)
    model = model_of(chat)
    dial = adapter.dial(chat, name or model, provider=provider, strict=strict, live=live)
    listed = price_of(provider, model) if provider else adapter.price(chat)
    return Endpoint(
        chat=chat,
        dial=dial,
        price=price or listed or declared_price(model),
        context_tokens=getattr(dial, "context_tokens", None) or (chat.profile or {}).get("max_input_tokens"),
        takes_timeout=adapter.takes_timeout,
        given=given,
    )


def hosted_endpoint(spec: str, *, price: Price | None = None) -> Endpoint:
    """Make an endpoint from `PROVIDER:MODEL`; the key comes from the provider's environment variable.

    Args:
        price: Your own price, instead of the listed one.

    Raises:
        ModelUnknown: no such provider, no model name, or no key.
        MissingExtra: the provider's LangChain integration isn't installed.
    """
    provider, _, model = spec.partition(":")
    if not model:
        raise ModelUnknown(f"{spec!r} names no model: write {provider or 'openai'}:MODEL")
    adapter = next((each for each in _adapters if each.spec == provider), None)
    if adapter is None:
        known = ", ".join(sorted({each.spec for each in _adapters if each.spec}))
        raise ModelUnknown(f"no provider {provider!r}: write PROVIDER:MODEL with one of {known}")
    try:
        return endpoint_for(adapter.build(model), name=spec, price=price or own_prices().get(spec))
    except ImportError as error:
        raise MissingExtra(spec, "providers") from error
    except Exception as error:
        variable = re.search(r"\b[A-Z][A-Z0-9]*_API_KEY\b", str(error))
        if "credentials" in str(error) and variable:  # the SDK's text names four ways to sign in
            raise ModelUnknown(f"{spec}: there is no API key: set {variable[0]}") from error
        raise ModelUnknown(f"{spec}: {error}") from error
