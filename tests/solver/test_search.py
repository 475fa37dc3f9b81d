"""Strategies and scorers in the solver's graph: one driver, one ledger, every candidate shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.decisions import BaseDecisionModel, ClassifierResponse
from pydantic import Field

from conftest import RUNNERS, Runner
from rheostat import BadInput, Budget, Caps, MemoryLedger, NoPrice, Price, build_solver
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers import Decision, HttpRequest, Judge, Scorer
from rheostat.evidence.verifiers import Verdict
from rheostat.strategies import Accept, BestOfN, Direct, Draw, Refine, Stop, TreeSearch, View, Vote
from rheostat.task import Task
from rheostat.testing import Said, ScriptedModel, timeless

QUESTION = "Write a short line about the sea."
ROOMY = Budget(tokens=200_000)


def numbered(prefix: str = "line") -> ScriptedModel:
    """A model whose replies are numbered: a correction counts one on."""

    def script(messages: Any, _: Any) -> str:
        before = [each.content for each in messages if str(each.content).startswith(prefix)]
        return f"{prefix} {int(before[-1][-1]) + 1 if before else 0}"

    return ScriptedModel(script=script)


def judging(points: Any = None) -> ScriptedModel:
    """A judge: the digit in the answer is its points, or what `points` says of the request."""

    def script(messages: Any, _: Any) -> str:
        said = messages[-1].content
        given = points(said) if points else int(said.split("<answer>\nline ")[1][0])
        return json.dumps({"reason": f"worth {given}", "points": given})

    return ScriptedModel(script=script, model="judge")


def candidates(result: dict[str, Any]) -> list[Candidate]:
    return [Candidate.from_dict(each) for each in result["candidates"]]


def test_a_judge_is_paid_from_the_same_budget_and_shown_by_name(run: Runner) -> None:
    model, judge, ledger = numbered(), judging(), MemoryLedger()
    graph = build_solver(
        model, budget=ROOMY, ledger=ledger, strategy=Refine(good_enough=0.2), scorer=Judge(model=judge), effort="none"
    ).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "line 2"
    assert result["confidence"] == 0.2
    drawn = candidates(result)
    assert [each.score for each in drawn] == [0.0, 0.1, 0.2]
    assert [each.parent for each in drawn] == [None, drawn[0].id, drawn[1].id]
    assert drawn[2].scores == {"judge": 0.2}
    assert drawn[2].reason == "worth 2"
    assert result["chosen"] == drawn[2].id
    reading = ledger.reading(result["rheostat"]["run"]["account"])
    assert reading["input_tokens"] + reading["output_tokens"] == model.billed.tokens + judge.billed.tokens
    assert reading["by_node"]["judge"]["input_tokens"] == judge.billed.input_tokens
    assert sum(each.spend.tokens for each in drawn) == model.billed.tokens
    assert sum(each.scoring.tokens for each in drawn) == judge.billed.tokens


def test_the_four_ways_give_the_same_candidates_and_the_same_ledger() -> None:
    seen = []
    for runner in RUNNERS:
        graph = build_solver(
            numbered(), budget=ROOMY, strategy=BestOfN(samples=3), scorer=Judge(model=judging()), effort="none"
        ).compile()
        result = runner(graph, {"question": QUESTION})
        untimed = {"milliseconds": 0}
        plain = [
            {**each, "spend": {**each["spend"], **untimed}, "scoring": {**each["scoring"], **untimed}}
            for each in sorted(result["candidates"], key=lambda each: each["number"])
        ]
        seen.append((result["answer"], result["stopped"], plain, timeless(result["rheostat"]["spend"])))
    assert all(one == seen[0] for one in seen)


def test_a_judge_that_fails_never_becomes_a_vote_and_costs_only_what_it_cost(run: Runner) -> None:
    broken = ScriptedModel(script=[Said(error=ValueError("no judge today"))], model="judge")
    graph = build_solver(
        numbered(), budget=ROOMY, strategy=BestOfN(samples=2), scorer=Judge(model=broken), effort="none"
    ).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "line 0"
    assert result["status"] == "answered"
    assert all(each.score is None and each.scores == {} for each in candidates(result))
    assert "no judge today" in candidates(result)[0].reason


def test_a_judge_that_the_budget_cannot_pay_is_not_asked(run: Runner) -> None:
    judge = judging()
    graph = build_solver(
        numbered(), budget=Budget(tokens=20_000), strategy=BestOfN(samples=2),
        scorer=Judge(model=judge, answer_tokens=30_000), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "line 0"
    assert judge.billed.calls == 0
    assert "budget" in candidates(result)[0].reason


def test_a_verifier_that_can_tell_makes_the_judge_unnecessary(run: Runner) -> None:
    judge = judging()
    graph = build_solver(
        numbered(), budget=ROOMY, verifier=lambda answer: answer.endswith("1") or "must end with 1",
        strategy=TreeSearch(samples=6, at_once=1, width=1), scorer=Judge(model=judge), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    assert (result["answer"], result["status"]) == ("line 1", "solved")
    assert judge.billed.calls == 0


def test_equal_answers_are_judged_once(run: Runner) -> None:
    model = ScriptedModel(script=["The answer is 4."])
    judge = judging(lambda said: 5)
    graph = build_solver(
        model, budget=ROOMY, strategy=BestOfN(samples=3), scorer=Judge(model=judge), effort="none"
    ).compile()
    result = run(graph, {"question": "What is 2 + 2?"})
    assert judge.billed.calls == 1
    assert [each.score for each in candidates(result)] == [0.5, 0.5, 0.5]


def test_pairs_are_compared_by_a_judge(run: Runner) -> None:
    lines = iter(["line 3", "line 9", "line 4"])
    lock = threading.Lock()

    def script(messages: Any, _: Any) -> str:
        with lock:
            return next(lines)

    def compare(messages: Any, _: Any) -> str:
        first, second = (int(messages[-1].content.split(f"<{which}>\nline ")[1][0]) for which in ("first", "second"))
        return json.dumps({"reason": "longer", "better": "first" if first > second else "second"})

    judge = ScriptedModel(script=compare, model="judge")
    graph = build_solver(
        ScriptedModel(script=script), budget=ROOMY, strategy=BestOfN(samples=3),
        scorer=Judge(model=judge, mode="pairs"), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "line 9"
    assert judge.billed.calls == 4
    assert sum(each.scoring.calls for each in candidates(result)) == 4


class Doubter(BaseDecisionModel):
    """A decision model without a wire: the longer the answer, the likelier it is right."""

    model: str = "doubter"
    asked: list[Any] = Field(default_factory=list)

    @property
    def _provider(self) -> str:
        return "tests"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        self.asked.append((state, questions))
        answers = {name: {"type": "noul", "noul": 0.25} for name in questions}
        return ClassifierResponse.model_validate(
            {"model": self.model, "answers": answers, "usage": {"input_tokens": 120, "output_tokens": 0}}
        )


def test_a_decision_model_gives_a_probability_and_its_tokens_are_paid(run: Runner) -> None:
    ledger, decisions = MemoryLedger(), Doubter()
    graph = build_solver(
        numbered(), budget=ROOMY, ledger=ledger, strategy=BestOfN(samples=1), scorer=Decision(model=decisions),
        effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    assert result["confidence"] == 0.25
    reading = ledger.reading(result["rheostat"]["run"]["account"])
    assert reading["by_node"]["decision"]["input_tokens"] == 120
    assert reading["held_calls"] == 0
    state, _ = decisions.asked[0]
    assert state == {"question": QUESTION, "answer": "line 0"}


def test_a_decision_model_without_a_price_cannot_run_under_dollars() -> None:
    from rheostat.testing import free

    with pytest.raises(NoPrice, match="doubter"):
        build_solver(free(numbered()), budget=Budget(usd=1, calls=9), scorer=Decision(model=Doubter()))


@contextmanager
def reward_server() -> Iterator[tuple[str, list[Any]]]:
    """A real HTTP server that scores by the digit in the text."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, body))
            reply = {
                "object": "list",
                "model": body["model"],
                "data": [{"score": int(body["text_2"][-1]) / 10}],
                "usage": {"prompt_tokens": 40, "total_tokens": 40},
            }
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


class Remote(Scorer):
    """A scorer of one's own, behind a server."""

    name = "remote"

    def __init__(self, url: str, path: str = "score") -> None:
        self._url, self._path = url, path

    def request(self, task: Task, candidate: Candidate) -> HttpRequest:
        body = {"model": "reward", "text_1": task.question, "text_2": candidate.answer}
        price = Price(input_per_million=Decimal(10), output_per_million=Decimal(0))
        return HttpRequest(url=f"{self._url}/{self._path}", body=body, price=price, by=self.name)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        return Verdict(None, "", score=float(reply["data"][0]["score"]))


@pytest.mark.parametrize("path", ["score", "my/own/grader"])
def test_a_server_is_asked_under_the_gate(run: Runner, path: str) -> None:
    from rheostat.testing import free

    ledger = MemoryLedger()
    with reward_server() as (url, asked):
        graph = build_solver(
            free(numbered()), budget=Budget(usd="0.10", tokens=100_000), ledger=ledger,
            strategy=Refine(good_enough=0.2), scorer=Remote(url, path), effort="none",
        ).compile()  # fmt: skip
        result = run(graph, {"question": QUESTION})
    assert result["answer"] == "line 2"
    assert len(asked) == 3
    reading = ledger.reading(result["rheostat"]["run"]["account"])
    assert reading["by_node"]["remote"]["input_tokens"] == 120
    assert reading["usd_nanos"] == 120 * 10_000
    assert reading["unknown_calls"] == 0


# --- strategies ---------------------------------------------------------------------------------------


class AskTwice:
    """A strategy of one's own: two answers, and the longer one."""

    def decide(self, task: Task, history: Any, view: View) -> Any:
        if not history:
            return (Draw(why="first"), Draw(why="second"))
        longest = max((each for each in history if each.answer), key=lambda each: len(each.answer))
        return Accept(longest.id, "the longest")


def test_a_strategy_of_ones_own_is_an_object_with_one_function(run: Runner) -> None:
    lines = iter(["short", "a longer line"])
    lock = threading.Lock()

    def script(messages: Any, _: Any) -> str:
        with lock:
            return next(lines)

    result = run(
        build_solver(ScriptedModel(script=script), budget=ROOMY, strategy=AskTwice(), effort="none").compile(),
        {"question": QUESTION},
    )
    assert (result["answer"], result["stopped"]) == ("a longer line", "the longest")


class Endless:
    """Draws for ever, and more than any cap allows."""

    def decide(self, task: Task, history: Any, view: View) -> Any:
        return [Draw(why="more") for _ in range(50)]


def test_the_operators_caps_bind_a_strategy_of_ones_own(run: Runner) -> None:
    model = numbered()
    graph = build_solver(
        model, budget=ROOMY, strategy=Endless(), caps=Caps(max_samples=5, max_rounds=3), effort="none"
    ).compile()
    result = run(graph, {"question": QUESTION})
    assert len(result["candidates"]) == 5
    assert "operator" in result["stopped"]
    assert result["answer"] == "line 0"


def test_a_strategy_that_says_the_room_is_short_buys_nothing_beyond_the_caps(run: Runner) -> None:
    class Short:
        def decide(self, task: Task, history: Any, view: View) -> Any:
            return Stop("no room", short=True)

    graph = build_solver(
        numbered(), budget=ROOMY, strategy=Short(), caps=Caps(max_samples=3, max_rounds=2), effort="none"
    ).compile()
    assert len(run(graph, {"question": QUESTION})["candidates"]) <= 2


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (lambda: None, "must return draws"),
        (lambda: [1, 2], "must return draws"),
        (lambda: (Draw(why="", model="no such model"),), "no such model"),
        (lambda: (Draw(why="", parent="no such candidate"),), "no such candidate"),
        (lambda: Accept("no such candidate", ""), "which has no answer"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_an_error_before_anything_is_spent(decision: Any, told: str) -> None:
    class Broken:
        def decide(self, task: Task, history: Any, view: View) -> Any:
            return decision()

    model = numbered()
    graph = build_solver(model, budget=ROOMY, strategy=Broken()).compile()
    with pytest.raises(BadInput, match=told):
        graph.invoke({"question": QUESTION})
    assert model.billed.calls == 0


@pytest.mark.parametrize("verdict", [None, 0.5, "good"])
def test_a_scorer_that_returns_no_verdict_cannot_tell(verdict: Any) -> None:
    class Odd(Scorer):
        name = "odd"

        def read(self, task: Task, candidate: Candidate, reply: Any) -> Any:
            return verdict

    graph = build_solver(numbered(), budget=ROOMY, strategy=BestOfN(samples=1), scorer=Odd(), effort="none").compile()
    result = graph.invoke({"question": QUESTION})
    assert result["answer"] == "line 0"
    assert "not a Verdict" in candidates(result)[0].reason


def test_strategies_by_name_and_what_they_need() -> None:
    model = numbered()
    for name in ("auto", "direct", "vote", "refine"):
        build_solver(model, budget=ROOMY, strategy=name)
    for name in ("best-of-n", "tree"):
        with pytest.raises(BadInput, match="verifier"):
            build_solver(model, budget=ROOMY, strategy=name)
        build_solver(model, budget=ROOMY, strategy=name, verifier=lambda _: True)
    with pytest.raises(BadInput, match="best-of-n"):
        build_solver(model, budget=ROOMY, strategy="bestofn")
    with pytest.raises(BadInput, match="decide"):
        build_solver(model, budget=ROOMY, strategy=Vote)
    with pytest.raises(BadInput, match="scorer"):
        build_solver(model, budget=ROOMY, scorer="judge")
    with pytest.raises(BadInput, match="worth"):
        build_solver(model, budget=ROOMY, worth="a lot")


def test_at_the_cap_the_best_so_far_is_the_result(run: Runner) -> None:
    graph = build_solver(
        numbered(), budget=Budget(calls=5), strategy=TreeSearch(samples=12, at_once=2), scorer=Judge(model=judging()),
        caps=Caps(max_samples=30, max_rounds=30), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    drawn = candidates(result)
    assert "budget" in result["stopped"]
    best = max(drawn, key=lambda each: each.score or 0.0)
    assert result["answer"] == best.answer
    assert len(drawn) < 12


def test_direct_takes_one_answer(run: Runner) -> None:
    model = ScriptedModel(script=["The answer is 4."])
    result = run(
        build_solver(model, budget=ROOMY, strategy=Direct(), effort="none").compile(), {"question": "What is 2 + 2?"}
    )
    assert (result["answer"], len(result["candidates"])) == ("4", 1)
    assert model.billed.calls == 1
