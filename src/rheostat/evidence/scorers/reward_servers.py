"""What the servers of reward models take and return: one row for each server and API.

Sources, read or run in November 2026: vLLM 0.32.0 (`entrypoints/pooling/{classify,pooling,scoring}/protocol.py`,
`layers/pooler/activations.py`), SGLang 0.5.23 (`entrypoints/http_server.py`, `openai/serving_rerank.py`,
`managers/tokenizer_manager_score_mixin.py`), llama.cpp (`tools/server/README.md` at 00dc805; run
as xllamacpp 2026.10.11549).
vLLM maps its numbers to 0..1 unless `use_activation` is false; SGLang and llama.cpp return the model's logits, but
llama.cpp the first of the softmax over its labels for a Qwen3.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput
from rheostat.evidence.scorers.reward_formats import RewardFormat, StepFormat, Unreadable

__all__ = ["Api", "Route", "ServerKind", "address", "route_for", "rows_in", "shown", "step_route_for"]

Api: TypeAlias = Literal["classify", "score", "pooling", "rerank"]
ServerKind: TypeAlias = Literal["vllm", "sglang", "llama.cpp"]

_ENDPOINTS = ("classify", "score", "pooling", "rerank", "reranking")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 160
_short.maxdict = 6


@dataclass(frozen=True, slots=True)
class Route:
    """An API of a server."""

    path: str
    takes: frozenset[str]
    """The texts that it takes: `messages`, `text` (one text), `pair`."""
    body: Callable[[RewardFormat, str, str], dict[str, Any]]
    """The body, without the model, from format, question and answer."""
    read: Callable[[Any], list[list[float]]]
    """The rows of numbers in a reply: one for each text, or each step."""


# --- what is sent -----------------------------------------------------------------------------------------------------


def _one(how: RewardFormat, question: str, answer: str, name: str) -> dict[str, Any]:
    if how.text == "messages":
        return {"messages": how.messages(question, answer)}
    return {name: how.written(question, answer)}


def _vllm(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {**_one(how, question, answer, "input"), "use_activation": how.value == "probability"}


def _vllm_pooling(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    task = "token_classify" if isinstance(how, StepFormat) else "classify"
    return {**_vllm(how, question, answer), "task": task, "encoding_format": "float"}


def _vllm_score(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {"text_1": question, "text_2": answer, "use_activation": how.value == "probability"}


def _vllm_rerank(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {"query": question, "documents": [answer], "use_activation": how.value == "probability"}


def _sglang_classify(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {"text": how.written(question, answer)}


def _sglang_score(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    # The server puts query and item together without a space; the whole text goes as the item.
    body: dict[str, Any] = {"query": "", "items": [how.written(question, answer)], "apply_softmax": False}
    return {**body, "score_extraction_token": how.mark} if isinstance(how, StepFormat) else body


def _sglang_rerank(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {"query": question, "documents": [answer], "return_documents": False}


def _llama_cpp_rerank(how: RewardFormat, question: str, answer: str) -> dict[str, Any]:
    return {"query": question, "documents": [answer]}


# --- what comes back --------------------------------------------------------------------------------------------------


def shown(reply: Any) -> str:
    """A reply, short, for a reason."""
    try:
        return _short.repr(reply)[:300]
    except Exception:  # whatever came, its reason must be said
        return f"a {type(reply).__name__}"


def rows_in(found: Any) -> list[list[float]]:
    """Rows of numbers; a plain row of numbers is one row.

    Raises:
        Unreadable: It is anything else.
    """
    if not isinstance(found, list) or not found:
        raise Unreadable(f"expected numbers, received {shown(found)}")
    rows = found if all(isinstance(each, list) for each in found) else [found]
    return [[_number(each) for each in row] for row in rows]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"expected a number, received {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise Unreadable("received a whole number beyond any score") from None


def _only(items: Any, reply: Any) -> dict[str, Any]:
    """The one item of a list, for the one text that was sent."""
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise Unreadable(f"expected one result for one text, received {shown(reply)}")
    if items[0].get("index", 0) != 0:
        raise Unreadable(f"received a result for another text: {shown(items[0])}")
    return items[0]


def _field(name: str, inside: str, *, single: bool = False) -> Callable[[Any], list[list[float]]]:
    """The reader of a field of the one item in `inside`; empty: the reply is the list of items, or the item.

    `single`: the field is a number, not a list.
    """

    def read(reply: Any) -> list[list[float]]:
        if isinstance(reply, dict) and (reply.get("error") or reply.get("object") == "error" or "detail" in reply):
            raise Unreadable(f"the server refused: {shown(reply.get('error') or reply)}")
        items = reply
        if inside:
            items = reply.get(inside) if isinstance(reply, dict) else None
        elif isinstance(reply, dict):
            items = [reply]
        item = _only(items, reply)
        if name not in item:
            raise Unreadable(f"expected {name!r}, received {shown(item)}")
        return [[_number(item[name])]] if single else rows_in(item[name])

    return read


def _sglang_scores(reply: Any) -> list[list[float]]:
    """One row, or with `score_extraction_token` one matrix, for the one item that was sent."""
    matrix = reply.get("scores") if isinstance(reply, dict) else None
    if not isinstance(matrix, list) or len(matrix) != 1:
        raise Unreadable(f"expected the scores of one text, received {shown(reply)}")
    return rows_in(matrix[0])


_ONE, _TEXT, _PAIR = frozenset({"messages", "text"}), frozenset({"text"}), frozenset({"pair", "messages"})
_ROUTES: dict[tuple[str, str], Route] = {
    ("vllm", "classify"): Route("/classify", _ONE, _vllm, _field("probs", "data")),
    ("vllm", "pooling"): Route("/pooling", _ONE, _vllm_pooling, _field("data", "data")),
    ("vllm", "score"): Route("/score", _PAIR, _vllm_score, _field("score", "data", single=True)),
    ("vllm", "rerank"): Route("/rerank", _PAIR, _vllm_rerank, _field("relevance_score", "results", single=True)),
    ("sglang", "classify"): Route("/classify", _TEXT, _sglang_classify, _field("embedding", "")),
    ("sglang", "score"): Route("/v1/score", _TEXT, _sglang_score, _sglang_scores),
    ("sglang", "rerank"): Route("/v1/rerank", _PAIR, _sglang_rerank, _field("score", "", single=True)),
    ("llama.cpp", "rerank"): Route(
        "/v1/rerank", _PAIR, _llama_cpp_rerank, _field("relevance_score", "results", single=True)
    ),
}  # fmt: skip
_STEPWISE = {("vllm", "pooling"), ("sglang", "score")}
"""The APIs that return numbers for each step."""


def route_for(server: str, api: str, how: RewardFormat) -> Route:
    """The API that scores whole answers in this format.

    Raises:
        BadInput: The server has no such API, or the API doesn't take such a text.
    """
    route = _ROUTES.get((server, api))
    if route is None:
        has = ", ".join(f"{name} ({its})" for name, its in _ROUTES)
        raise BadInput(f"{server!r} has no API {api!r} for reward models; there are: {has}")
    kind = how.text if how.text in ("messages", "pair") else "text"
    if kind not in route.takes:
        advice = {
            "messages": "it knows no chat template: give the format a template, or a function that writes the text",
            "pair": "it takes one text: give the format a template",
            "text": 'it takes question and answer as two texts: text="pair"',
        }
        raise BadInput(f"{server} {route.path} can't be asked in this format: {advice[str(kind)]}")
    if route.takes is _PAIR and how.labels != 1:
        raise BadInput(f"{server} {route.path} returns one number, not {how.labels}")
    return route


def step_route_for(server: str, api: str, how: StepFormat) -> Route:
    """The API that scores each step in this format.

    Raises:
        BadInput: The API returns no numbers for each step, or doesn't take such a text.
    """
    if (server, api) not in _STEPWISE:
        has = ", ".join(f"{name} ({its})" for name, its in sorted(_STEPWISE))
        raise BadInput(f"{api!r} of {server!r} gives one number for an answer and none for its steps; these do: {has}")
    return route_for(server, api, how)


def address(url: str, path: str) -> str:
    """The full address: the base with or without `/v1`, or the whole address if it ends in an endpoint already."""
    base = url.rstrip("/")
    if base.rsplit("/", 1)[-1] in _ENDPOINTS:
        return base
    return base.removesuffix("/v1") + path
