"""The solver's nodes: estimate, plan, hold, call, settle, verify, decide.

Each is a flow over state; `as_node` makes a LangGraph node of it that runs sync and async. They hold no state of
their own: everything that a resumed run needs is in the graph's state and in the ledger.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.config import get_config
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite, Send

from rheostat.budget import Budget
from rheostat.difficulty import Agreement, check_question, heuristic
from rheostat.effort import Difficulty, Effort, ThinkingPlan, Wish, parse_wish
from rheostat.errors import BudgetExceeded
from rheostat.events import emit
from rheostat.exchange import bounds, sample
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.ledger import Account, Reservation
from rheostat.meter import Meter
from rheostat.policy import Caps, Decision, ModelFacts, Policy, Progress
from rheostat.prompts import ANSWER_TOKENS, answer_form, answer_key, ask, votable
from rheostat.providers import Endpoint
from rheostat.providers.dial import Messages
from rheostat.state import SolverState
from rheostat.usage import Spend
from rheostat.verifiers import AnswerForm, JsonSchema, Verdict, Verifier
from rheostat.voting import Votes

__all__ = ["SolverNodes", "as_node"]

Update = dict[str, Any]


def as_node(flow: Callable[[Any], Flow[Update]]) -> Runnable[Any, Any]:
    """A LangGraph node from a flow: `invoke` drives it blocking, `ainvoke` on the event loop."""

    @functools.wraps(flow)
    def run(state: Any) -> Update:
        return drive(flow(state))

    @functools.wraps(flow)
    async def arun(state: Any) -> Update:
        return await adrive(flow(state))

    return RunnableLambda(run, afunc=arun, name=flow.__name__)


@dataclass(frozen=True, kw_only=True)
class SolverNodes:
    """What the nodes share: models, meter, budget, verifier, policy."""

    ladder: Sequence[Endpoint]
    """The models to ask, the first one first; the others when it is worth their price."""
    meter: Meter
    budget: Budget
    verifier: Verifier | None
    policy: Policy
    caps: Caps
    wish: Wish
    probe: Agreement | None

    # --- helpers ----------------------------------------------------------------------------------

    def _open(self, state: SolverState) -> Flow[str]:
        """The run's account, known to the ledger again even after a restart."""
        reading = state["spend"]
        account: str = reading["account"]
        yield from self.meter.open(Account(account, self.budget), reading)
        return account

    def _wish(self) -> Wish:
        context = get_runtime().context
        asked = context.get("effort") if isinstance(context, dict) else None
        return parse_wish(asked) if asked else self.wish

    def _endpoint(self, state: SolverState) -> Endpoint:
        return self.ladder[state.get("model", 0)]

    @property
    def _schema(self) -> Any | None:
        return self.verifier.schema if isinstance(self.verifier, JsonSchema) else None

    def _messages(
        self, state: SolverState, difficulty: Difficulty, endpoint: Endpoint, *, thinking: bool, correct: bool
    ) -> Messages:
        refused: list[tuple[str, str]] = []
        if correct:
            last = [s for s in state["samples"] if s.get("verdict") and s["verdict"]["passed"] is False][-1:]
            refused = [(s["answer"], s["verdict"]["reason"]) for s in last]
        form = answer_form(difficulty.kind, self.verifier)
        return ask(
            state["question"], form,
            thinking=thinking, verifier=self.verifier, refused=refused, example=endpoint.dial.example,
        )  # fmt: skip

    # --- estimate ---------------------------------------------------------------------------------

    def estimate(self, state: SolverState) -> Flow[Update]:
        """Open the account and read how hard the question looks."""
        question = check_question(state.get("question"))
        info = get_runtime().execution_info
        thread = get_config().get("configurable", {}).get("thread_id") or "run"
        account = f"{thread}/{info.task_id if info else id(state)}"
        before = state.get("spend") or {}
        fresh = before if before.get("account") == account else {"version": before.get("version", 0)}
        yield from self.meter.open(Account(account, self.budget), fresh)
        difficulty = heuristic(question)
        samples: list[dict[str, Any]] = []
        if self.probe is not None and votable(difficulty.kind, answer_form(difficulty.kind, self.verifier)):
            samples = yield from self._probe(account, question, difficulty, self.probe)
            votes = Votes.count(s["key"] for s in samples if s["answer"] is not None)
            difficulty = self.probe.read(difficulty, votes.share)
        reading = yield from self.meter.reading(account)
        emit("difficulty", **difficulty.to_dict())
        return {
            "difficulty": difficulty.to_dict(),
            "samples": Overwrite(samples),
            "plan": {},
            "calls": [],
            "decision": Decision(action="sample", why="nothing tried yet").to_dict(),
            "round": 0,
            "model": 0,
            "answer": None,
            "status": "unsolved",
            "stopped": "",
            "confidence": None,
            "spend": reading,
        }

    def _probe(
        self, account: str, question: str, difficulty: Difficulty, probe: Agreement
    ) -> Flow[list[dict[str, Any]]]:
        """A few answers without thought; they are votes like all others. Too little room: no probe."""
        endpoint = self.ladder[0]
        form = answer_form(difficulty.kind, self.verifier)
        lowest = endpoint.dial.facts.nearest(Effort.none)
        plan = self.policy.set_effort(
            ThinkingPlan(effort=lowest, thinking_tokens=0, answer_tokens=self._answer_tokens(form)),
            lowest,
            self.caps,
            endpoint.dial.facts,
        )
        thinking = plan.thinking_tokens > 0
        messages = ask(question, form, thinking=thinking, verifier=self.verifier, example=endpoint.dial.example)
        amounts = yield from self._bounds(endpoint, plan, messages, form)
        room = yield from self.meter.room(account)
        needed = sum(amounts * (probe.samples + 1), Spend())  # one more: the last word
        if not room.fits(needed):
            return []
        drawn = []
        for number in range(probe.samples):
            note = {"model": endpoint.name, "node": "estimate"}
            held = yield from self.meter.hold(account, amounts, note)
            got = yield from sample(
                self.meter, endpoint, account, plan, messages, form, held,
                temperature=self._temperature(endpoint, number), schema=self._schema, note=note,
            )  # fmt: skip
            key = answer_key(got["answer"], form) if got["answer"] is not None else None
            drawn.append({"id": f"probe{number}", "round": 0, "key": key, **got})
        return drawn

    def _answer_tokens(self, form: AnswerForm) -> int:
        return min(self.caps.answer_tokens, ANSWER_TOKENS.get(form, self.caps.answer_tokens))

    @staticmethod
    def _temperature(endpoint: Endpoint, number: int) -> float | None:
        """The first answer is the model's likeliest; the others vary, or their votes would say nothing."""
        if not endpoint.dial.facts.takes_temperature:
            return None
        return 0.0 if number == 0 else 0.7

    def _bounds(
        self, endpoint: Endpoint, plan: ThinkingPlan, messages: Messages, form: AnswerForm
    ) -> Flow[list[Spend]]:
        dial = endpoint.dial
        phase = dial.phases(plan, schema=self._schema is not None)[0]
        settings = dial.encode(plan, phase, temperature=None, schema=self._schema)
        tokens = yield from self.meter.input_bound(endpoint, messages, settings)
        return bounds(self.meter, endpoint, plan, tokens, form, schema=self._schema)

    # --- plan -------------------------------------------------------------------------------------

    def plan(self, state: SolverState) -> Flow[Update]:
        """Difficulty, wish, caps and room → how the next round thinks."""
        account = yield from self._open(state)
        difficulty = Difficulty.from_dict(state["difficulty"])
        decision = state["decision"]
        number = state["model"]
        if decision["to"] == "model":
            number += 1
        endpoint = self.ladder[number]
        facts = endpoint.dial.facts
        form = answer_form(difficulty.kind, self.verifier)
        wanted = self._wanted(state, difficulty, facts, form)
        correct = wanted.purpose == "correct"

        # what a sample can cost with and without thought: asked for once, then every smaller plan is arithmetic
        cost: dict[tuple[int, int], Spend] = {}
        inputs: dict[bool, int] = {}
        prompts: dict[bool, Messages] = {}
        for thinking in (False, True):
            prompts[thinking] = self._messages(state, difficulty, endpoint, thinking=thinking, correct=correct)
            probe = wanted.because("", thinking_tokens=wanted.thinking_tokens if thinking else 0)
            phase = endpoint.dial.phases(probe, schema=self._schema is not None)[0]
            settings = endpoint.dial.encode(probe, phase, temperature=None, schema=self._schema)
            inputs[thinking] = yield from self.meter.input_bound(endpoint, prompts[thinking], settings)

        def per_sample(plan: ThinkingPlan) -> list[Spend]:
            tokens = inputs[plan.thinking_tokens > 0]
            return bounds(self.meter, endpoint, plan, tokens, form, schema=self._schema)

        def bound(plan: ThinkingPlan) -> Spend:
            key = (plan.thinking_tokens, plan.samples)
            if key not in cost:
                cost[key] = sum(per_sample(plan) * plan.samples, Spend())
            return cost[key]

        room = yield from self.meter.room(account)
        answered = any(s["answer"] is not None for s in state["samples"])
        lowest = facts.nearest(Effort.none)
        last_word = bound(wanted.because("", effort=lowest, thinking_tokens=facts.levels[lowest], samples=1))
        plan = self.policy.fit(wanted, room if answered else room.minus(last_word), facts, bound)
        if plan is None and not answered:
            alone = wanted.because("the last word: all that is left", by="operator", samples=1, purpose="last word")
            plan = self.policy.fit(alone, room, facts, bound)
        if plan is None:
            return (yield from self._no_room(state, account, last_word))
        emit("plan", round=state["round"] + 1, **plan.to_dict())
        before = len(state["samples"])
        return {
            "plan": plan.to_dict(),
            "model": number,
            "round": state["round"] + 1,
            "calls": [
                {
                    "id": f"r{state['round'] + 1}s{i}",
                    "messages": prompts[plan.thinking_tokens > 0],
                    "amounts": [amount.to_dict() for amount in per_sample(plan)],
                    "temperature": self._temperature(endpoint, before + i),
                }
                for i in range(plan.samples)
            ],
        }

    def _wanted(self, state: SolverState, difficulty: Difficulty, facts: ModelFacts, form: AnswerForm) -> ThinkingPlan:
        wish = self._wish()
        if not state["plan"]:
            first = self.policy.first(
                difficulty, wish, self.caps, facts,
                verified=self.verifier is not None, votable=votable(difficulty.kind, form),
            )  # fmt: skip
            return replace(first, answer_tokens=self._answer_tokens(form))
        before = ThinkingPlan.from_dict(state["plan"])
        decision = state["decision"]
        plan = ThinkingPlan(
            effort=before.effort,
            thinking_tokens=before.thinking_tokens,
            answer_tokens=before.answer_tokens,
            model=facts.name,
            decided_by="user" if isinstance(wish, Effort) else "policy",
            purpose="correct" if decision["action"] == "correct" else "solve",
            reasons=(decision["why"],),
        )
        effort = before.effort
        if (decision["action"] == "correct" or decision["to"] == "thought") and not isinstance(wish, Effort):
            effort = facts.above(before.effort, self.caps.max_effort) or before.effort
        return self.policy.set_effort(plan, effort, self.caps, facts)

    def _no_room(self, state: SolverState, account: str, needed: Spend) -> Flow[Update]:
        room = yield from self.meter.room(account)
        reading = yield from self.meter.reading(account)
        shortage = room.shortage(needed) or ("tokens", needed.tokens, room.tokens or 0)
        limit, asked, left = shortage
        if state["round"] == 0 and not state["samples"]:
            cap = self.budget.limits.get(limit, int(self.budget.seconds or 0))
            raise BudgetExceeded(
                account=account, limit=limit, asked=asked, left=left, cap=cap,
                hint=f"The smallest call on this question may need {asked:,} {limit}; nothing was spent. "
                "Raise the budget, shorten the question, or lower Caps(answer_tokens=…).",
            )  # fmt: skip
        why = f"budget: the next call may need {asked:,} {limit}, {left:,} left"
        emit("decision", action="stop", why=why)
        return {
            "calls": [],
            "decision": Decision(action="stop", why=why).to_dict(),
            "stopped": why,
            "spend": reading,
        }

    # --- hold, call, settle -----------------------------------------------------------------------

    def hold(self, state: SolverState) -> Flow[Update]:
        """Hold the worst case of the whole round before anything leaves; write it into state first."""
        account = yield from self._open(state)
        note = {"model": state["plan"]["model"], "node": "call"}
        amounts = [Spend.from_dict(amount) for call in state["calls"] for amount in call["amounts"]]
        try:
            held = yield from self.meter.hold(account, amounts, note)
        except BudgetExceeded as refused:  # somebody else took the room between plan and hold
            why = f"budget: {refused}"
            return {"calls": [], "decision": Decision(action="stop", why=why).to_dict(), "stopped": why}
        ids = iter(held)
        calls = [{**call, "reservations": [next(ids).id for _ in call["amounts"]]} for call in state["calls"]]
        reading = yield from self.meter.reading(account)
        emit("hold", samples=len(calls), tokens=sum(a.tokens for a in amounts), spend=reading)
        return {"calls": calls, "spend": reading}

    def fan_out(self, state: SolverState) -> list[Send] | str:
        """One branch a sample; `decide` if nothing could be held."""
        shared = {name: state[name] for name in ("question", "difficulty", "plan", "model", "round", "spend")}
        return [Send("call", {**shared, "call": call}) for call in state["calls"]] or "decide"

    def call(self, branch: dict[str, Any]) -> Flow[Update]:
        """Draw one sample under its reservations. A failure is a value here: it must not cancel its siblings."""
        account = yield from self._open(branch)  # type: ignore[arg-type]
        endpoint, call = self._endpoint(branch), branch["call"]  # type: ignore[arg-type]
        plan = ThinkingPlan.from_dict(branch["plan"])
        note = {"model": endpoint.name, "node": "call"}
        amounts = [Spend.from_dict(amount) for amount in call["amounts"]]
        held = [Reservation(r, account, a, note) for r, a in zip(call["reservations"], amounts, strict=True)]
        error = None
        known = yield from self._known(held)
        if not known:  # the process that held this died: its call stays charged as unknown, this one is another
            try:
                held = yield from self.meter.hold(account, amounts, note)
            except BudgetExceeded as refused:
                error = f"budget: {refused}"
        form = answer_form(branch["difficulty"]["kind"], self.verifier)
        if error is None:
            drawn = yield from sample(
                self.meter, endpoint, account, plan, call["messages"], form, held,
                temperature=call["temperature"], schema=self._schema, note=note,
            )  # fmt: skip
        else:
            drawn = {"model": endpoint.name, "answer": None, "text": "", "error": error, "cut": False}
        reading = yield from self.meter.reading(account)
        emit("sample", id=call["id"], round=branch["round"], spend=reading, **drawn)
        return {"samples": [{"id": call["id"], "round": branch["round"], **drawn}], "spend": reading}

    def _known(self, held: list[Reservation]) -> Flow[bool]:
        ledger = self.meter.ledger
        for reservation in held:
            name = reservation.id
            known: bool = yield Effect(functools.partial(ledger.knows, name), functools.partial(ledger.aknows, name))
            if not known:
                return False
        return True

    def settle(self, state: SolverState) -> Flow[Update]:
        """All branches are in: publish what the round really cost."""
        account = yield from self._open(state)
        reading = yield from self.meter.reading(account)
        emit("spend", **reading)
        return {"spend": reading, "calls": []}

    # --- verify, decide ---------------------------------------------------------------------------

    def verify(self, state: SolverState) -> Flow[Update]:
        """Evidence on the new answers: the verifier's verdicts, and which answers are equal."""
        form = answer_form(state["difficulty"]["kind"], self.verifier)
        judged = []
        for drawn in state["samples"]:
            if drawn["answer"] is None or "verdict" in drawn:
                continue
            verdict = yield from self._judge(drawn["answer"])
            judged.append({"id": drawn["id"], "key": answer_key(drawn["answer"], form), "verdict": verdict.to_dict()})
            if self.verifier is not None:
                emit("verdict", id=drawn["id"], round=drawn["round"], **verdict.to_dict())
        return {"samples": judged}

    def _judge(self, answer: str) -> Flow[Verdict]:
        verifier = self.verifier
        if verifier is None:
            return Verdict(None, "no verifier")
        check = functools.partial(verifier.check, answer)
        try:
            verdict: Verdict = yield Effect(check, lambda: asyncio.to_thread(check))
        except Exception as error:  # a broken check says nothing about the answer
            return Verdict(None, f"the verifier failed: {type(error).__name__}: {error}")
        return verdict

    def decide(self, state: SolverState) -> Flow[Update]:
        """Accept, correct, sample, escalate or stop; the best answer so far is in state either way."""
        yield from self._open(state)
        samples = state["samples"]
        answers = [s for s in samples if s["answer"] is not None]
        best, confidence, status = self._best(state, answers)
        update: Update = {"answer": best, "confidence": confidence, "status": status}
        if state["decision"]["action"] == "stop":  # the room ran out between plan and hold
            return update
        decision = self._decision(state, samples, answers)
        emit("decision", **decision)
        if decision["action"] in ("accept", "stop"):
            update["stopped"] = decision["why"]
        return {**update, "decision": decision}

    def _best(self, state: SolverState, answers: list[dict[str, Any]]) -> tuple[str | None, float | None, str]:
        passed = next((s for s in answers if s["verdict"]["passed"]), None)
        if passed is not None:
            return passed["answer"], 1.0, "solved"
        if not answers:
            return None, None, "unsolved"
        unsure = [s for s in answers if s["verdict"]["passed"] is None]
        if not unsure:
            return answers[-1]["answer"], 0.0, "unsolved"
        kind = state["difficulty"]["kind"]
        votes = Votes.count(s["key"] for s in unsure)
        leader = next(s for s in unsure if s["key"] == votes.leader)
        can_vote = votable(kind, answer_form(kind, self.verifier)) and votes.total > 1
        return leader["answer"], votes.share if can_vote else None, "answered"

    def _decision(
        self, state: SolverState, samples: list[dict[str, Any]], answers: list[dict[str, Any]]
    ) -> dict[str, str]:
        plan = ThinkingPlan.from_dict(state["plan"])
        kind = state["difficulty"]["kind"]
        facts = self._endpoint(state).dial.facts
        latest = [s for s in samples if s["round"] == state["round"]]
        refused = next((s["error"] for s in latest if (s.get("error") or "").startswith("budget: ")), None)
        if refused:
            return Decision(action="stop", why=refused).to_dict()
        verdicts = [s["verdict"]["passed"] for s in answers]
        progress = Progress(
            rounds=state["round"],
            samples=len(answers),
            votes=Votes.count(s["key"] for s in answers if s["verdict"]["passed"] is None),
            passed=True in verdicts,
            failed=verdicts.count(False),
            starved=any(s["cut"] for s in latest),
            fell=sum(1 for s in latest if s.get("error")),
        )
        more = facts.above(plan.effort, self.caps.max_effort)
        next_tokens = facts.levels[more or plan.effort] + plan.answer_tokens
        other = state["model"] + 1 < len(self.ladder)
        decision = self.policy.decide(
            progress,
            plan,
            self._wish(),
            self.caps,
            verified=self.verifier is not None and any(v is not None for v in verdicts),
            votable=votable(kind, answer_form(kind, self.verifier)),
            price_ratio=max(1.0, next_tokens / plan.max_output_tokens),
            can_think_more=more is not None,
            has_other_model=other,
        )
        return decision.to_dict()
