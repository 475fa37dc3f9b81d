"""An agent inside an app: every user has a daily allowance and every question a budget; both limits bind.

Run: python examples/agent_in_an_app.py
It runs against a simulated provider, so it needs no key and costs nothing. With your own key, leave out `endpoint=` and
`base_url=`.
"""

from datetime import date

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from rheostat import Account, AdaptiveThinking, Budget, BudgetExceeded, MemoryLedger, Window, read
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn, provider_server

# The turns of the simulated model: look up the order, answer; then the same for the second question.
LOOKS = Turn(tool_calls=(("order_status", {"number": 1042}),), text="")
TURNS = [LOOKS, Turn(text="Order 1042 left our warehouse today."), LOOKS, Turn(text="It comes in a blue box.")]


@tool
def order_status(number: int) -> str:
    """Look up where an order is."""
    return f"order {number}: shipped {date.today()}, blue box"


# 1. One ledger for the whole app. In production: SQLiteLedger("spend.db") or PostgresLedger("postgresql://…").
ledger = MemoryLedger()

with provider_server(*TURNS) as server:
    chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key="any")

    def agent_for(user: str):
        # 2. An account for each user: at most 50 cents a day for all questions. Opening it again changes nothing.
        ledger.open(Account(user, Budget(usd="0.50"), window=Window("day", "Europe/Berlin")))
        # 3. The middleware: each question may cost 20 cents and take a minute.
        thinking = AdaptiveThinking(
            budget=Budget(usd="0.20", seconds=60),
            ledger=ledger,
            account=user,
            endpoint=lambda model: endpoint_for(model, provider="openai"),
        )
        return create_agent(chat, [order_status], middleware=[thinking])

    for question in ("Where is my order 1042?", "What does the parcel look like?"):
        try:
            result = agent_for("ada").invoke({"messages": [("user", question)]})
        except BudgetExceeded as refused:  # only if not even one call fits: nothing was sent, nothing is charged
            print("refused:", refused)
            continue
        print(question, "→", result["messages"][-1].text)
        thinking = read(result)["thinking"]
        print(f"   thought at {thinking['effort']}: {thinking['reasons'][0]}")
        run = read(result)["run"]
        print(f"   this question: ${run['usd_nanos'] / 1e9:.6f}, {run['calls']} calls")

    # 4. Ada's spend today and the provider's bill: equal to the nano-dollar.
    spent = ledger.reading("ada")["usd_nanos"]
    print(f"ada today: ${spent / 1e9:.6f}; the provider's bill: ${server.bill.total('usd_nanos') / 1e9:.6f}")
    assert spent == server.bill.total("usd_nanos")
