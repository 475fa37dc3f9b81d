"""Resolve names and chat models to endpoints that can be called."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from rheostat.errors import ModelUnknown
from rheostat.local import CATALOGUE, LocalServer, require_model, start_server
from rheostat.local.server import shared_server
from rheostat.money.pricing import FREE, Price
from rheostat.providers import Endpoint, endpoint_for, hosted_endpoint
from rheostat.providers.llama_cpp import LlamaCppDial
from rheostat.providers.servers import SERVERS, ServerDial, inspect_server

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = ["local_endpoint", "models_of", "resolve", "served_endpoint"]

_REQUEST_SECONDS = 600


def resolve(model: str | BaseChatModel | Endpoint, *, price: Price | None = None) -> Endpoint:
    """Make an endpoint from a chat model or from a name.

    Args:
        model: A chat model; `qwen2.5-coder-0.5b` (a local name); a path to a GGUF file; `openai:MODEL`,
            `anthropic:MODEL` and so on (`google_genai`, `deepseek`, `openrouter`, `bedrock_converse`, `xai`, `groq`,
            `ollama`, with the extra `providers`); or the URL of an OpenAI-compatible server.
        price: Your own price, instead of the listed one. It stays with the endpoint, not with its `.chat`.

    Raises:
        ModelUnknown: nothing has that name; the message lists what there is.
        LocalModelError: the local model is missing, is damaged, or doesn't start.
    """
    if isinstance(model, Endpoint):
        return model if price is None else replace(model, price=price)
    if isinstance(model, BaseChatModel):
        return endpoint_for(model, price=price)
    if not isinstance(model, str) or not model.strip():
        raise ModelUnknown(f"a model must be a chat model or a name, not {model!r}")
    if model.startswith(("http://", "https://")):
        return _url_endpoint(model.rstrip("/"), price)
    if model in CATALOGUE:
        return local_endpoint(require_model(CATALOGUE[model]), name=model, price=price)
    if model.endswith(".gguf") or Path(model).is_file():
        return local_endpoint(Path(model), name=Path(model).stem, price=price)
    if ":" in model:
        return hosted_endpoint(model, price=price)
    near = difflib.get_close_matches(model, CATALOGUE, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ModelUnknown(
        f"no model {model!r}.{hint} Use a local name ({', '.join(CATALOGUE)}), a path to a .gguf file, "
        "openai:MODEL, anthropic:MODEL (or another provider), or the URL of an OpenAI-compatible server."
    )


def models_of(given: object) -> Sequence[str | BaseChatModel | Endpoint]:
    """The models as a sequence; a single one becomes a list."""
    if isinstance(given, str | BaseChatModel | Endpoint):
        return [given]
    if not isinstance(given, Sequence):
        raise ModelUnknown(f"models must be chat models or names, not {given!r}")
    return given


def local_endpoint(path: Path, *, name: str, price: Price | None = None) -> Endpoint:
    """Make an endpoint on a GGUF file, at a shared server if one runs, else at one of our own."""
    shared = shared_server(path)
    if shared is not None:
        return served_endpoint(*shared, name=name, price=price or FREE, context_tokens=8192, own_template=True)
    server = start_server(path)
    return served_endpoint(server.url, server.key, name=name, price=price or FREE, server=server, own_template=True)


def served_endpoint(
    url: str,
    key: str,
    *,
    name: str,
    price: Price | None = None,
    server: LocalServer | None = None,
    context_tokens: int | None = None,
    own_template: bool = False,
    thinks: bool = False,
) -> Endpoint:
    """Make an endpoint on a llama.cpp server.

    Args:
        own_template: The server runs our chat template, which has no tools: tool calls are bound to a grammar.
        thinks: The model was trained to think.
    """
    from rheostat.providers.server_chat import ChatLlamaCpp

    # the meter restarts a server that died; our own is on this machine, where no proxy of the environment reads along
    chat = _client(ChatLlamaCpp, url, key, name, max_retries=0, direct=own_template)
    if own_template:
        chat = chat.model_copy(update={"calls_by_schema": True})
    ours = CATALOGUE.get(name)
    measured = {"ways": ours.ways, "copies": ours.copies} if ours is not None else {}
    return Endpoint(
        chat=chat,
        dial=LlamaCppDial(name, client=chat, thinks=thinks, **measured),  # type: ignore[arg-type]  # as the fields above
        price=price,
        context_tokens=server.context_tokens if server else context_tokens,
        takes_timeout=True,
        revive=server.revive if server else None,
    )


def _client(
    kind: type[ChatOpenAI], url: str, key: str, name: str, max_retries: int | None = None, *, direct: bool = False
) -> ChatOpenAI:
    from rheostat.providers.server_chat import AsyncDirect, Direct

    return kind(
        http_client=Direct(trust_env=False) if direct else None,
        http_async_client=AsyncDirect(trust_env=False) if direct else None,
        model=name,
        base_url=url,
        api_key=SecretStr(key),
        max_retries=max_retries,
        timeout=_REQUEST_SECONDS,
        stream_usage=True,
    )


def _url_endpoint(url: str, price: Price | None) -> Endpoint:
    from langchain_openai import ChatOpenAI

    from rheostat.providers.server_chat import ChatServer

    key = os.environ.get("OPENAI_API_KEY") or "none"
    found = inspect_server(url, key)
    name = found.models[0]
    if found.kind == "llama.cpp":
        return served_endpoint(
            url, key, name=name, price=price, context_tokens=found.context_tokens, thinks=found.thinks
        )
    if found.kind not in SERVERS:
        return endpoint_for(_client(ChatOpenAI, url, key, name), name=name, price=price)
    given, chat = (_client(ChatServer, url, key, name, max_retries) for max_retries in (None, 0))
    dial = ServerDial(name, SERVERS[found.kind])
    return Endpoint(
        chat=chat, dial=dial, price=price, context_tokens=found.context_tokens, takes_timeout=True, given=given
    )
