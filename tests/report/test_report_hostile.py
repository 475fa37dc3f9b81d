"""Names, reasons and questions that try to run, to hide or to break the page: they are shown, and nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from browser import Opened, chromium
from reported import call, decision, sample
from rheostat import Account, Budget, MemoryLedger
from rheostat.report import build_report

ATTACKS = [
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "'><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "</style><script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "--><script>window.pwned=1</script><!--",
    "{{ 7 * 7 }}{% include 'x' %}",
    "</details></li></ol><h1>forged</h1>",
    '" style="position:fixed;inset:0" onclick="window.pwned=1',
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.com'>",
    "<base href='https://example.com/'><a href=x>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "safe\u202egnp.exe",
    "nul\x00bell\x07esc\x1b[31m",
    "lone \ud800 surrogate \udfff",
    "zero\u200bwidth\u2066isolate\ufeff",
    "$\\frac{1}{0}$ \\verb|x|",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def poisoned(texts: list[str]) -> MemoryLedger:
    """A ledger with these texts wherever a text can stand."""
    ledger = MemoryLedger()
    ledger.open(Account("org", Budget(usd="1")))
    for place, text in enumerate(texts):
        account = f"thread/{text}{place}"
        ledger.open(Account(account, Budget(calls=99), "org"))
        about = {"id": text, "parent": text, "way": text}
        fields = ("effort_asked", "effort_planned", "effort_seen", "decided_by", "stop", "error", "purpose", "kind")
        call(
            ledger, account, model=text, node=text, reasons=(text, text), candidate=about,
            **dict.fromkeys(fields, text),
        )  # fmt: skip
        call(ledger, account, model=text, node=text, planned=False, end="held")
        sample(ledger, account, text, parent=text, way=text, purpose=text, status=text, scores={text: 0.5}, chosen=True)
        decision(ledger, account, text, text, strategy=text, scorer=text, chosen=text)
        baseline = {"name": text, "arm": text, "chance": 0.5, "cost": 9.0, "unit": "usd"}
        decision(ledger, account, "stop", text, round=2, strategy=text, question=text, baselines=[baseline])
    return ledger


def shown(text: str) -> str:
    """What is to be read of a text: its harmless characters."""
    return "".join(each for each in text if each.isascii() and each.isprintable() and each not in " '")


def opened(browser: Any, html: str, folder: Path) -> Opened:
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    return Opened(browser, file)


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_runs_and_the_text_is_shown(browser: Any, tmp_path: Path, text: str) -> None:
    page_of = opened(browser, build_report(poisoned([text]), "org").html(), tmp_path)
    page = page_of.page
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")
    page.keyboard.press("j")
    page.mouse.click(300, 400)
    assert page_of.wrong == []
    assert page.evaluate("window.pwned") is None
    assert page.locator("h1").count() == 1
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, svg[onload], base, meta[http-equiv=refresh], [onclick], [onerror]").count() == 0
    assert {
        each[:1] for each in page.eval_on_selector_all("a", "all => all.map(each => each.getAttribute('href'))")
    } == {"#"}
    for place in (
        "blockquote",
        ".steps .w",
        ".steps .d",
        ".decisions",
        ".tree .id",
        ".tree .facts",
        "#tables",
        "#worth",
    ):
        read = page.locator(place).first.inner_text()
        plain = shown(text.replace("\x00", "\\x00").replace("\x07", "\\x07").replace("\x1b", "\\x1b"))
        if all(" " <= each <= "~" for each in text):
            assert plain in shown(read), place


def test_characters_that_turn_or_hide_text_are_shown_as_codes() -> None:
    html = build_report(poisoned(ATTACKS), "org").html()
    for code in ("\\u202e", "\\x00", "\\x1b", "\\ud800", "\\udfff", "\\u200b", "\\u2066", "\\ufeff"):
        assert code in html
    html.encode("utf-8")
    assert not set("\u202e\x00\x1b\u200b\u2066\ufeff") & set(html)
    assert "forged</h1>" not in html
    assert "49" not in html.partition("{{ 7 * 7 }}")[2][:20]


def test_a_missed_escape_still_runs_nothing(browser: Any, tmp_path: Path) -> None:
    """The page's own policy is the second wall: with markup put into the file by hand, no script but ours runs."""
    html = build_report(poisoned(["x"]), "org").html()
    hole = (
        "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
        "<a id=link href='javascript:window.pwned=1'>x</a>"
        "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe><img src='https://example.com/leak'>"
        "<button id=click onclick='window.pwned=1'>x</button>"
    )
    page_of = opened(browser, html.replace('<section id="summary"', hole + '<section id="summary"', 1), tmp_path)
    page = page_of.page
    page.click("#link")
    page.click("#click")
    assert page.evaluate("window.pwned") is None
    assert page_of.failed["https://example.com/leak"] == "csp"  # stopped before the network, which isn't there either
    assert any("Content Security Policy" in each for each in page_of.wrong)
    page.keyboard.press("t")
    assert page.inner_text("#theme span") == "light"  # our own still runs


def test_a_notebooks_frame_holds_it(browser: Any, tmp_path: Path) -> None:
    html = build_report(poisoned(ATTACKS), "org")._repr_html_()
    page_of = opened(browser, f"<!doctype html><title>n</title><h1>notebook</h1>{html}", tmp_path)
    assert page_of.page.frame_locator("iframe").locator("h1").count() == 1
    assert page_of.page.evaluate("window.pwned") is None
    assert page_of.page.locator("h1").all_inner_texts() == ["notebook"]
    assert page_of.wrong == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.characters(codec=None), max_size=30), min_size=1, max_size=2))
def test_any_text_makes_a_page_that_can_be_written(texts: list[str]) -> None:
    html = build_report(poisoned(texts), "org").html()
    html.encode("utf-8")
    assert html.count("<script") == html.count("</script>") == 1
    assert "\x00" not in html
