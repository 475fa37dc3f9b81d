"""The peers' traps: a test for each silent downgrade that we found in others, here or where `TRAPS` says."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from rheostat import Effort
from rheostat.providers import endpoint_for
from rheostat.task import ThinkingPlan
from rheostat.testing.server import ProviderServer
from wire import ADAPTIVE, ALWAYS, Api, Caller, Way

TRAPS = {
    "a level that the model lacks is dropped": "test_a_level_that_isnt_there_becomes_the_nearest_and_says_so",
    "the model object's own thinking wins over the call's": "test_what_the_model_object_says_gives_way_aloud",
    "effort without thinking, where the profile has no xhigh": "test_effort_always_comes_with_thinking",
    "the length cap is left to a default: 4,096, or 128,000": "test_no_request_leaves_without_a_length_cap",
    "a forced tool is dropped, or sent to be refused": "test_a_forced_tool",
    "two ways of saying effort in one request": "test_two_ways_of_saying_effort_never_meet",
    "a missing usage becomes zero tokens": "test_a_cost_that_is_not_reported_is_charged_at_its_hold",
    "a stream forgets what the tokens were billed as": "test_what_is_kept_for_an_hour_costs_more_to_write",
    "usage under a tier's prefix isn't found": "test_usage_by_kind_whatever_the_tier_is_called",
    "a temperature that thinking refuses": "test_temperature_is_dropped_aloud",
    "the thought of a local server is dropped": "test_a_server_that_thinks_is_read_whole",
    "the effort for DeepSeek is dropped": "test_what_leaves_and_what_is_settled",
    "retries inside the client are on no bill": "test_a_failure_is_seen_once_by_the_server",
    "an effort is sent to a model that has none": "test_a_model_without_levels_is_sent_none",
    "a starved reply is taken for an answer": "test_the_cap_holds_however_long_the_model_wants_to_think",
}


def test_every_trap_has_its_test() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path("tests").rglob("test_*.py"))
    assert [name for name in TRAPS.values() if f"def {name}(" not in text] == []


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-8", "claude-opus-5"])
def test_effort_always_comes_with_thinking(model: str, server: ProviderServer) -> None:
    """langchain-anthropic adds adaptive thinking to an effort only where the profile lists `xhigh`."""
    caller = Caller(Api("anthropic", model), server, Way(False, False))
    caller.call(Effort.medium)
    assert server.bill.bodies[0]["thinking"] == {"type": "adaptive"}
    assert server.bill.lines[0].thinking_tokens > 0


@pytest.mark.parametrize("api", [ADAPTIVE, ALWAYS], ids=lambda api: api.model)
def test_no_request_leaves_without_a_length_cap(api: Api, server: ProviderServer) -> None:
    caller = Caller(api, server, Way(False, False))
    caller.call(Effort.low, answer_tokens=50)
    assert server.bill.bodies[0]["max_tokens"] == 2048 + 50


def _bedrock(model: str) -> BaseChatModel:
    from langchain_aws import ChatBedrockConverse

    key = SecretStr("k")
    return ChatBedrockConverse(model=model, region_name="eu-west-1", aws_access_key_id=key, aws_secret_access_key=key)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_model_without_levels_is_sent_none() -> None:
    """langchain-aws takes `reasoning_effort` for any model, warns and sends nothing."""
    at = endpoint_for(_bedrock("deepseek.v3.2"))
    plan = ThinkingPlan(effort=Effort.low, thinking_tokens=128, answer_tokens=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sent = at.dial.encode(plan, "think", temperature=None, schema=None)
    assert sent.kwargs == {"max_tokens": 128}
    assert "two-phase thinking" in sent.notes[0]


def test_an_older_claude_takes_a_number_wherever_it_runs() -> None:
    at = endpoint_for(_bedrock("us.anthropic.claude-haiku-4-5-20251001-v1:0"))
    own = endpoint_for(ChatAnthropic(model_name="claude-haiku-4-5", api_key=SecretStr("k"), timeout=1, stop=None))
    assert at.dial.facts.levels == own.dial.facts.levels
