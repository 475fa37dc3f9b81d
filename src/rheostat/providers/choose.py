"""Which dial fits a chat model."""

from __future__ import annotations

import sys

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from rheostat.errors import ModelUnknown
from rheostat.pricing import Price, price_of
from rheostat.providers.anthropic import AnthropicDial
from rheostat.providers.dial import Dial, Endpoint
from rheostat.providers.generic import GenericDial
from rheostat.providers.llama_cpp import ChatLlamaCpp, LlamaCppDial
from rheostat.providers.openai import OpenAIDial

__all__ = ["endpoint_for", "hosted_endpoint"]


def endpoint_for(chat: BaseChatModel, *, name: str | None = None, price: Price | None = None) -> Endpoint:
    """An endpoint around any chat model: its dial by its class and profile, its price from the list or yours.

    SDK-internal retries are invisible to a ledger: a chat model that would retry by itself is copied with
    `max_retries=0`; the meter retries instead.
    """
    chat = _without_retries(chat)
    model = str(getattr(chat, "model_name", None) or getattr(chat, "model", None) or type(chat).__name__)
    reasoning = bool((chat.profile or {}).get("reasoning_output"))
    dial: Dial
    provider = None
    if _is_anthropic(chat):
        provider = "anthropic"
        dial = AnthropicDial(name or model, chat) if reasoning else GenericDial(name or model)
    elif isinstance(chat, ChatLlamaCpp):
        dial = LlamaCppDial(name or model, client=chat)
    elif isinstance(chat, ChatOpenAI):
        own_server = chat.openai_api_base is not None and "api.openai.com" not in chat.openai_api_base
        provider = None if own_server else "openai"
        fits = reasoning and not own_server
        dial = OpenAIDial(name or model, chat) if fits else GenericDial(name or model)
    else:
        dial = GenericDial(name or model)
    if price is None and provider is not None:
        price = price_of(provider, model)
    context = (chat.profile or {}).get("max_input_tokens")
    return Endpoint(chat=chat, dial=dial, price=price, context_tokens=context)


def _is_anthropic(chat: BaseChatModel) -> bool:
    """Without importing langchain-anthropic: that alone takes two seconds, and who has such a model has imported it."""
    module = sys.modules.get("langchain_anthropic")
    return module is not None and isinstance(chat, module.ChatAnthropic)


def _without_retries(chat: BaseChatModel) -> BaseChatModel:
    """A copy whose client doesn't retry by itself; the caller's own model is left alone."""
    if isinstance(chat, ChatOpenAI) and chat.root_client is not None:
        sync, asynchronous = (
            client.with_options(max_retries=0) for client in (chat.root_client, chat.root_async_client)
        )
        return chat.model_copy(
            update={
                "max_retries": 0,
                # a stream is settled from its last chunk: it must be asked for, unless the caller knows better
                "stream_usage": chat.stream_usage if "stream_usage" in chat.model_fields_set else True,
                "root_client": sync,
                "client": sync.chat.completions,
                "root_async_client": asynchronous,
                "async_client": asynchronous.chat.completions,
            }
        )
    if _is_anthropic(chat):
        copy = chat.model_copy(update={"max_retries": 0})
        for built in ("_client", "_async_client", "_client_params"):  # made from the old settings, if at all
            copy.__dict__.pop(built, None)
        return copy
    return chat


def hosted_endpoint(spec: str) -> Endpoint:
    """An endpoint from `openai:MODEL` or `anthropic:MODEL`; the key comes from the provider's environment variable.

    Raises:
        ModelUnknown: no such provider, no model name, or no key.
    """
    provider, _, model = spec.partition(":")
    if not model:
        raise ModelUnknown(f"{spec!r} names no model; write for example {provider}:MODEL")
    try:
        if provider == "openai":
            return endpoint_for(ChatOpenAI(model=model, max_retries=0, timeout=600), name=spec)
        if provider == "anthropic":
            from langchain_anthropic import ChatAnthropic

            chat = ChatAnthropic(model_name=model, max_retries=0, timeout=600, stop=None)
            if not chat.anthropic_api_key.get_secret_value():  # else it would show at the first call only
                raise ModelUnknown("set ANTHROPIC_API_KEY")
            return endpoint_for(chat, name=spec)
    except Exception as error:
        raise ModelUnknown(f"{spec}: {error}") from error
    raise ModelUnknown(f"no provider {provider!r}: write openai:MODEL or anthropic:MODEL")
