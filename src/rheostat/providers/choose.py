"""Which dial fits a chat model."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from rheostat.errors import ModelUnknown, SettingWarning
from rheostat.pricing import FREE, Price, price_of
from rheostat.providers.anthropic import AnthropicDial
from rheostat.providers.dial import Dial, Endpoint
from rheostat.providers.generic import GenericDial
from rheostat.providers.hosted import takes_effort
from rheostat.providers.llama_cpp import ChatLlamaCpp, LlamaCppDial
from rheostat.providers.openai import OpenAIDial, has_dial
from rheostat.providers.transformers import ChatTransformers, TransformersDial

if TYPE_CHECKING:
    from langchain_anthropic import ChatAnthropic

Provider: TypeAlias = Literal["openai", "anthropic"]

__all__ = ["endpoint_for", "hosted_endpoint"]


def endpoint_for(
    chat: BaseChatModel,
    *,
    name: str | None = None,
    price: Price | None = None,
    provider: Provider | None = None,
    strict: bool = False,
) -> Endpoint:
    """An endpoint around any chat model: its dial by its class and profile, its price from the list or yours.

    The model is copied, not changed: the copy doesn't retry by itself (SDK-internal retries are invisible to a ledger;
    the meter retries instead) and has no thinking settings of its own, since some of them would win over the plan's.

    Args:
        chat: Any LangChain chat model.
        name: What to call it in plans, spend and messages; its own name otherwise.
        price: Yours, instead of the listed one.
        provider: Whose rules and prices hold behind an address that doesn't tell, such as a gateway of your own.
        strict: A level that the model doesn't have is an error, not the nearest one that it has.

    Warns:
        SettingWarning: the model object has thinking settings of its own; the plan replaces them.
    """
    chat = _for_the_meter(chat)
    model = str(getattr(chat, "model_name", None) or getattr(chat, "model", None) or type(chat).__name__)
    name = name or model
    reasoning = takes_effort(chat)
    dial: Dial = GenericDial(name)
    provider = provider or _provider(chat)
    if isinstance(chat, ChatLlamaCpp):
        dial = LlamaCppDial(name, client=chat)
    elif isinstance(chat, ChatTransformers):
        dial, price = TransformersDial(chat.name, chat), price or FREE
    elif reasoning and _is_anthropic(chat):
        dial = AnthropicDial(name, chat, strict=strict)
    elif reasoning and isinstance(chat, ChatOpenAI) and provider == "openai" and has_dial(chat):
        dial = OpenAIDial(name, chat, strict=strict)
    if price is None and provider is not None:
        price = price_of(provider, model)
    context = (chat.profile or {}).get("max_input_tokens")
    return Endpoint(chat=chat, dial=dial, price=price, context_tokens=context)


def _provider(chat: BaseChatModel) -> Provider | None:
    """Whose server it is by its address: others' prices and rules the tables don't know."""
    if _is_anthropic(chat):
        return "anthropic" if "anthropic.com" in (chat.anthropic_api_url or "anthropic.com") else None
    if isinstance(chat, ChatOpenAI) and not isinstance(chat, ChatLlamaCpp):
        return "openai" if "api.openai.com" in (chat.openai_api_base or "api.openai.com") else None
    return None


def _is_anthropic(chat: BaseChatModel) -> TypeGuard[ChatAnthropic]:
    """Without importing langchain-anthropic: that alone takes two seconds, and who has such a model has imported it."""
    module = sys.modules.get("langchain_anthropic")
    return module is not None and isinstance(chat, module.ChatAnthropic)


_SECONDS = 600.0
"""How long a request may take, if the model object doesn't say: without an end, one that hangs would hang us."""


def _for_the_meter(chat: BaseChatModel) -> BaseChatModel:
    """A copy without retries and without thinking settings; the caller's own model is left alone."""
    if isinstance(chat, ChatOpenAI) and chat.root_client is not None:
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
                # a stream is settled from its last chunk: it must be asked for, unless the caller knows better
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
        for built in ("_client", "_async_client", "_client_params"):  # made from the old settings, if at all
            copy.__dict__.pop(built, None)
        return copy
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
