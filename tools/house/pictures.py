"""`make pictures`: the screenshots of docs/how-to/report.md, from runs on the provider simulator.

Run: python tools/house/pictures.py docs/pictures
It needs Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from rheostat import Account, AdaptiveThinking, Budget, MathsAnswer, SQLiteLedger, TreeSearch, build_solver
from rheostat.providers import endpoint_for
from rheostat.report import build_report
from rheostat.testing.server import Fault, ProviderServer, Turn, provider_server

QUESTION = "A tank holds 240 litres. Pump A fills it in 6 hours, pump B in 12. How many hours do both take together?"
SHOTS = (
    ("report-light", 1280, 1090, "light", "#summary"),
    ("report-dark", 1280, 1010, "dark", "#runs"),
    ("report-phone", 390, 844, "light", "#timeline"),
)


def said(text: str, thinking_tokens: int | None = None, seconds: float = 0.3) -> Turn:
    return Turn(text=text, thinking_tokens=thinking_tokens, fault=Fault(seconds=seconds))


@tool
def measure(place: int) -> int:
    """Measure the current at a place."""
    if place == 2:
        raise RuntimeError("the probe at place 2 doesn't answer")
    return 10 * place


def team_runs(ledger: SQLiteLedger, server: ProviderServer) -> None:
    """What a team of two does in a few seconds: two solver runs and an agent's."""
    ledger.open(Account("team", Budget(usd="2")))
    for user, dollars in (("user/ada", "0.80"), ("user/ben", "0.90")):
        ledger.open(Account(user, Budget(usd=dollars), "team"))
    chat: Any = ChatAnthropic
    opus = chat(model="claude-opus-4-8", base_url=server.url, api_key="any", max_retries=2)
    haiku = chat(model="claude-haiku-4-5", base_url=server.url, api_key="any", max_retries=0)
    strong, small = endpoint_for(opus, provider="anthropic"), endpoint_for(haiku, provider="anthropic")
    wrong = ((4.8, 190), (3.75, 420), (3.2, 610), (16, 500), (3.5, 640))  # hours, thinking tokens
    server.reset(*(said(f"The answer is {hours} hours.", thought) for hours, thought in (*wrong, (4, 520))))
    graph = build_solver(
        strong, budget=Budget(usd="0.40"), verifier=MathsAnswer("4"), strategy=TreeSearch(samples=6, at_once=2),
        ledger=ledger, account="user/ada", keep_text=True, effort="medium",
    ).compile()  # fmt: skip
    graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "tank"}})
    server.reset(said("The answer is 90.", 120), said("The answer is 96.", 300), said("The answer is 96.", 300))
    graph = build_solver(
        small, budget=Budget(usd="0.10"), verifier=MathsAnswer("96"), effort="thorough", ledger=ledger,
        account="user/ben", escalate_to=[strong],
    ).compile()  # fmt: skip
    graph.invoke({"question": "What is 12 * 8?"}, {"configurable": {"thread_id": "product"}})
    places = [Turn(tool_calls=(("measure", {"place": n}),), text="", fault=Fault(seconds=0.2)) for n in (1, 2, 2, 3)]
    places.insert(2, Turn(fault=Fault(cut=True)))
    server.reset(*places, said("The current rises by 10 at each place.", 200))
    agent: Any = create_agent(
        opus,
        [measure],
        middleware=[
            AdaptiveThinking(
                budget=Budget(usd="0.60"),
                ledger=ledger,
                account="user/ben",
                correct_tools=(RuntimeError,),
                endpoint=lambda model: endpoint_for(model, provider="anthropic"),
            )
        ],
    )
    agent.invoke({"messages": [("user", "Measure the current.")]}, {"configurable": {"thread_id": "probes"}})


def shoot(browser: Browser, pages: dict[str, Path], folder: Path) -> None:
    for name, width, height, scheme, section in SHOTS:
        looks: Any = {"color_scheme": scheme, "reduced_motion": "reduce"}
        page = browser.new_page(viewport={"width": width, "height": height}, **looks)
        page.goto(pages[name].as_uri())
        if section == "#timeline":
            page.locator(".steps summary").nth(1).click()
        if section != "#summary":
            page.evaluate("section => document.querySelector(section).scrollIntoView()", section)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        shot.quantize(128, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)
        page.close()


def main(folder: Path) -> None:
    """Run, report and photograph."""
    chromium = shutil.which("chromium") or sys.exit("no chromium here: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, provider_server() as server:
        ledger = SQLiteLedger(Path(scratch) / "spend.db")
        team_runs(ledger, server)
        pages = {}
        for name, what in zip((shot[0] for shot in SHOTS), ("team", "thread/tank", "team"), strict=True):
            pages[name] = Path(scratch) / f"{name}.html"
            pages[name].write_text(build_report(ledger, what).html(), encoding="utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            shoot(browser, pages, folder)
            browser.close()
        ledger.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))
