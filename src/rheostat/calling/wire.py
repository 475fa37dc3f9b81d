"""Read HTTP requests as they leave: the API, the model, the input and the length cap.

A table of paths says which requests cost money. Input is bounded by bytes: byte-level BPE makes no more tokens than
bytes, and JSON's punctuation outweighs the template's. Output is bounded by the length cap in the body. Sources: the
OpenAPI descriptions in the SDKs (openai 3.57, anthropic 2.14, google-genai 3.6, ollama 0.6) and, for `/classify`,
`/score`, `/pooling` and `/rerank`, the sources of vLLM 0.32 and SGLang 0.5.23, read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import orjson

from rheostat.errors import BadInput
from rheostat.providers.bounds import CLIENT_TOOLS

__all__ = ["SETTINGS", "Flavor", "WireRequest", "read_request", "unbounded_tools"]

Flavor: TypeAlias = Literal[
    "chat", "responses", "messages", "completions", "gemini", "ollama", "bedrock", "vectors", "other"
]
"""The API, which determines where the model, the length caps and the usage stand."""

_PROVIDERS = {
    "api.openai.com": "openai", "eu.api.openai.com": "openai", "us.api.openai.com": "openai",
    "api.anthropic.com": "anthropic", "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google", "api.deepseek.com": "deepseek", "api.x.ai": "x-ai", "api.groq.com": "groq",
    "openrouter.ai": "openrouter", "api.mistral.ai": "mistral", "api.cohere.com": "cohere",
    "api.together.xyz": "together", "api.fireworks.ai": "fireworks", "api.perplexity.ai": "perplexity",
    "api.typesafe.ai": "typesafe",
}  # fmt: skip
"""Providers by host, as genai-prices names them."""
_HOSTED = re.compile(r"(?:\.openai\.(azure)\.com|-ai(platform)\.googleapis\.com|^bedrock-runtime.*\.amazon(aws)\.com)$")

_BILLABLE: tuple[tuple[re.Pattern[str], Flavor], ...] = (
    (re.compile(r"/chat/completions$"), "chat"),
    (re.compile(r"/responses(/compact)?$"), "responses"),
    (re.compile(r"/messages$"), "messages"),
    (re.compile(r"/completions$"), "completions"),
    (re.compile(r":(generateContent|streamGenerateContent)$"), "gemini"),
    (re.compile(r"/api/(chat|generate)$"), "ollama"),
    (re.compile(r"^/model/.+/converse(-stream)?$"), "bedrock"),
    (
        re.compile(
            r"/(embeddings|decisions|rerank|reranking|classify|score|pooling)$|/api/embed(dings)?$"
            r"|:(batch)?[eE]mbedContents?$"
        ),
        "vectors",
    ),
)
_FREE = re.compile(
    r"/(models|files|tokenize|detokenize|moderations|health|props|slots|metrics|version)$"
    r"|/api/(tags|show|ps|version|pull)$|/responses/[^/]+/cancel$|/apply-template$"
)

_COUNTS = re.compile(r"/(count_tokens|input_tokens)$|:countTokens$")
"""Free requests that count another request's tokens."""

SETTINGS = {
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature",
    "top_p", "top_k", "n", "best_of", "seed", "logprobs", "top_logprobs", "logit_bias", "reasoning",
    "reasoning_effort", "thinking", "service_tier", "store", "include", "user", "safety_identifier",
    "prompt_cache_key", "frequency_penalty", "presence_penalty", "parallel_tool_calls", "tool_choice", "truncation",
    "background", "thinking_budget_tokens", "chat_template_kwargs", "speed", "inference_geo", "keep_alive",
    "verbosity", "cache_prompt", "samplers", "min_p", "max_tool_calls", "encoding_format", "dimensions", "betas",
    "return_tokens", "timings_per_token", "stop", "stop_sequences", "n_probs", "id_slot", "grammar",
}  # fmt: skip
"""Parts of a body that say how to answer: no model reads them."""
_MEDIA = re.compile(
    rb'"(image|image_url|input_image|inlineData|inline_data|fileData|file_data|document|file|input_file|file_id|input_audio'
    rb"|audio|video|container_upload|item_reference|previous_response_id|conversation|container|images|prompt"
    rb'|cachedContent|cached_content)"'
)
_IMAGES = {"image", "image_url", "input_image"}
_FILES = {"document", "file", "input_file", "input_audio", "audio", "video", "container_upload", "item_reference"}
_MEDIA_KINDS = _IMAGES | _FILES
_STORED = ("previous_response_id", "conversation", "cachedContent", "cached_content")
_SEARCHES = re.compile(r"^web_(search|fetch)")
"""Tools on the provider's side that have a price and a limit per request."""
_RUN_THERE = re.compile(
    r"^(mcp_servers|web_search_options|search_parameters|plugins|data_sources|agent\w*|.*connectors?)$"
)
"""Parts of a body that make the provider read, search or call more than was sent: MCP servers (Anthropic), searches
(chat APIs of OpenAI and xAI), plugins (OpenRouter), data sources (Azure)."""
_SEARCHING = re.compile(r"-search(-|$)|:online$|^(perplexity/)?sonar|^(groq/)?compound|deep-research")
"""Models that search on their own."""

_REQUEST_TOKENS, _TOOLS_TOKENS = 128, {"chat": 256, "responses": 256}
"""Tokens that a provider may add: to every request, and by API to one with tools (else 1,024: Anthropic documents up
to 700)."""
_IMAGE_TOKENS = {"messages": 5_000}
_OTHER_IMAGE_TOKENS = 12_000
"""The most tokens for one image: Anthropic scales to 4,784 tokens; OpenAI's largest images are 10,000 patches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request, read."""

    provider: str
    """As genai-prices names it; empty: the address doesn't tell which."""
    flavor: Flavor
    kind: Literal["billable", "count", "free", "unknown"]
    model: str = ""
    address: str = ""
    """Host and port."""
    input_bytes: int = 0
    """Bytes of everything that the model reads."""
    extra_tokens: int = 0
    """Tokens beyond the text: images, and the provider's own prompts."""
    unbounded: str = ""
    """The part that only the model's context bounds, such as a file or a stored conversation; empty: none."""
    files: int = 0
    """The number of such parts."""
    most_output_tokens: int | None = None
    """The length cap of one answer; `None`: none was sent."""
    answers: int = 1
    rounds: int = 1
    """How often the provider may read the input, between runs of its own tools; 0: without limit."""
    passes: int = 1
    """How often the whole input is read: 2 if it may be compacted before it is answered."""
    searches: int = 0
    others: tuple[str, ...] = ()
    """Models that may answer instead (OpenRouter)."""
    sound: bool = False
    """Audio may be sent, or audio or images returned: their tokens cost more than text."""
    service_tier: str = ""
    speed: str = ""
    region: str = ""
    """The region that must answer: some cost more."""
    fake: bool = False
    """The model calls itself a fake: it bills nothing."""
    stream: bool = False
    background: bool = False
    """It goes on at the provider even if no caller waits."""
    effort: str = ""
    """The effort that the body asks for, for the record."""
    body: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The body as it leaves."""
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Values computed from the body, kept for reuse."""

    @property
    def assumed_provider(self) -> str:
        """The provider whose list prices apply: by address, else the maker of the API."""
        makers = {"messages": "anthropic", "gemini": "google", "ollama": "", "bedrock": "aws"}
        return self.provider or makers.get(self.flavor, "openai")


def read_request(
    method: str, host: str, path: str, content: bytes | None, *, port: int | None = None
) -> WireRequest | None:
    """Read a request; `None`: it isn't one to a model.

    Args:
        content: The body; `None`: it is a stream that can't be read here.
    """
    provider = _PROVIDERS.get(host, "")
    if not provider and (hosted := _HOSTED.search(host)):
        provider = {"azure": "azure", "platform": "google", "aws": "aws"}[hosted[hosted.lastindex or 0]]
    if method != "POST" or _FREE.search(path):
        return WireRequest(provider=provider, flavor="other", kind="free") if provider else None
    counts = _COUNTS.search(path) is not None
    flavor = next((flavor for pattern, flavor in _BILLABLE if pattern.search(path)), "other" if counts else None)
    if flavor is None:
        return WireRequest(provider=provider, flavor="other", kind="unknown") if provider else None
    try:
        body = orjson.loads(content or b"")
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return WireRequest(provider=provider, flavor=flavor, kind="free" if counts else "unknown") if provider else None
    model = str(body.get("model") or _model_in(path))
    if not provider and (not model or not _INPUTS & body.keys()):
        return None  # another API with such a path
    request = _read(provider, flavor, model, body, content or b"", path)
    return replace(request, address=f"{host}:{port or ''}", kind="count" if counts else "billable")


_INPUTS = {
    "messages", "input", "prompt", "contents", "content", "requests", "query", "texts", "questions", "state",
    "documents", "text_1", "text_2", "data_1", "data_2", "queries", "items", "data", "text", "input_ids",
}  # fmt: skip
_ASKED, _DOCUMENTS = ("query", "queries", "text_1", "data_1"), ("documents", "texts", "items", "text_2", "data_2")
"""A reranker reads what is asked once with every document."""


def _model_in(path: str) -> str:
    found = re.search(r"/(?:models|deployments)/([^/:]+)|^/model/(.+)/converse", path)
    return found[1] or found[2] if found else ""


def _read(provider: str, flavor: Flavor, model: str, body: dict[str, Any], content: bytes, path: str) -> WireRequest:
    caps = _caps(flavor, body)
    settings = {name: value for name, value in body.items() if name in SETTINGS}
    size = len(content) - (len(orjson.dumps(settings)) if settings else 0)
    extra, unbounded, files = _REQUEST_TOKENS, "", 0
    tools = body.get("tools") or []
    if tools or body.get("toolConfig"):
        extra += _TOOLS_TOKENS.get(flavor, 1_024)
    for name in ("response_format", "text", "output_config", "format", "generationConfig"):
        if body.get(name):  # counted twice: some providers repeat it in a prompt
            size += len(orjson.dumps(body[name]))
    if _may_hold_media(body) and _MEDIA.search(content):
        found = _media(flavor, body)
        size, extra, unbounded, files = size - found[0], extra + found[1], found[2], found[3]
    size += _read_again(body) if flavor == "vectors" else 0
    rounds, searches = (1, 0) if flavor == "vectors" else _rounds(model, tools, body)
    config = body["generationConfig"] if isinstance(body.get("generationConfig"), dict) else {}
    answers = max(_whole(body.get("n"), 1), _whole(body.get("best_of"), 1), _whole(config.get("candidateCount"), 1))
    prompts = body.get("prompt") if flavor == "completions" else None
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    answers *= _compactions(body)
    return WireRequest(
        provider=provider,
        flavor=flavor,
        kind="billable",
        model=model,
        input_bytes=max(0, size),
        extra_tokens=extra,
        unbounded=unbounded,
        files=files,
        body=body,
        answers=answers,
        rounds=rounds,
        passes=_compactions(body),
        most_output_tokens=0 if flavor == "vectors" else max(caps, default=None),
        searches=searches,
        others=_others(model, body),
        sound=_sounds(body, content),
        service_tier=str(body.get("service_tier") or ""),
        speed=str(body.get("speed") or ""),
        region=str(body.get("inference_geo") or ""),
        stream=_streams(body, path),
        background=bool(body.get("background")),
        effort=_effort(body),
    )


def _read_again(body: dict[str, Any]) -> int:
    """The bytes of a query that is read with each of several documents, beyond the first time."""
    most = max(len(body[name]) if isinstance(body.get(name), list) else 1 for name in _DOCUMENTS)
    return (most - 1) * len(orjson.dumps([body[name] for name in _ASKED if body.get(name)]))


def _compactions(body: dict[str, Any]) -> int:
    """2 if the provider may compact the conversation first, which reads and writes once more; else 1."""
    edits = (body.get("context_management") or {}) if isinstance(body.get("context_management"), dict) else {}
    listed = body.get("context_management") if isinstance(body.get("context_management"), list) else edits.get("edits")
    return 1 + any("compact" in str(each.get("type") or "") for each in listed or () if isinstance(each, dict))


def _others(model: str, body: dict[str, Any]) -> tuple[str, ...]:
    listed = body.get("models")
    return tuple(str(each) for each in listed if each != model) if isinstance(listed, list) else ()


def _sounds(body: dict[str, Any], content: bytes) -> bool:
    config = body.get("generationConfig") or {}
    listed = body.get("modalities") or (config.get("responseModalities") if isinstance(config, dict) else None) or ()
    if any(str(each).lower() != "text" for each in listed):
        return True
    return b'"input_audio"' in content or b'"audio/' in content or b'"audio"' in content


def _streams(body: dict[str, Any], path: str) -> bool:
    return bool(body.get("stream")) or path.endswith(("streamGenerateContent", "converse-stream"))


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _caps(flavor: Flavor, body: dict[str, Any]) -> list[int]:
    """Every length cap in the body: where several are sent, the server may obey any of them."""
    options = body.get("options") or {}
    config = body.get("generationConfig") or body.get("generation_config") or body.get("inferenceConfig") or {}
    named = [
        *(body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")),
        options.get("num_predict") if isinstance(options, dict) else None,
        *(
            config.get(name)
            for name in ("maxOutputTokens", "max_output_tokens", "maxTokens")
            if isinstance(config, dict)
        ),
    ]
    caps = [cap for cap in named if isinstance(cap, int) and not isinstance(cap, bool) and cap > 0]
    if flavor == "completions" and not caps:
        caps = [16]  # the documented default
    return caps


def _effort(body: dict[str, Any]) -> str:
    for name, key in (("reasoning", "effort"), ("output_config", "effort"), ("thinking", "type")):
        part = body.get(name)
        if isinstance(part, dict) and part.get(key):
            return str(part[key])
    return str(body.get("reasoning_effort") or "")


def _rounds(model: str, tools: Any, body: dict[str, Any]) -> tuple[int, int]:
    """How often the provider may read the input between its own tools' runs, and how often it may search."""
    most = 0
    if _SEARCHING.search(model) or any(_RUN_THERE.match(name) for name, value in body.items() if value is not None):
        return 0, 0
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        kind = str(tool.get("type") or "")
        if not kind:
            named = [name for name in tool if re.search(r"(?i)search|code_?execution|url_?context|maps", name)]
            if not named or "input_schema" in tool or "parameters" in tool or "function" in tool:
                continue
            return 0, 0  # Gemini's own tools have no limit
        if CLIENT_TOOLS.match(kind):
            continue
        uses = tool.get("max_uses") or body.get("max_tool_calls")
        if not isinstance(uses, int) or uses < 1 or not _SEARCHES.match(kind):
            return 0, 0
        most += uses
    return 1 + most, most


def _may_hold_media(body: dict[str, Any]) -> bool:
    """A quick check that rules out plain text: searching all bytes takes longer than the rest."""
    if any(isinstance(value, dict) or name in _STORED for name, value in body.items() if name not in SETTINGS):
        return True
    for name in ("messages", "input", "contents"):
        for each in body.get(name) or () if isinstance(body.get(name), list) else ():
            if not isinstance(each, dict) or each.get("type") in _MEDIA_KINDS or "images" in each:
                return True
            for part in _PARTS:  # not a generator: there are many messages
                if part in each and isinstance(each[part], (list, dict)):
                    return True
    return isinstance(body.get("system"), list)


_PARTS = ("content", "parts", "output")


def _media(flavor: Flavor, body: dict[str, Any]) -> tuple[int, int, str, int]:
    """The bytes that aren't read as text, the tokens they take instead, the first unbounded part, and their number."""
    size, tokens, files = 0, 0, 0
    per_image = _IMAGE_TOKENS.get(flavor, _OTHER_IMAGE_TOKENS)
    stored = [name for name in _STORED if body.get(name)]
    if flavor == "responses" and isinstance(body.get("prompt"), dict):
        stored.append("prompt")
    unbounded, files = (stored[0] if stored else ""), len(stored)
    for block in _blocks([body.get(name) for name in ("messages", "input", "contents", "system", "systemInstruction")]):
        kind = str(block.get("type") or "")
        inline = block.get("inlineData") or block.get("inline_data")
        if kind in _IMAGES or (isinstance(inline, dict) and str(_mime(inline)).startswith("image/")):
            size, tokens = size + len(orjson.dumps(block)), tokens + per_image
        elif kind in _FILES or inline or block.get("fileData") or block.get("file_data") or block.get("file_id"):
            unbounded, files = unbounded or kind or "file", files + 1
        elif isinstance(block.get("images"), list):  # ollama
            size, tokens = size + len(orjson.dumps(block["images"])), tokens + per_image * len(block["images"])
    return size, tokens, unbounded, files


def _mime(inline: dict[str, Any]) -> Any:
    return inline.get("mimeType") or inline.get("mime_type") or ""


def _blocks(node: Any) -> Iterator[dict[str, Any]]:
    """Every object within messages; media blocks aren't entered."""
    if isinstance(node, list):
        for each in node:
            yield from _blocks(each)
    elif isinstance(node, dict):
        yield node
        if str(node.get("type") or "") in _IMAGES or "inlineData" in node or "inline_data" in node:
            return
        for name in ("content", "parts", "output", "input", "source"):
            if isinstance(node.get(name), (list, dict)):
                yield from _blocks(node[name])


def unbounded_tools(request: WireRequest) -> None:
    """Refuse tools that run on the provider's side without a limit.

    Raises:
        BadInput: the request has one.
    """
    if request.rounds == 0:
        raise BadInput(
            f"{request.model}: something in this request (a tool of the provider's, an MCP server, a model that "
            "searches) runs on the provider's side without limit, and what it finds is billed as input: give a "
            "web search max_uses (Anthropic) or the request max_tool_calls (OpenAI), or limit calls or seconds instead "
            "of money and tokens"
        )
