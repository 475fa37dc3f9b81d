"""Those that wait for room: none is refused while room is only held, the first to come is the first, nothing hangs."""

from __future__ import annotations

import asyncio
import operator
import os
import random
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph

from conftest import Runner, in_loop
from rheostat import (
    Account,
    AdaptiveThinking,
    Budget,
    BudgetExceeded,
    MemoryLedger,
    Meter,
    Rate,
    Spend,
    SQLiteLedger,
    ThinkingChatModel,
    build_agent,
)
from rheostat.bench.contention import Crowd
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.money.ledger import Ledger, patience
from rheostat.money.ledger import line as lines
from rheostat.testing import Said, scripted
from rheostat.testing.server import Turn
from waiting import wait_for, waiting
from wire import CHAT, simulated

HISTORIES = int(os.environ.get("RHEOSTAT_HISTORIES", "0")) or 1_000
BEGAN = 1_000.0
ONE = Spend(output_tokens=100, calls=1)
USED = Spend(output_tokens=10, calls=1)


# --- a crowd ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["threads", "asyncio"])
@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
@pytest.mark.parametrize(("branches", "paid_for"), [(16, 10), (64, 40)])
def test_as_many_are_served_as_the_budget_pays_for(
    store: str, how: Any, branches: int, paid_for: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = {"memory": None, "sqlite": str(tmp_path / "ledger.db")}.get(store)
    if store == "postgres":
        address = request.getfixturevalue("postgres").address
    waiting = Crowd(address, branches, paid_for, on_contention="wait").run(how)
    assert waiting.served == paid_for
    assert waiting.refused == branches - paid_for
    assert waiting.billed == waiting.ledger_tokens <= waiting.limit
    if how == "threads" and store == "memory":
        assert Crowd(address, branches, paid_for, on_contention="refuse").run(how).served < paid_for


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_processes_take_turns(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = str(tmp_path / "ledger.db") if store == "sqlite" else request.getfixturevalue("postgres").address
    crowd = Crowd(address, 16, 10, on_contention="wait").run("processes")
    assert crowd.served == 10
    assert crowd.ledger_tokens <= crowd.limit


class Said6(TypedDict):
    said: Annotated[list[str], operator.add]


def test_a_fan_out_in_a_graph_is_served(run: Runner) -> None:
    """Six branches, room for one hold at a time, and the money for all."""
    endpoint, said = scripted(Said(text="yes", wait=lambda: time.sleep(0.01)))
    model = ThinkingChatModel(model=endpoint, budget=Budget(tokens=900), effort="none")

    def branch(state: dict[str, Any]) -> dict[str, Any]:
        return {"said": [model.invoke("Is it?").text]}

    graph: Any = StateGraph(Said6)
    for number in range(6):
        graph.add_node(f"branch {number}", branch)
        graph.add_edge(START, f"branch {number}")
        graph.add_edge(f"branch {number}", END)
    assert run(graph.compile(), {"said": []})["said"] == ["yes"] * 6
    assert len(said.calls) == 6


# --- the line --------------------------------------------------------------------------------------------------------


def ledger_with(budget: Budget, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or MemoryLedger()
    ledger.open(Account("all", budget))
    for number in range(4):
        ledger.open(Account(f"run {number}", None, "all"))
    return ledger


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    """Also where the first one wants more than those behind it."""
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)
    [held] = drive(meter.hold("run 0", [Spend(output_tokens=150)], {}))
    served: list[int] = []

    def wants(number: int, tokens: int) -> None:
        [mine] = drive(meter.hold(f"run {number}", [Spend(output_tokens=tokens)], {}))
        served.append(number)
        time.sleep(0.02)
        drive(meter.void(mine.id))

    threads = []
    for number, tokens in ((1, 200), (2, 10), (3, 10)):
        threads.append(threading.Thread(target=wants, args=(number, tokens)))
        threads[-1].start()
        wait_for(lambda number: waiting(ledger) == number, number)
    assert served == []
    drive(meter.void(held.id))
    for thread in threads:
        thread.join(5)
    assert served[0] == 1
    assert sorted(served) == [1, 2, 3]
    assert lines.line_of(ledger).empty


def test_what_can_never_be_had_is_refused_at_once() -> None:
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)
    drive(meter.hold("run 0", [Spend(output_tokens=150)], {}))
    started = time.monotonic()
    with pytest.raises(BudgetExceeded) as refused:
        drive(meter.hold("run 1", [Spend(output_tokens=201)], {}))
    assert not refused.value.waits
    assert time.monotonic() - started < 5
    refusing = Meter(ledger, gate=False, on_contention="refuse")
    with pytest.raises(BudgetExceeded) as refused:
        drive(refusing.hold("run 1", [Spend(output_tokens=100)], {}))
    assert refused.value.waits


@pytest.mark.parametrize("asynchronous", [False, True])
def test_nothing_waits_beyond_its_deadline(asynchronous: bool) -> None:
    ledger = ledger_with(Budget(output_tokens=200))
    ledger.open(Account("short", Budget(seconds=0.5), "all"))
    meter = Meter(ledger, gate=False)
    drive(meter.hold("run 0", [Spend(output_tokens=150)], {}))
    started = time.monotonic()
    flow = meter.hold("short", [Spend(output_tokens=100)], {})
    with pytest.raises(BudgetExceeded, match="seconds"):
        in_loop(adrive(flow)) if asynchronous else drive(flow)
    assert 0.4 < time.monotonic() - started < 5
    assert lines.line_of(ledger).empty


def test_one_that_is_cancelled_leaves_the_line() -> None:
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)
    [held] = drive(meter.hold("run 0", [Spend(output_tokens=150)], {}))

    async def main() -> None:
        first = asyncio.create_task(adrive(meter.hold("run 1", [Spend(output_tokens=200)], {})))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(adrive(meter.hold("run 2", [Spend(output_tokens=50)], {})))
        await asyncio.sleep(0.05)
        assert not second.done(), "it stands behind the first"
        first.cancel()
        await asyncio.wait_for(second, 20)
        with pytest.raises(asyncio.CancelledError):
            await first

    in_loop(main())
    drive(meter.void(held.id))
    assert ledger.reading("all")["held_output_tokens"] == 50


def test_a_task_doesnt_wait_for_its_own_stream() -> None:
    """It would wait for ever: nothing else can end that stream."""
    with simulated(Turn(text="one two three"), Turn()) as server:
        model = ThinkingChatModel(model=CHAT.at(server), budget=Budget(output_tokens=4_200), effort="none")
        chunks = model.stream("Count.")
        next(chunks)
        started = time.monotonic()
        with pytest.raises(BudgetExceeded):
            model.invoke("Count again.")
        assert time.monotonic() - started < 5
        assert len(list(chunks)) >= 1
        assert model.invoke("Count again.").text == "The answer is 4."


def test_blocking_code_on_an_event_loop_doesnt_wait() -> None:
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)

    async def main() -> None:
        [held] = await adrive(meter.hold("run 0", [Spend(output_tokens=150)], {}))
        with pytest.raises(BudgetExceeded):
            drive(meter.hold("run 1", [Spend(output_tokens=100)], {}))
        await adrive(meter.void(held.id))

    in_loop(main())


def test_a_place_in_the_ledgers_line_outlives_its_process_for_seconds_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_TICKET_SECONDS", 0.3)
    ledger = ledger_with(Budget(output_tokens=200), SQLiteLedger(tmp_path / "ledger.db"))
    ledger.line_up("all", "of a process that died", 0.5)
    meter = Meter(ledger, gate=False)
    started = time.monotonic()
    drive(meter.hold("run 1", [Spend(output_tokens=100)], {}))
    assert 0.4 < time.monotonic() - started < 5


def test_between_processes_the_first_to_come_is_the_first(tmp_path: Path) -> None:
    """Two ledgers on one file are two processes."""
    path = tmp_path / "ledger.db"
    one, other = ledger_with(Budget(output_tokens=200), SQLiteLedger(path)), SQLiteLedger(path)
    first, second = Meter(one, gate=False), Meter(other, gate=False)
    [held] = drive(first.hold("run 0", [Spend(output_tokens=150)], {}))
    served: list[str] = []

    def wants(meter: Meter, run: str, tokens: int) -> None:
        [mine] = drive(meter.hold(run, [Spend(output_tokens=tokens)], {}))
        served.append(run)
        time.sleep(0.05)
        drive(meter.void(mine.id))

    threads = [threading.Thread(target=wants, args=(second, "run 1", 200))]
    threads[0].start()
    wait_for(lambda: waiting(other))
    threads.append(threading.Thread(target=wants, args=(first, "run 2", 20)))  # it would fit
    threads[1].start()
    wait_for(lambda: waiting(one))
    assert served == []
    drive(first.void(held.id))
    for thread in threads:
        thread.join(10)
    assert served == ["run 1", "run 2"]
    for ledger in (one, other):
        ledger.close()  # type: ignore[attr-defined]  # both are durable


# --- last words ------------------------------------------------------------------------------------------------------


def test_what_is_kept_back_is_there_whatever_others_take() -> None:
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)
    drive(meter.keep("run 0", Spend(output_tokens=60), {}))
    with pytest.raises(BudgetExceeded) as refused:
        drive(Meter(ledger, gate=False, on_contention="refuse").hold("run 1", [Spend(output_tokens=150)], {}))
    assert not refused.value.waits, "it isn't on its way back"
    assert refused.value.waits_for_runs
    [word] = drive(meter.draw("run 0", [Spend(output_tokens=50)], {}))
    assert word.amount.output_tokens == 50
    assert drive(meter.kept("run 0")) == Spend(output_tokens=10)
    assert ledger.room("all").output_tokens == 140
    drive(meter.ends("run 0"))
    assert ledger.room("all").output_tokens == 150


def test_those_that_keep_something_back_are_waited_for_unless_they_wait_too() -> None:
    """Two runs that want more than is left: one of them is refused, takes its last word, and the other goes on."""
    ledger = ledger_with(Budget(output_tokens=200))
    meter = Meter(ledger, gate=False)
    ended: list[str] = []

    def run(number: int) -> None:
        account = f"run {number}"
        drive(meter.keep(account, Spend(output_tokens=60), {}))
        barrier.wait(5)
        try:
            [held] = drive(meter.hold(account, [Spend(output_tokens=120)], {}))
            ended.append("step")
        except BudgetExceeded:
            [held] = drive(meter.draw(account, [Spend(output_tokens=60)], {}))
            ended.append("last word")
        drive(meter.void(held.id))
        drive(meter.ends(account))

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == ["last word", "step"]
    assert ledger.room("all").output_tokens == 200


@pytest.mark.parametrize("kind", ["middleware", "nodes"])
def test_a_run_that_has_answered_keeps_nothing_back(kind: str, run: Runner) -> None:
    """Nor does one that was cut, when the thread's next one begins."""
    ledger = MemoryLedger()
    ledger.open(Account("all", Budget(tokens=100_000)))

    @tool
    def look(where: str) -> str:
        """Look somewhere."""
        return "nothing"

    calls = Said(tool_calls=(("look", {"where": "here"}),))
    endpoint, model = scripted(calls, "done", calls, calls, calls)
    budget, saver = Budget(tokens=50_000), InMemorySaver()
    if kind == "middleware":
        thinking = AdaptiveThinking(budget=budget, ledger=ledger, account="all", effort="none")
        graph: Any = create_agent(model, [look], middleware=[thinking], checkpointer=saver)
    else:
        built = build_agent(endpoint, [look], budget=budget, ledger=ledger, account="all", effort="none")
        graph = built.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": run.__name__}}
    run(graph, {"messages": [HumanMessage("Look.")]}, config=config)
    spent = ledger.reading("all")
    room = ledger.room("all").tokens or 0
    assert room == 100_000 - spent["input_tokens"] - spent["output_tokens"]
    with pytest.raises(GraphRecursionError):
        run(graph, {"messages": [HumanMessage("Again.")]}, config={**config, "recursion_limit": 5})
    assert (ledger.room("all").tokens or 0) < room - 100, "it may yet go on"
    model.script[:] = ["done"]
    run(graph, {"messages": [HumanMessage("And now?")]}, config=config)
    spent = ledger.reading("all")
    assert ledger.room("all").tokens == 100_000 - spent["input_tokens"] - spent["output_tokens"]


# --- random histories ------------------------------------------------------------------------------------------------


class Paused(Effect):
    """A wait that a scheduler looks after."""


class World:
    """Runs that share accounts, one effect at a time in a random order, on a clock of its own."""

    looks = 5
    """How often all may look again in vain before that is a deadlock."""

    def __init__(self, seed: int, rate: Rate | None = None) -> None:
        self.dice = random.Random(seed)
        self.now = BEGAN
        self.ledger = MemoryLedger(clock=lambda: self.now, wall=lambda: self.now)
        self.meter = Meter(self.ledger, gate=False)
        self.cap = cap = self.dice.randint(80, 900)
        self.ledger.open(Account("tenant", Budget(output_tokens=cap), rate=rate))
        for team in range(2):
            self.ledger.open(Account(f"team {team}", Budget(output_tokens=self.dice.randint(60, cap)), "tenant"))
        self.served = self.refused = self.running = 0

    def run(self, number: int) -> Flow[None]:
        """An agent: steps, each with something kept back, and a last word when there is no more room."""
        dice, meter, account = self.dice, self.meter, f"run {number}"
        self.ledger.open(Account(account, None, f"team {dice.randint(0, 1)}"))
        meter.begins(account)
        agent = dice.random() < 0.6
        for _ in range(dice.randint(1, 4)):
            asked = Spend(output_tokens=dice.randint(1, 120), calls=1)
            word = Spend(output_tokens=dice.randint(1, 30), calls=1)
            try:
                if agent:
                    yield from meter.keep(account, word, {})
                [held] = yield from meter.hold(account, [asked], {})
            except BudgetExceeded:
                self.refused += 1
                kept = yield from meter.kept(account)
                if kept == Spend():
                    break
                [held] = yield from meter.draw(account, [kept], {})
                yield from self.works(held)
                break
            self.served += 1
            yield from self.works(held)
        yield from meter.ends(account)

    def works(self, held: Any) -> Flow[None]:
        yield from self.leaves(held)
        for _ in range(self.dice.randint(0, 3)):
            yield Effect(lambda: None, lambda: asyncio.sleep(0))
        how = self.dice.random()
        if how < 0.1:
            yield from self.meter._mark_unknown(held.id)
        elif how < 0.2:
            yield from self.meter.void(held.id)
        else:
            used = Spend(output_tokens=int(held.amount.output_tokens * self.dice.random()), calls=1)
            yield from self.meter._settle(held.id, used)

    def leaves(self, held: Any) -> Flow[None]:
        """When a rate has room for it, as at the gate: it keeps its hold meanwhile."""

        def work(ticket: str | None) -> Flow[None]:
            yield Effect(lambda: self.ledger.begin(held.id), lambda: self.ledger.abegin(held.id))

        yield from patience.patiently(self.ledger, held.account, work, wait=False, paced=True)

    def play(self, runs: int) -> None:
        """Until all have ended.

        Raises:
            AssertionError: nobody works, all wait, and looking again helps none of them.
        """
        flows: dict[Generator[Effect, Any, None], Any] = {self.run(number): None for number in range(runs)}
        paused: set[Any] = set()
        looked_at, looks = -1, 0
        while flows:
            ready = [flow for flow in flows if flow not in paused]
            if not ready:
                self.now += 0.1
                changes = sum(entry.version for entry in self.ledger._book.entries.values()) - len(flows)
                looks = looks + 1 if changes == looked_at else 0
                looked_at = changes
                assert looks < self.looks, "all wait, and nobody is helped by looking again"
                ready, paused = list(flows), set()
            flow = self.dice.choice(ready)
            self.running = id(flow)  # each run is a task of its own
            effect = flows.pop(flow)
            try:
                if effect is None:
                    effect = next(flow)
                elif isinstance(effect, Paused):
                    effect = flow.send(None)
                else:
                    effect = self.done(flow, effect)
            except StopIteration:
                continue
            flows[flow] = effect
            if isinstance(effect, Paused):
                paused.add(flow)

    @staticmethod
    def done(flow: Any, effect: Effect) -> Effect:
        """The next effect, after this one."""
        try:
            result = effect.do()
        except BudgetExceeded as error:
            return flow.throw(error)  # type: ignore[no-any-return]  # a flow yields effects
        return flow.send(result)  # type: ignore[no-any-return]  # as above


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Histories whose clock and waits belong to the scheduler."""

    def pause(waiter: lines.Waiter, seconds: float, *, blocks: bool = False) -> Paused:
        return Paused(lambda: None, lambda: asyncio.sleep(0))

    monkeypatch.setattr(lines.Waiter, "pause", pause)
    now: list[World] = []
    monkeypatch.setattr(lines, "_me", lambda: (0, now[0].running))
    for module in (lines, patience):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0].now))

    def make(seed: int, rate: Rate | None = None) -> World:
        now[:] = [World(seed, rate)]
        return now[0]

    return make


def test_random_histories_end(worlds: Callable[..., World]) -> None:
    """1,000 here; `make soak` plays ten thousand."""
    waited = refused = 0
    for seed in range(HISTORIES):
        world = worlds(seed)
        world.play(world.dice.randint(2, 8))
        waited += world.now > BEGAN
        refused += world.refused
        for account in ("tenant", "team 0", "team 1"):
            assert world.ledger.reading(account)["held_output_tokens"] == 0
        spent = world.ledger.reading("tenant")
        used = spent["output_tokens"] + spent["unknown_output_tokens"]
        assert used + (world.ledger.room("tenant").output_tokens or 0) == world.cap
        assert lines.line_of(world.ledger).empty
    assert waited > HISTORIES // 20, "hardly anything ever waited"
    assert refused > HISTORIES // 20, "hardly anything was ever refused"


def test_random_histories_end_under_a_rate_too(worlds: Callable[..., World]) -> None:
    """Waiting for the rate refuses nobody, and those that wait for room and for the rate don't wait for each other."""
    waited = 0
    for seed in range(HISTORIES // 2):
        world = worlds(seed, Rate(rpm=1 + seed % 3, output_tpm=150, period_seconds=0.5))
        world.looks = 12  # half a second and a little, with everything asleep
        world.play(world.dice.randint(2, 8))
        waited += world.now > BEGAN + 0.5
        for account in ("tenant", "team 0", "team 1"):
            assert world.ledger.reading(account)["held_output_tokens"] == 0
        assert world.ledger.reading("tenant")["rate"]["requests"]["in_flight"] == 0
        assert lines.line_of(world.ledger).empty
    assert waited > HISTORIES // 20, "hardly anything ever waited for the rate"


def test_the_histories_notice_a_deadlock(worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait would be waited for."""
    monkeypatch.setattr(lines.Line, "helps", lambda *args, **more: True)

    def play() -> None:
        for seed in range(500):
            world = worlds(seed)
            world.play(world.dice.randint(2, 8))

    with pytest.raises(AssertionError, match="nobody is helped"):
        play()
