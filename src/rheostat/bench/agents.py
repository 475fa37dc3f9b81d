"""Agents on a real model: tool calls against known answers, small bugs against tests, with and without correction.

`python -m rheostat.bench.agents --model qwen2.5-coder-0.5b --record FILE` prints a table and appends one line for each
task and setting, so that a long run can be resumed. The model never sees the known answers: in a task of tool calls its
reply is corrected only if it called no tool.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from rheostat.agents.coder import build_coder
from rheostat.agents.middleware import AdaptiveThinking
from rheostat.agents.nodes import build_agent
from rheostat.evidence.verifiers import Verdict
from rheostat.graph.state import read
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.providers import Endpoint

__all__ = ["main"]

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_TEST_COMMAND = ("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--disable-plugin-autoload")
_LEFT_OUT = ("optional", "default", "format")
_HEAD = ("task", "setting", "n", "right", "not proven", "thinking tokens", "output tokens", "calls", "seconds")
SETTINGS: dict[str, dict[str, Any]] = {
    "create_agent": {"ours": False},
    "create_agent + AdaptiveThinking": {"ours": True},
    "direct, no correction": {"effort": "none", "correct": False},
    "direct, corrected": {"effort": "none", "correct": True},
    "adaptive, corrected": {"effort": "balanced", "correct": True},
}


def _schema(schema: Any) -> Any:
    """A BFCL schema with its type names replaced by those of JSON Schema."""
    if isinstance(schema, dict):
        plain = {
            name: _schema(value) for name, value in schema.items() if name not in ("optional", "default", "format")
        }
        if isinstance(plain.get("type"), str):
            plain["type"] = _TYPES.get(plain["type"], plain["type"])
        return plain
    return [_schema(each) for each in schema] if isinstance(schema, list) else schema


def _tool(function: dict[str, Any], made: list[tuple[str, dict[str, Any]]]) -> StructuredTool:
    name = function["name"].replace(".", "_")

    def work(**arguments: Any) -> str:
        made.append((function["name"], arguments))
        return "done"

    return StructuredTool(
        name=name, description=function["description"][:400], args_schema=_schema(function["parameters"]), func=work
    )


def _right(made: list[tuple[str, dict[str, Any]]], gold: list[dict[str, Any]]) -> bool:
    """Whether the first call is a right one; where no tool fits, whether no call was made."""
    if not gold or not made:
        return not gold and not made
    name, arguments = made[0]
    wanted = gold[0].get(name)
    if wanted is None:
        return False
    for argument, values in wanted.items():
        if argument not in arguments:
            if "" not in values:
                return False
        elif not any(_same(arguments[argument], value) for value in values):
            return False
    return set(arguments) <= set(wanted)


def _same(said: Any, wanted: Any) -> bool:
    if isinstance(said, str) and isinstance(wanted, str):
        return said.strip().lower() == wanted.strip().lower()
    return bool(said == wanted)


def _tool_task(at: Endpoint, task: dict[str, Any], setting: dict[str, Any]) -> dict[str, Any]:
    made: list[tuple[str, dict[str, Any]]] = []
    tools = [_tool(function, made) for function in task["functions"]]

    def called(_: str) -> Verdict:
        return Verdict(True, "") if made else Verdict(False, "No tool was called. Call the one that fits, if one does.")

    graph = build_agent(
        at,
        tools,
        budget=Budget(tokens=8_000, calls=6),
        effort=setting["effort"],
        verifier=called if setting["correct"] else None,
        most_corrections=1,
    ).compile(checkpointer=InMemorySaver(), interrupt_after=["act"])
    inputs: Any = {"messages": [("user", task["question"])]}
    result = graph.invoke(inputs, {"configurable": {"thread_id": "1"}})
    return {"right": _right(made, task["gold"]), **_counts(result)}


def _plain_task(at: Endpoint, task: dict[str, Any], setting: dict[str, Any]) -> dict[str, Any]:
    """Run LangChain's own agent on a task, with `AdaptiveThinking` or without it."""
    made: list[tuple[str, dict[str, Any]]] = []
    thinking = AdaptiveThinking(budget=Budget(tokens=8_000, calls=6), endpoint=lambda _: at, correct_tools=True)
    ours = [thinking] if setting["ours"] else []
    body = {"max_tokens": 512, "chat_template_kwargs": {"enable_thinking": False}}  # else thinking has no limit
    chat = at.chat.model_copy(update={"extra_body": body})
    agent = create_agent(
        chat,
        [_tool(function, made) for function in task["functions"]],
        middleware=ours,
        checkpointer=InMemorySaver(),
        interrupt_after=["tools"],
    )
    config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
    started = time.monotonic()
    inputs: Any = {"messages": [("user", task["question"])]}
    result = agent.invoke(inputs, config)
    seconds = time.monotonic() - started
    replies = [message for message in result["messages"] if isinstance(message, AIMessage)]
    used = [message.usage_metadata for message in replies if message.usage_metadata]
    counts = {
        "calls": len(replies), "thinking_tokens": read(result)["run"].get("thinking_tokens") or 0,
        "output_tokens": sum(each["output_tokens"] for each in used),
        "input_tokens": sum(each["input_tokens"] for each in used), "seconds": seconds, "steps": len(replies),
    }  # fmt: skip
    return {"right": _right(made, task["gold"]), **counts}


def _counts(result: dict[str, Any]) -> dict[str, Any]:
    run = read(result)["run"]
    return {
        "calls": run["calls"], "thinking_tokens": run["thinking_tokens"] or 0, "output_tokens": run["output_tokens"],
        "input_tokens": run["input_tokens"], "seconds": run["milliseconds"] / 1000,
        "steps": sum(isinstance(m, AIMessage) for m in result["messages"]),
    }  # fmt: skip


def _bug(at: Endpoint, repository: Path, setting: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as there:
        root = Path(there) / "repository"
        shutil.copytree(repository, root, ignore=shutil.ignore_patterns("solution.patch", "task.txt"))
        graph = build_coder(
            at,
            root,
            budget=Budget(tokens=16_000, calls=8),
            command=_TEST_COMMAND,
            correct=setting["correct"],
            effort=setting["effort"],
        ).compile()
        result = graph.invoke({"task": (repository / "task.txt").read_text(encoding="utf-8")})
    return {"right": result["status"] == "green", "unproven": result["status"] == "unproven", **_counts(result)}


def _work(at: Endpoint, bugs: Path | None, most: int) -> Iterator[tuple[str, str, Any]]:
    data = files("rheostat.bench").joinpath("data/bfcl-32.jsonl").read_text(encoding="utf-8")
    for line in data.splitlines()[:most]:
        task = json.loads(line)
        kind = "tool call" if task["gold"] else "no tool fits"
        yield (
            kind,
            task["id"],
            lambda setting, task=task: (
                _plain_task(at, task, setting) if "ours" in setting else _tool_task(at, task, setting)
            ),
        )
    for repository in sorted(bugs.iterdir() if bugs else [])[: most + 1]:
        if repository.is_dir():
            yield "bug", repository.name, lambda setting, where=repository: _bug(at, where, setting)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(_HEAD)} |", f"|---|---|{'--:|' * (len(_HEAD) - 2)}"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for setting in SETTINGS:
            some = [row for row in rows if (row["kind"], row["setting"]) == (kind, setting)]
            if some:
                mean = {
                    name: sum(row[name] for row in some) / len(some)
                    for name in ("thinking_tokens", "output_tokens", "calls", "seconds")
                }
                right = sum(row["right"] for row in some)
                unproven = sum(row.get("unproven", False) for row in some)
                cells = [kind, setting, str(len(some)), f"{right} ({right / len(some):.0%})", str(unproven)]
                cells += [f"{mean[name]:.0f}" for name in ("thinking_tokens", "output_tokens")]
                cells += [f"{mean[name]:.1f}" for name in ("calls", "seconds")]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run what isn't in the record yet, and print the table (tokens, calls and seconds are means per task)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--record", type=Path, default=Path("demo-out/agents.jsonl"))
    parser.add_argument("--bugs", type=Path, default=Path("examples/bugs"))
    parser.add_argument("--most", type=int, default=1000, help="at most this many tasks of each kind")
    parser.add_argument(
        "--kind", action="append", help="only these: 'tool call', 'no tool fits', 'bug'; may be repeated"
    )
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="only these; may be repeated")
    given = parser.parse_args(arguments)
    at = resolve(given.model)
    given.record.parent.mkdir(parents=True, exist_ok=True)
    known = given.record.read_text(encoding="utf-8").splitlines() if given.record.exists() else []
    rows = [row for line in known if (row := json.loads(line))["model"] == given.model]
    done = {(row["name"], row["setting"]) for row in rows}
    with given.record.open("a", encoding="utf-8") as record:
        for kind, name, work in _work(at, given.bugs if given.bugs.is_dir() else None, given.most):
            for setting, options in SETTINGS.items():
                wanted = kind in (given.kind or [kind]) and setting in (given.setting or [setting])
                if not wanted or (name, setting) in done or (kind == "bug" and "ours" in options):
                    continue
                row = {"model": given.model, "kind": kind, "name": name, "setting": setting, **work(options)}
                rows.append(row)
                record.write(json.dumps(row) + "\n")
                record.flush()
                mark = "right" if row["right"] else "wrong"
                sys.stderr.write(f"{kind} {name} · {setting}: {mark}, {row['seconds']:.0f} s\n")
    sys.stdout.write(_table(rows) + "\n")


if __name__ == "__main__":
    main()
