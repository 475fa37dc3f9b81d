"""The chat service of `examples/`: real uvicorn workers on loopback, one ledger, and the provider's own bill."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from conftest import in_loop
from programs import at, module, worker
from rheostat import open_ledger
from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import simulated

SMALL = {"CHAT_ANSWER_USD": "0.01", "CHAT_USER_USD": "0.02", "CHAT_ZONE": "UTC"}
STORY = Turn(text="word " * 300)
SIMULATED = module("chat_service/chat_endpoint.py").simulated


@pytest.fixture(params=["sqlite", "postgres"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the service keeps its accounts and conversations."""
    if request.param == "postgres":
        address = request.getfixturevalue("postgres").address
        name = f"chat_{uuid.uuid4().hex}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(address).removesuffix("postgres") + name
    return str(tmp_path / "data")


def ledger_of(data: str) -> Any:
    return open_ledger(data if data.startswith("postgresql") else f"{data}/spend.db", must_exist=False)


@contextmanager
def service(server: ProviderServer, data: str, tmp_path: Path, *, workers: int = 1, **more: str) -> Iterator[list[str]]:
    env = at(server, CHAT_MODEL="openai:gpt-5.1", CHAT_DATA=data, **more)
    with ExitStack() as stack:
        yield [
            stack.enter_context(worker("chat_service", env, tmp_path / f"log-{number}")) for number in range(workers)
        ]


def ask(url: str, user: str, conversation: str, text: str) -> tuple[httpx.Response, list[tuple[str, Any]]]:
    reply = httpx.post(f"{url}/chat/{conversation}", headers={"X-User": user}, json={"text": text}, timeout=60)
    return reply, events_in(reply.text) if reply.status_code == 200 else []


def events_in(text: str) -> list[tuple[str, Any]]:
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def said(events: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for name, data in events if name == "token")


def report(url: str, user: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/report", headers={"X-User": user}, timeout=30).json()
    return found


def the_ledger_is_the_bill(data: str, server: ProviderServer) -> dict[str, Any]:
    ledger = ledger_of(data)
    team: dict[str, Any] = ledger.reading("team")
    ledger.close()
    assert team["usd_nanos"] == server.bill.total("usd_nanos")
    assert team["input_tokens"] == server.bill.total("input_tokens")
    assert team["output_tokens"] == server.bill.total("output_tokens")
    assert team["calls"] == server.bill.requests
    assert team["held_usd_nanos"] == team["unknown_usd_nanos"] == team["overrun_usd_nanos"] == 0
    return team


def test_twenty_questions_at_once_on_two_workers(data: str, tmp_path: Path) -> None:
    users = ["ada", "bob", "eve", "joe"]

    async def crowd(urls: list[str]) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120) as client:
            return await asyncio.gather(
                *(
                    client.post(
                        f"{urls[n % 2]}/chat/talk-{n}", headers={"X-User": users[n % 4]},
                        json={"text": f"Where is order {1000 + n}?"},
                    )
                    for n in range(20)
                )
            )  # fmt: skip

    with simulated(planned=SIMULATED) as server, service(server, data, tmp_path, workers=2) as urls:
        replies = in_loop(crowd(urls))
        for number, reply in enumerate(replies):
            assert reply.status_code == 200, reply.text
            events = events_in(reply.text)
            assert f"order {1000 + number}: shipped" in said(events)
            assert {"effort", "hold", "tool", "token", "spend", "done"} == {name for name, _ in events}
            assert events[-1][1]["stopped"] is None
        assert server.bill.requests == 40  # the tool's call and the answer
        team = the_ledger_is_the_bill(data, server)
        reports = [report(urls[0], user) for user in users]
        assert sum(each["usd_nanos"] for each in reports) == team["usd_nanos"]
        assert {each["calls"] for each in reports} == {10}

        # the memory is shared as well: the other worker knows the conversation
        reply, events = ask(urls[1], "ada", "talk-0", "Thank you")
        assert said(events) == "You said, after 1 earlier questions: Thank you"
        # and a conversation belongs to its user
        reply, events = ask(urls[0], "bob", "talk-0", "Thank you")
        assert said(events) == "You said, after 0 earlier questions: Thank you"
        the_ledger_is_the_bill(data, server)


def test_a_user_whose_day_is_used_up_gets_402_and_another_goes_on(data: str, tmp_path: Path) -> None:
    with simulated(STORY) as server, service(server, data, tmp_path, **SMALL) as [url]:
        for number in range(40):
            reply, _ = ask(url, "ada", f"talk-{number}", "Tell me a story")
            if reply.status_code != 200:
                break
        assert reply.status_code == 402, reply.text
        told = reply.json()
        assert told["error"] == "budget_used_up"
        assert told["account"] == "user/ada"
        renews = datetime.fromisoformat(told["renews_at"])
        assert (renews.hour, renews.minute) == (0, 0)
        assert 0 < renews.timestamp() - time.time() <= 24 * 3600
        assert f"It renews at {renews:%Y-%m-%d %H:%M} UTC" in told["message"]
        assert "thread/" not in reply.text  # no internals

        before = server.bill.requests
        assert ask(url, "ada", "another", "Tell me a story")[0].status_code == 402
        assert server.bill.requests == before  # refused before anything was sent
        assert 0.01e9 < report(url, "ada")["usd_nanos"] <= 0.02e9

        assert ask(url, "bob", "talk", "Tell me a story")[0].status_code == 200
        the_ledger_is_the_bill(data, server)


def test_the_teams_budget_binds_every_user(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with (
        simulated(STORY) as server,
        service(server, data, tmp_path, **SMALL, CHAT_TEAM_USD="0.02") as [url],
    ):
        while ask(url, "ada", f"talk-{server.bill.requests}", "Tell me a story")[0].status_code == 200:
            assert server.bill.requests < 40
        before = server.bill.requests
        reply, _ = ask(url, "bob", "talk", "Tell me a story")
        assert reply.status_code == 402
        assert reply.json()["account"] == "team"
        assert reply.json()["message"].startswith("The team's budget for this month")
        assert server.bill.requests == before
        the_ledger_is_the_bill(data, server)


def test_a_reader_that_goes_away_loses_nothing(data: str, tmp_path: Path) -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        seconds = 0.0 if number else 1.5
        return Turn(text=SIMULATED(number, body).text, fault=Fault(seconds=seconds))

    with simulated(planned=planned) as server, service(server, data, tmp_path) as [url]:
        headers, text = {"X-User": "ada"}, {"text": "Hello"}
        with httpx.stream("POST", f"{url}/chat/talk", headers=headers, json=text, timeout=30) as reply:
            assert reply.status_code == 200
            for line in reply.iter_lines():
                if line == "event: hold":
                    break  # the call is in flight; now the reader goes away
        reply, _ = ask(url, "ada", "talk", "Are you there?")
        assert reply.status_code == 409
        deadline = time.monotonic() + 30
        while ask(url, "ada", "talk", "Are you there?")[0].status_code == 409:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.bill.requests == 2
        the_ledger_is_the_bill(data, server)
        reply, events = ask(url, "ada", "talk", "And what was that?")
        assert said(events).startswith(
            "You said, after 2 earlier questions"
        )  # what was paid for is in the conversation


def test_a_name_that_could_reach_another_users_thread_is_refused(tmp_path: Path) -> None:
    with simulated() as server, service(server, str(tmp_path / "data"), tmp_path) as [url]:
        for user, talk in (("", "talk"), ("a/b", "talk"), ("x" * 65, "talk"), ("ada", "a%2Fb"), ("ada", "x" * 65)):
            reply, _ = ask(url, user, talk, "Hello")
            assert reply.status_code in (404, 422), user
        assert ask(url, "ada", "talk", "")[0].status_code == 422
        assert server.bill.requests == 0


def test_it_can_be_tried_without_a_key(tmp_path: Path) -> None:
    env = {**os.environ, "CHAT_DATA": str(tmp_path / "data"), "CHAT_MODEL": ""}
    with worker("chat_service", env, tmp_path / "log") as url:
        _, events = ask(url, "ada", "talk", "Where is order 1042?")
        assert "order 1042: shipped" in said(events)
        assert report(url, "ada")["calls"] == 2
