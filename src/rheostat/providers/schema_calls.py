"""Tool calls for a model that wasn't trained on them: the server's grammar allows only valid calls.

The system message lists the tools, and a JSON Schema constrains the reply to one of the calls, or an answer.
(Without it, a 0.5B model wrote calls in three different forms, and none in the form that was asked for.)
"""

from __future__ import annotations

import json
import uuid
from typing import Any

__all__ = ["as_messages", "as_schema", "read_calls"]

_TELL = (
    "You can call these tools:\n{tools}\n\n"
    'To call one, reply with JSON: {{"tool": "NAME", "arguments": {{…}}}}.\n'
    'When you know the answer, or no tool fits, reply with JSON: {{"final_answer": "…"}}.'
)


def _signature(tool: dict[str, Any]) -> str:
    function = tool["function"]
    return json.dumps(
        {
            "name": function["name"],
            "description": function.get("description", ""),
            "parameters": (function.get("parameters") or {}).get("properties") or {},
        },
        ensure_ascii=False,
    )


def as_schema(tools: list[dict[str, Any]], choice: Any) -> dict[str, Any] | None:
    """The JSON Schema of a reply.

    Args:
        tools: Tools in the format of the Chat Completions API.
        choice: Its `tool_choice`: `auto` or nothing, `required`, `none`, or one tool by name.

    Returns:
        The schema; `None` if no call may be made, so that nothing is constrained.
    """
    if choice == "none":
        return None
    named = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else ""
    offered = [tool["function"] for tool in tools if not named or tool["function"]["name"] == named]
    replies: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": {
                "tool": {"const": function["name"]},
                "arguments": function.get("parameters") or {"type": "object"},
            },
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }
        for function in offered
    ]
    if choice not in ("required", "any") and not named:
        answer = {"type": "object", "properties": {"final_answer": {"type": "string"}}, "required": ["final_answer"]}
        replies.append({**answer, "additionalProperties": False})
    return {"anyOf": replies} if len(replies) > 1 else replies[0]


def as_messages(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation in roles that any chat template has: system, user and assistant only."""
    told = _TELL.format(tools="\n".join(_signature(tool) for tool in tools)) if tools else ""
    plain: list[dict[str, Any]] = []
    if messages and messages[0]["role"] == "system":
        plain.append({"role": "system", "content": f"{messages[0]['content']}\n\n{told}".strip()})
        messages = messages[1:]
    elif told:
        plain.append({"role": "system", "content": told})
    for message in messages:
        role, content = message["role"], _text(message.get("content"))
        if role == "tool":
            role, content = "user", f"The tool returned:\n{content}"
        elif message.get("tool_calls"):
            calls = [
                f'{{"tool": {json.dumps(call["function"]["name"])}, "arguments": {call["function"]["arguments"]}}}'
                for call in message["tool_calls"]
            ]
            content = "\n".join(calls)
        if plain and plain[-1]["role"] == role == "user":
            plain[-1] = {"role": "user", "content": f"{plain[-1]['content']}\n\n{content}"}
        else:
            plain.append({"role": role, "content": content})
    return plain


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(block.get("text", "")) if isinstance(block, dict) else str(block) for block in content)
    return content or ""


def read_calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """(answer, tool calls) of a reply; a reply that was cut is a text."""
    try:
        said = json.loads(text)
    except ValueError:
        return text, []
    if isinstance(said, dict) and set(said) == {"tool", "arguments"}:
        arguments = said.get("arguments")
        call = {"name": str(said["tool"]), "args": arguments if isinstance(arguments, dict) else {}}
        return "", [{**call, "id": f"call_{uuid.uuid4().hex[:12]}", "type": "tool_call"}]
    if isinstance(said, dict) and set(said) == {"final_answer"}:
        return str(said["final_answer"]), []
    return text, []
