"""The dials on the wire: effort, settings, failures and endings, the same through every API."""

from __future__ import annotations

from typing import Any

import pytest

from rheostat import BadInput, Budget, Effort, Meter, ModelUnknown, SettingWarning
from rheostat.providers import endpoint_for
from rheostat.providers.failures import read_failure
from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import ADAPTIVE, CHAT, MANUAL, RESPONSE, Api, Caller, Way, anthropic, on_every_api, openai, plan_of, simulated

# --- effort ------------------------------------------------------------------------------------------


@on_every_api
def test_every_level_that_a_dial_has_is_taken_and_counted(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    for level in caller.at.dial.facts.levels:
        reply = caller.call(level)
        assert reply.text == "The answer is 4."
        assert reply.stop == "end"
    assert not server.bill.refusals
    caller.agrees()
    thought = [line.thinking_tokens for line in server.bill.lines]
    assert api is MANUAL or (thought == sorted(thought) and len(set(thought)) == len(thought))


@on_every_api
def test_a_level_that_isnt_there_becomes_the_nearest_and_says_so(api: Api, server: ProviderServer) -> None:
    at = api.at(server)
    missing = [level for level in Effort if level not in at.dial.facts.levels]
    assert missing
    for level in missing:
        plan = plan_of(at, level)
        assert plan.effort in at.dial.facts.levels
        assert f"no level {level.value}: {plan.effort.value} instead" in " ".join(plan.reasons)
        assert plan.decided_by == "model"
    strict = endpoint_for(api.chat(server), provider=api.provider, strict=True)
    with pytest.raises(BadInput, match="strict=True"):
        plan_of(strict, missing[0])


@on_every_api
def test_the_cap_holds_however_long_the_model_wants_to_think(api: Api, way: Way) -> None:
    with simulated(Turn(thinking_tokens=100_000, text="late " * 50)) as server:
        caller = Caller(api, server, way)
        reply = caller.call(Effort.low, answer_tokens=100)
        [line] = server.bill.lines
        assert line.output_tokens <= caller.settings.max_output_tokens
        assert reply.cut or api is MANUAL
        if api is MANUAL:  # a budget is a cap of its own: the answer keeps its room
            assert line.thinking_tokens == 1024
        else:
            assert reply.starved
            assert reply.stop == "length"
        caller.agrees()


@on_every_api
def test_an_answer_that_is_cut(api: Api, way: Way) -> None:
    with simulated(Turn(thinking_tokens=10, text="word " * 9000)) as server:
        caller = Caller(api, server, way)
        reply = caller.call(Effort.low)
        assert reply.cut
        assert not reply.starved
        caller.agrees()


@on_every_api
def test_temperature_is_dropped_aloud(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    caller.call(Effort.medium, temperature=0.7)
    assert "temperature" not in server.bill.bodies[0]
    assert any("temperature not sent" in note for note in caller.settings.notes)
    assert not server.bill.refusals


@on_every_api
def test_no_more_is_asked_for_than_the_model_can_write(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    caller.call(max(caller.at.dial.facts.levels, key=lambda level: level.rank), answer_tokens=500_000)
    assert not server.bill.refusals
    assert any("above the model's" in note for note in caller.settings.notes)


@on_every_api
def test_a_very_short_answer_may_be_asked_for(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    caller.call(caller.at.dial.facts.nearest(Effort.none), answer_tokens=4)
    assert not server.bill.refusals
    caller.agrees()


@on_every_api
def test_an_answer_in_a_schema(api: Api, server: ProviderServer, way: Way) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    caller = Caller(api, server, way)
    caller.call(Effort.low, schema=schema)
    body = server.bill.bodies[0]
    sent = body.get("response_format") or body.get("text") or body.get("output_config")
    assert "integer" in str(sent)
    assert not server.bill.refusals
    caller.agrees()


# --- what the provider says of a model now ---------------------------------------------------------------


@anthropic
def test_the_provider_is_asked_what_its_model_can_do(api: Api, server: ProviderServer) -> None:
    """It says the same as our rows here; where it doesn't, it is right."""
    at = endpoint_for(api.chat(server), provider="anthropic", live=True)
    assert at.dial.facts.levels.keys() == api.at(server).dial.facts.levels.keys()
    assert at.context_tokens == (200_000 if api is MANUAL else 1_000_000)
    assert server.bill.requests == 0


def test_a_model_that_no_profile_knows_is_asked_about(server: ProviderServer) -> None:
    new = Api("anthropic", "claude-opus-5-20261101")  # the simulator serves the whole generation
    assert list(new.at(server).dial.facts.levels) != list(endpoint_for(new.chat(server), live=True).dial.facts.levels)
    caller = Caller(new, server, Way(False, False))
    caller.at = endpoint_for(new.chat(server), provider="anthropic", live=True)
    caller.call(Effort.xhigh)
    assert server.bill.bodies[0]["output_config"] == {"effort": "xhigh"}
    with pytest.raises(ModelUnknown, match="not found"):
        endpoint_for(Api("anthropic", "claude-nobody").chat(server), live=True)


# --- settings of the model object -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "own"),
    [
        (MANUAL, {"thinking": {"type": "enabled", "budget_tokens": 9000}, "max_tokens": 20_000}),
        (ADAPTIVE, {"effort": "max"}),
        (ADAPTIVE, {"temperature": 0.3}),
        (CHAT, {"reasoning_effort": "high"}),
        (RESPONSE, {"reasoning": {"effort": "high", "summary": "auto"}}),
    ],
    ids=str,
)
def test_what_the_model_object_says_gives_way_aloud(api: Api, own: dict[str, Any], server: ProviderServer) -> None:
    with pytest.warns(SettingWarning, match="gives way"):
        caller = Caller(api, server, Way(False, False), **own)
    reply = caller.call(Effort.low)
    [line] = server.bill.lines
    assert line.effort in ("low", "high" if api is MANUAL else "low")
    assert line.thinking_tokens <= 1024
    assert not server.bill.refusals
    if "reasoning" in own:
        assert reply.thought.startswith("hm")  # the rest of the setting stays
    caller.agrees()


@on_every_api
def test_the_callers_own_model_is_left_alone(api: Api, server: ProviderServer) -> None:
    chat = api.chat(server)
    before = chat.model_dump()
    endpoint_for(chat, provider=api.provider)
    assert chat.model_dump() == before
    assert chat.invoke("hi").text == "The answer is 4."


# --- what goes wrong --------------------------------------------------------------------------------------


@on_every_api
def test_429_waits_as_long_as_asked_and_costs_nothing(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=429, retry_after="0.2")), Turn()) as server:
        caller = Caller(api, server, way)
        assert caller.call().text == "The answer is 4."
        assert (caller.spent["calls"], server.bill.requests, len(server.bill.lines)) == (2, 2, 1)
        caller.agrees()


@on_every_api
@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(status=529), Fault(cut=True)], ids=str)
def test_what_may_have_been_billed_stays_charged(api: Api, fault: Fault, way: Way) -> None:
    with simulated(Turn(fault=fault), Turn()) as server:
        caller = Caller(api, server, way)
        assert caller.call(Effort.low).text == "The answer is 4."
        spent = caller.spent
        assert (spent["calls"], spent["unknown_calls"]) == (1, 1)
        assert spent["usd_nanos"] <= server.bill.total("usd_nanos") <= spent["usd_nanos"] + spent["unknown_usd_nanos"]


@on_every_api
@pytest.mark.parametrize(
    "fault", [Fault(no_usage=True), Fault(no_usage=True, garbage=True)], ids=["no usage", "garbage"]
)
def test_a_cost_that_is_not_reported_is_charged_at_its_hold(api: Api, fault: Fault, way: Way) -> None:
    with simulated(Turn(fault=fault)) as server:
        caller = Caller(api, server, way)
        try:
            caller.call(Effort.low)
        except Exception as error:
            assert not isinstance(error, BadInput)
        spent = caller.spent
        assert spent["calls"] == 0
        assert spent["unknown_calls"] >= 1
        assert server.bill.total("usd_nanos") <= spent["unknown_usd_nanos"]


@on_every_api
@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
def test_a_stream_that_ends_early_is_no_answer(api: Api, asynchronous: bool) -> None:
    with simulated(Turn(fault=Fault(ends_early=True)), Turn()) as server:
        caller = Caller(api, server, Way(asynchronous, streaming=True))
        assert caller.call(Effort.low).text == "The answer is 4."
        spent = caller.spent
        assert (spent["calls"], spent["unknown_calls"]) == (1, 1)
        assert spent["usd_nanos"] <= server.bill.total("usd_nanos") <= spent["usd_nanos"] + spent["unknown_usd_nanos"]


@on_every_api
@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_isnt_tried_again(api: Api, status: int, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=status))) as server:
        caller = Caller(api, server, way)
        with pytest.raises(Exception, match=str(status)):
            caller.call()
        assert (server.bill.requests, caller.spent["calls"], caller.spent["usd_nanos"]) == (1, 1, 0)


@on_every_api
@pytest.mark.parametrize(
    ("status", "reason", "money", "again"),
    [
        (400, "bad request", "refused", False),
        (401, "authentication", "refused", False),
        (404, "not found", "refused", False),
        (429, "rate limit", "refused", True),
        (500, "server", "unknown", True),
        (503, "overloaded", "unknown", True),
        (529, "overloaded", "unknown", True),
    ],
)
def test_failures_read_the_same(api: Api, status: int, reason: str, money: str, again: bool, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=status))) as server:
        caller = Caller(api, server, way)
        caller.meter = Meter(caller.ledger, attempts=1)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has exceptions of its own
            caller.call(Effort.low)
        failed = read_failure(caught.value)
        assert (failed.reason, failed.money, failed.retryable, failed.status) == (reason, money, again, status)
        assert failed.request_id == "req_1"


@on_every_api
def test_the_clients_own_retries_are_off(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=500))) as server:
        caller = Caller(api, server, way, max_retries=5)
        with pytest.raises(Exception, match="500"):
            caller.call(Effort.low)
        assert server.bill.requests == 3  # the meter's attempts
        assert caller.spent["unknown_calls"] == 3


@on_every_api
def test_a_deadline_cuts_and_charges(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(seconds=1.5))) as server:
        caller = Caller(api, server, way, budget=Budget(usd="100", seconds=0.4))
        with pytest.raises(Exception):  # noqa: B017, PT011 - each client has a timeout of its own
            caller.call(Effort.low)
        assert caller.spent["unknown_calls"] == 1


@on_every_api
def test_more_than_was_possible_is_charged_as_unknown(api: Api, way: Way) -> None:
    """From an address that isn't the provider's own; what a provider reports, it bills (test_usage.py)."""
    with simulated(Turn(overrun_tokens=200_000)) as server:
        caller = Caller(api, server, way)
        caller.call(Effort.low)
        assert (caller.spent["calls"], caller.spent["unknown_calls"]) == (0, 1)
        assert 0 < caller.spent["unknown_usd_nanos"] < server.bill.total("usd_nanos")


# --- why it ended ---------------------------------------------------------------------------------------


@anthropic
@pytest.mark.parametrize(
    ("stop", "read"), [("refusal", "refusal"), ("pause_turn", "pause"), ("model_context_window_exceeded", "context")]
)
def test_stop_reasons_of_messages(api: Api, stop: str, read: str, way: Way) -> None:
    with simulated(Turn(stop=stop)) as server:
        caller = Caller(api, server, way)
        assert caller.call().stop == read
        caller.agrees()


@openai
def test_a_content_filter(api: Api, way: Way) -> None:
    with simulated(Turn(stop="content_filter", text="")) as server:
        caller = Caller(api, server, way)
        assert caller.call().stop == "filter"
        caller.agrees()
