"""A long task under a hard budget: it lays out steps, gives each an allowance, asks a human on the way, and reports.

Run: python examples/long_task.py
The model is simulated, and this script answers for the human. With a real model:
`rheostat auto "…" --budget-usd 1 --check-in 0.5`.
"""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from rheostat import Budget, build_autonomous, read
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn, provider_server
from rheostat.visible import visible

TURNS = [
    Turn(text='{"steps": ["look up what a rheostat is", "write two sentences"]}'),
    Turn(tool_calls=(("look_up", {"word": "rheostat"}),), text=""),
    Turn(text="A rheostat is a dial on current."),
    Turn(text='{"steps": ["write two short sentences"]}'),
    Turn(text="A rheostat sets how much current flows. You turn it."),
    Turn(text="Done: two sentences about the rheostat. Nothing is left."),
]


@tool
def look_up(word: str) -> str:
    """Look a word up in the dictionary."""
    return f"{word}: a variable resistor, a dial on current"


with provider_server(*TURNS) as server:
    chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key="any")
    graph = build_autonomous(
        endpoint_for(chat, provider="openai"),
        [look_up],
        budget=Budget(calls=12, usd="2"),
        check_in=(0.2,),
    ).compile(checkpointer=InMemorySaver())

    config = {"configurable": {"thread_id": "essay"}}
    graph.invoke({"task": "Explain the rheostat in two sentences."}, config)

    # At a fifth of the budget the run waits: the state is in the checkpointer, nothing is in flight.
    question = graph.get_state(config).interrupts[0].value
    print(f"{question['used']:.0%} used; done: {question['done']}; next: {question['next']}")

    result = graph.invoke(Command(resume="keep the sentences short"), config)
    for step in result["done"]:
        print(visible(f"- {step['step']}: {step['result']}"))
    print(visible(f"{result['status']} · {result['report']}"))
    spend = read(result)["spend"]
    print(f"${spend['usd_nanos'] / 1e9:.6f} of $2, {spend['calls']} of 12 calls")
    assert spend["usd_nanos"] == server.bill.total("usd_nanos")
