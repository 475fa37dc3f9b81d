"""The providers that are known, and from a chat model or a name to an endpoint."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from langchain_core.language_models import BaseChatModel

from rheostat.errors import BadInput, MissingExtra, ModelUnknown
from rheostat.money.pricing import Price, declared_price, price_of
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
"""Asked in turn; the last one claims every chat model."""


def register(adapter: Adapter) -> None:
    """Make a provider known: from now on it is asked first.

    Raises:
        BadInput: it is no adapter.
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
    """An endpoint around any chat model: its dial by its class and profile, its price from the list or yours.

    The model is copied, not changed: the copy, which solver and chat model call, doesn't retry by itself (the meter
    does) and has no thinking settings of its own, since some of them would win over the plan's. Agents call the model
    as it was given.

    Args:
        chat: Any LangChain chat model.
        name: What to call it in plans, spend and messages; its own name otherwise.
        price: Yours, instead of the listed one.
        provider: The provider whose rules and prices hold behind an address that doesn't tell, such as a gateway.
        strict: A level that the model doesn't have is an error, not the nearest one that it has.
        live: Ask the provider now what the model can do, where it says so (Anthropic's `/v1/models/{id}`): what it
            says goes before LangChain's profile and our tables. One request, free of charge.

    Raises:
        ModelUnknown: with `live`, the provider doesn't know the model, or can't be asked.

    Warns:
        SettingWarning: the model object has thinking settings of its own; the plan replaces them.
    """
    if provider not in (None, *get_args(Provider)):
        raise BadInput(f"provider is {' or '.join(get_args(Provider))}; not {provider!r}")
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
    """An endpoint from `PROVIDER:MODEL`; the key comes from the provider's environment variable.

    Args:
        price: Yours, instead of the listed one.

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
        return endpoint_for(adapter.build(model), name=spec, price=price)
    except ImportError as error:
        raise MissingExtra(spec, "providers") from error
    except Exception as error:
        raise ModelUnknown(f"{spec}: {error}") from error
