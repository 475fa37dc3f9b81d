"""A ten-step tool loop on Anthropic and on OpenAI under the same middleware; prints what each step sends.

Run: python examples/hosted_loop.py
The effort changes only at effort boundaries (here: after the tool failed twice in a row), so the prompt cache is kept
in between.
"""

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from rheostat import AdaptiveThinking, Budget, read
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn, provider_server

RULES = "The rules of this house, told at length. " * 300
TURNS = [Turn(tool_calls=(("measure", {"place": n}),), text="") for n in range(9)] + [Turn(text="All measured.")]


@tool
def measure(place: int) -> int:
    """Measure the current at a place."""
    if place in (4, 5):
        raise RuntimeError(f"the probe at place {place} doesn't answer")
    return 10 * place


def table(title, chat, provider, server, system):
    server.reset(*TURNS)
    thinking = AdaptiveThinking(
        budget=Budget(usd="5"),
        endpoint=lambda model: endpoint_for(model, provider=provider),
        correct_tools=(RuntimeError,),
    )
    agent = create_agent(chat, [measure], system_prompt=system, middleware=[thinking])
    result = agent.invoke({"messages": [("user", "Measure the current at the places 0 to 8.")]})
    replies = [message for message in result["messages"] if isinstance(message, AIMessage)]
    print(
        f"\n{title}\n\n| step | boundary | effort | thinking tokens | input | of it cached |\n|--:|---|---|--:|--:|--:|"
    )
    for number, (reply, line) in enumerate(zip(replies, server.bill.lines, strict=True), 1):
        boundary = reply.response_metadata["thinking"]["boundary"]
        cells = (number, boundary, line.effort, line.thinking_tokens, line.input_tokens, line.cached_input_tokens)
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    assert server.bill.refusals == []
    assert read(result)["spend"]["usd_nanos"] == server.bill.total("usd_nanos")


with provider_server() as server:
    kept = SystemMessage([{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}])
    claude = ChatAnthropic(model="claude-opus-4-8", base_url=server.url, api_key="any")
    table("Anthropic, claude-opus-4-8", claude, "anthropic", server, kept)
    gpt = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key="any")
    table("OpenAI, gpt-5.1", gpt, "openai", server, RULES)
