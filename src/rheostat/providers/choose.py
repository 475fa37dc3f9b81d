"""Choose the dial that fits a chat model."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard, get_args

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from rheostat.errors import BadInput, MissingExtra, ModelUnknown, SettingWarning
from rheostat.money.pricing import FREE, Price, declared_price, price_of
from rheostat.providers.anthropic import AnthropicDial, ask_about
from rheostat.providers.dial import Dial, Endpoint
from rheostat.providers.generic import DIRECT, LEVELS, GenericDial
from rheostat.providers.hosted import takes_effort
from rheostat.providers.integrations import (
    INTEGRATIONS,
    BedrockClaudeDial,
    Integration,
    TableDial,
    integration_of,
    model_of,
)
from rheostat.providers.llama_cpp import ChatLlamaCpp, LlamaCppDial
from rheostat.providers.openai import OpenAIDial, has_dial
from rheostat.providers.transformers import ChatTransformers, TransformersDial

if TYPE_CHECKING:
    from langchain_anthropic import ChatAnthropic

Provider: TypeAlias = Literal["openai", "anthropic"]

__all__ = ["endpoint_for", "hosted_endpoint", "own_model"]


def endpoint_for(
    chat: BaseChatModel,
    *,
    name: str | None = None,
    price: Price | None = None,
    provider: Provider | None = None,
    strict: bool = False,
    live: bool = False,
) -> Endpoint:
    """Make an endpoint of any chat model: its dial by its class and profile, its price from the list or yours.

    The model is copied, not changed. The copy, which solver and chat model call, doesn't retry by itself (the meter
    does) and has no thinking settings of its own, since some of them would override the plan's. Agents call the model
    as given.

    Args:
        chat: Any LangChain chat model.
        name: The name in plans, spend and messages; by default the model's own name.
        price: Your price, instead of the listed one.
        provider: The provider whose rules and prices apply, if the address doesn't tell, as with your own gateway.
        strict: A level that the model doesn't have is an error; else the nearest level is used.
        live: Ask the provider now about the model's capabilities, if it has an API for that (Anthropic's
            `/v1/models/{id}`). The answer takes precedence over LangChain's profile and our tables. One free request.

    Raises:
        ModelUnknown: With `live`, the provider doesn't know the model, or can't be reached.
        BadInput: `provider` has another value.

    Warns:
        SettingWarning: The model object has thinking settings of its own, which the plan replaces.
    """
    if provider not in (None, *get_args(Provider)):
        raise BadInput(f"provider is {' or '.join(get_args(Provider))}; not {provider!r}")
    row, given = integration_of(chat), chat
    chat = _for_the_meter(chat, row)
    model = model_of(chat)
    name = name or model
    reasoning = takes_effort(chat)
    context = (chat.profile or {}).get("max_input_tokens")
    # a fake in a test has one scripted reply per request, so no extra request is made for a thought
    dial: Dial = GenericDial(name, levels=DIRECT if "fake" in chat._llm_type else LEVELS)
    provider = provider or _provider(chat)
    if isinstance(chat, ChatLlamaCpp):
        dial = LlamaCppDial(name, client=chat)
    elif isinstance(chat, ChatTransformers):
        dial, price = TransformersDial(chat.name, chat), price or FREE
    elif row is not None:
        dial = _from_the_table(name, chat, row, reasoning=reasoning, strict=strict)
        price = price or (price_of(row.prices, model) if row.prices else None)
    elif _is_anthropic(chat) and (reasoning or live):
        told = ask_about(chat) if live else None
        context = (told and told.max_input_tokens) or context
        dial = AnthropicDial(name, chat, strict=strict, told=told)
    elif reasoning and isinstance(chat, ChatOpenAI) and provider == "openai" and has_dial(chat):
        dial = OpenAIDial(name, chat, strict=strict)
    if price is None and provider is not None:
        price = price_of(provider, model)
    cuts = isinstance(chat, BaseChatOpenAI) or _is_anthropic(chat) or (row is not None and row.takes_timeout)
    price = price or declared_price(model)
    return Endpoint(chat=chat, dial=dial, price=price, context_tokens=context, takes_timeout=cuts, given=given)


def _from_the_table(name: str, chat: BaseChatModel, row: Integration, *, reasoning: bool, strict: bool) -> Dial:
    """The dial by a row: Claude on Bedrock follows Anthropic's rules; without thinking settings, two-phase thinking."""
    if row.spec == "bedrock_converse" and "claude" in model_of(chat) and reasoning:
        return BedrockClaudeDial(name, chat, strict=strict)
    if (chat.profile or {}).get("reasoning_effort_levels") or row.levels(model_of(chat)):
        unknown = chat.profile is None and row.spec != "ollama"
        if reasoning or unknown or row.spec == "ollama":
            return TableDial(name, chat, row, strict=strict)
    return GenericDial(name, length=row.length)


def _provider(chat: BaseChatModel) -> Provider | None:
    """The provider by the server's address; `None`: another server, whose prices and rules aren't known."""
    if _is_anthropic(chat):
        return "anthropic" if "anthropic.com" in (chat.anthropic_api_url or "anthropic.com") else None
    if isinstance(chat, ChatOpenAI) and not isinstance(chat, ChatLlamaCpp):
        return "openai" if "api.openai.com" in (chat.openai_api_base or "api.openai.com") else None
    return None


def _is_anthropic(chat: BaseChatModel) -> TypeGuard[ChatAnthropic]:
    """Whether a model is a ChatAnthropic, without the two seconds of importing it: such a model implies the import."""
    module = sys.modules.get("langchain_anthropic")
    return module is not None and isinstance(chat, module.ChatAnthropic)


_SECONDS = 600.0
"""The timeout of a request if the model object has none, because a request that hangs would hang us."""


def _for_the_meter(chat: BaseChatModel, row: Integration | None) -> BaseChatModel:
    """A copy without retries and without thinking settings; the caller's model isn't changed."""
    if row is not None and not isinstance(chat, BaseChatOpenAI):
        return _built_anew(chat, row)
    if isinstance(chat, BaseChatOpenAI) and chat.root_client is not None:
        sync, asynchronous = (
            client.with_options(max_retries=0) for client in (chat.root_client, chat.root_async_client)
        )
        own = {name: getattr(chat, name) for name in ("reasoning_effort",) if getattr(chat, name) is not None}
        if (chat.reasoning or {}).get("effort") is not None:
            own["reasoning"] = {"effort": (chat.reasoning or {})["effort"]}
        _tell(chat, own)
        rest = {name: value for name, value in (chat.reasoning or {}).items() if name != "effort"}
        return chat.model_copy(
            update={
                "max_retries": 0,
                "reasoning_effort": None,
                "reasoning": rest or None,
                "use_responses_api": True if chat.reasoning is not None else chat.use_responses_api,
                # a stream is settled from its last chunk, so ask for usage, unless the caller has decided
                "stream_usage": chat.stream_usage if "stream_usage" in chat.model_fields_set else True,
                "root_client": sync,
                "client": sync.chat.completions,
                "root_async_client": asynchronous,
                "async_client": asynchronous.chat.completions,
            }
        )
    if _is_anthropic(chat):
        own = {
            name: getattr(chat, name) for name in ("thinking", "reasoning_effort") if getattr(chat, name) is not None
        }
        config = dict(chat.output_config or {})
        if "effort" in config:
            own["output_config"] = {"effort": config.pop("effort")}
        sampling = [name for name in ("temperature", "top_p", "top_k") if getattr(chat, name) is not None]
        if takes_effort(chat):
            own.update((name, getattr(chat, name)) for name in sampling)
        _tell(chat, own)
        update: dict[str, object] = dict.fromkeys(own)
        update.update(max_retries=0, output_config=config or None)
        if chat.default_request_timeout is None:
            update["default_request_timeout"] = _SECONDS
        copy = chat.model_copy(update=update)
        for built in ("_client", "_async_client", "_client_params"):  # cached, and made from the old settings
            copy.__dict__.pop(built, None)
        return copy
    return chat


def own_model(chat: BaseChatModel) -> BaseChatModel:
    """The model object itself; or, if it has thinking settings that would override a call's, a copy without them.

    The copy has the same class and the same client.
    """
    update: dict[str, Any] = {}
    if isinstance(chat, BaseChatOpenAI):
        if chat.reasoning_effort is not None:
            update["reasoning_effort"] = None
        if (chat.reasoning or {}).get("effort") is not None:
            rest = {name: value for name, value in (chat.reasoning or {}).items() if name != "effort"}
            update.update(reasoning=rest or None, use_responses_api=True)
    elif _is_anthropic(chat):
        update = {name: None for name in ("thinking", "reasoning_effort") if getattr(chat, name) is not None}
        config = dict(chat.output_config or {})
        if config.pop("effort", None) is not None:
            update["output_config"] = config or None
        if takes_effort(chat):
            update.update({n: None for n in ("temperature", "top_p", "top_k") if getattr(chat, n) is not None})
    return chat.model_copy(update=update) if update else chat


def _built_anew(chat: BaseChatModel, row: Integration) -> BaseChatModel:
    """Build the same model anew without retries, which are fixed when a client is built."""
    if not row.once:
        return chat
    fields = type(chat).model_fields
    given = {name: getattr(chat, name) for name in chat.model_fields_set if not fields[name].exclude}
    try:
        return type(chat)(**{**given, **row.once})
    except Exception as error:
        warnings.warn(
            f"{type(chat).__name__} can't be built again without retries ({error}): give it {row.once}, or else the "
            "retries of its client are on no ledger",
            SettingWarning,
            stacklevel=4,
        )
        return chat


def _tell(chat: BaseChatModel, own: dict[str, Any]) -> None:
    if own:
        text = ", ".join(f"{name}={value!r}" for name, value in own.items())
        warnings.warn(
            f"{type(chat).__name__}({text}): the plan sets the thinking of each call, so this gives way to it; "
            "leave it out, or fix the level with effort=…",
            SettingWarning,
            stacklevel=4,
        )


def hosted_endpoint(spec: str, *, price: Price | None = None) -> Endpoint:
    """Make an endpoint from `PROVIDER:MODEL`; the key comes from the provider's environment variable.

    Args:
        price: Your price, instead of the listed one.

    Raises:
        ModelUnknown: There is no such provider, no model name, or no key.
        MissingExtra: The provider's LangChain integration isn't installed.
    """
    provider, _, model = spec.partition(":")
    if not model:
        raise ModelUnknown(f"{spec!r} names no model: write {provider or 'openai'}:MODEL")
    row = next((row for row in INTEGRATIONS if row.spec == provider), None)
    try:
        if provider == "openai":
            return endpoint_for(ChatOpenAI(model=model, timeout=600), name=spec, price=price)
        if provider == "anthropic":
            from langchain_anthropic import ChatAnthropic

            chat = ChatAnthropic(model_name=model, timeout=600, stop=None)
            if not chat.anthropic_api_key.get_secret_value():  # fail here, not at the first call
                raise ModelUnknown("set ANTHROPIC_API_KEY")
            return endpoint_for(chat, name=spec, price=price)
        if row is not None:
            kind: Any = getattr(importlib.import_module(row.module), row.kind)
            return endpoint_for(kind(model=model), name=spec, price=price)
    except ImportError as error:
        raise MissingExtra(spec, "providers") from error
    except Exception as error:
        raise ModelUnknown(f"{spec}: {error}") from error
    known = ", ".join(("openai", "anthropic", *(row.spec for row in INTEGRATIONS)))
    raise ModelUnknown(f"no provider {provider!r}: write PROVIDER:MODEL with one of {known}")
