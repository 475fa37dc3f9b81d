"""A chat service in which every user has a budget, and answers are streamed.

Run: uvicorn --app-dir examples/chat_service app:app          (without a key: a simulated model)
Ask: curl -N localhost:8000/chat/first -H 'X-User: ada' --json '{"text": "Where is order 1042?"}'

Environment: `CHAT_MODEL` (`anthropic:claude-sonnet-5-5`, `qwen2.5-coder-0.5b` …), `CHAT_DATA` (a directory for SQLite
files, or `postgresql://…`), `CHAT_ANSWER_USD`, `CHAT_USER_USD` and `CHAT_TEAM_USD` (the most dollars of one answer, of
a user's day and of the team's month), `CHAT_ZONE` (the time zone of days and months).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from typing import Annotated, Any

from accounts import Accounts
from answers import Answer, events_of
from chat_endpoint import endpoint
from fastapi import FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import format_sse_event
from langchain.agents import create_agent
from langchain_core.tools import tool
from memory import checkpointer, ledger_address
from orjson import dumps
from pydantic import BaseModel, Field

from rheostat import AdaptiveThinking, Budget, BudgetExceeded, LedgerUnavailable, open_ledger

ANSWER_TOKENS, ANSWER_SECONDS = 200_000, 120
"""Further limits of one answer; tokens bind where the model is free."""
User = Annotated[str, Header(alias="X-User", pattern=r"^[\w.@-]{1,64}$")]
"""Who asks. Your gateway sets this header once it knows the caller; or put your own authentication here."""
Conversation = Annotated[str, Path(pattern=r"^[\w-]{1,64}$")]


class Message(BaseModel):
    """A user's message."""

    text: str = Field(min_length=1, max_length=20_000)


@tool
def order_status(number: int) -> str:
    """Look up where an order is."""
    return f"order {number}: shipped {date.today()}, blue box"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One agent for all users of this process; its ledger and its memory are shared with the other processes."""
    data, setting = os.environ.get("CHAT_DATA", "chat-data"), os.environ.get
    async with AsyncExitStack() as stack:
        ledger = open_ledger(ledger_address(data))
        stack.callback(ledger.close)
        memory = await stack.enter_async_context(checkpointer(data))
        model = stack.enter_context(endpoint(setting("CHAT_MODEL")))
        app.state.accounts = Accounts(
            ledger,
            team=Budget(usd=setting("CHAT_TEAM_USD", "100")),
            user=Budget(usd=setting("CHAT_USER_USD", "0.50")),
            zone=setting("CHAT_ZONE", "Europe/Berlin"),
        )
        answer = Budget(usd=setting("CHAT_ANSWER_USD", "0.20"), tokens=ANSWER_TOKENS, seconds=ANSWER_SECONDS)
        app.state.agent = create_agent(
            model.own,
            [order_status],
            middleware=[AdaptiveThinking(budget=answer, ledger=ledger, endpoint=lambda _: model)],
            checkpointer=memory,
        )
        app.state.answers = {}
        yield
        for answer in list(app.state.answers.values()):  # answers without a reader are finished before we go
            await answer.task


app = FastAPI(title="Chat with a budget for each user", lifespan=lifespan)


@app.post("/chat/{conversation}")
async def chat(request: Request, conversation: Conversation, message: Message, user: User) -> StreamingResponse:
    """Ask in a conversation; the answer comes as server-sent events (see `answers.events_of`).

    402: the budget of the user or of the team is used up; 409: this conversation's last answer is still on its way.
    """
    state, thread = request.app.state, f"{user}/{conversation}"
    if thread in state.answers:
        raise HTTPException(409, {"error": "busy", "message": "The last answer in this conversation isn't done yet."})
    events = events_of(state.agent, message.text, thread, await state.accounts.of(user))
    answer = state.answers[thread] = Answer(events)
    answer.task.add_done_callback(lambda _: state.answers.pop(thread))
    await answer.admitted()

    async def lines() -> AsyncIterator[bytes]:
        async for name, data in answer.events():
            yield format_sse_event(event=name, data_str=dumps(data).decode())

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.get("/report")
async def report(request: Request, user: User) -> dict[str, Any]:
    """What the user has spent, and may still spend today."""
    found: dict[str, Any] = await request.app.state.accounts.report(user)
    return found


@app.exception_handler(BudgetExceeded)
async def refuse(request: Request, refused: BudgetExceeded) -> JSONResponse:
    """Nothing was sent or charged. 402 Payment Required: whose budget, and when it renews."""
    told = request.app.state.accounts.refusal(refused)
    return JSONResponse(told, status_code=402 if "renews_at" in told else 413)


@app.exception_handler(LedgerUnavailable)
async def closed(request: Request, gone: LedgerUnavailable) -> JSONResponse:
    """Without the ledger no request leaves."""
    told = {"error": "unavailable", "message": "The books can't be reached, so nothing was sent. Try again soon."}
    return JSONResponse(told, status_code=503, headers={"Retry-After": "5"})
