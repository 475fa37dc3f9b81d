"""The page in a real browser: clean, by keyboard, light and dark, on a phone, with 10,000 calls, in a notebook."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import Opened, chromium
from reported import call, sample, team
from rheostat import Account, Budget, MemoryLedger
from rheostat.report import build_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ledger = MemoryLedger()
    team(ledger)
    path = tmp_path / "report.html"
    path.write_text(build_report(ledger, "team").html(), encoding="utf-8")
    return path


def test_it_opens_without_an_error_and_asks_for_nothing_else(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    assert opened.wrong == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [file.as_uri()]
    assert opened.page.title() == "team · Rheostat report"
    assert "the verifier passed it" in opened.page.inner_text("#runs")
    assert opened.page.locator(".tree .chosen .id").inner_text() == "r2s0"
    assert opened.page.locator(".tree ul ul .id").all_inner_texts() == ["r2s0"]
    assert opened.page.locator("figure svg").count() == 2


def test_landmarks_headings_and_names(browser: Any, file: Path) -> None:
    page = Opened(browser, file).page
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    nameless = "all => all.filter(each => !(each.innerText.trim() || each.ariaLabel)).length"
    assert page.eval_on_selector_all("button, a", nameless) == 0
    for target in page.eval_on_selector_all("nav a", "all => all.map(each => each.hash)"):
        assert page.locator(target).count() == 1
    assert page.locator("figure svg[role=img][aria-label]").count() == 2


CONTRAST = """all => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 200) return colour;
    }
  };
  const low = [];
  for (const each of all) {
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !each.checkVisibility()) continue;
    const style = getComputedStyle(each);
    const [a, b] = [light(rgba(each instanceof SVGElement ? style.fill : style.color)), light(behind(each))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(each.tagName + " " + each.className + " " + ratio.toFixed(2));
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(browser: Any, file: Path, scheme: str) -> None:
    page = Opened(browser, file, scheme=scheme).page
    assert page.eval_on_selector_all("body *:not(script, style)", CONTRAST) == []


def test_dark_follows_the_system_and_the_switch(browser: Any, file: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (Opened(browser, file, scheme=scheme).page for scheme in ("light", "dark"))
    day, night = light.evaluate(ground), dark.evaluate(ground)
    assert day != night
    line = "getComputedStyle(document.querySelector('figure text')).fill"
    assert light.evaluate(line) != dark.evaluate(line)
    seen = []
    for _ in range(3):
        light.click("#theme")
        seen.append((light.inner_text("#theme span"), light.evaluate(ground)))
    assert seen == [("light", day), ("dark", night), ("auto", day)]
    light.keyboard.press("t")
    light.keyboard.press("t")
    until = time.monotonic() + 10
    while True:  # a busy browser stores it a moment later
        light.reload()
        if light.evaluate(ground) == night:
            break
        assert time.monotonic() < until, "the theme is remembered"


def test_keys_go_through_the_calls(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    page = opened.page
    focused = "document.activeElement.querySelector('.n')?.textContent"
    seen = []
    for key in ("j", "j", "ArrowDown", "k", "ArrowUp", "End", "j", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate(focused))
    last = str(page.locator(".steps summary").count())
    assert seen == ["1", "2", "3", "2", "1", last, last, "1"]
    page.keyboard.press("Enter")
    assert page.locator(".steps details[open]").count() == 1
    assert "difficulty 0.10" in page.inner_text(".steps details[open] .d")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "2"
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert opened.wrong == []


def test_a_heading_sorts_its_table(browser: Any, file: Path) -> None:
    page = Opened(browser, file).page
    table = page.locator("table", has=page.locator("caption", has_text="By model"))
    calls = table.get_by_role("button", name="calls")
    calls.click()
    assert table.locator("tbody th").all_inner_texts() == ["small", "large"]
    calls.press("Enter")
    assert table.locator("tbody th").all_inner_texts() == ["large", "small"]
    assert table.locator("th[aria-sort=ascending]").count() == 1
    table.get_by_role("button", name="model").click()
    assert table.locator("tbody th").all_inner_texts() == ["large", "small"]
    assert table.locator("tfoot").count() == 1


@pytest.mark.parametrize("width", [360, 768])
def test_a_phone_scrolls_down_only(browser: Any, tmp_path: Path, width: int) -> None:
    ledger = MemoryLedger()
    team(ledger)
    long = "thread/" + "w" * 400
    ledger.open(Account(long, Budget(usd="1", tokens=9, calls=3, seconds=1.5), "team"))
    call(ledger, "thread/b/run", model="m" * 300, node="n" * 300, reasons=("r" * 900,))
    for place in range(30):
        sample(ledger, "thread/a/run", f"deep{place}", parent=f"deep{place - 1}", number=10 + place, way="w" * 90)
    file = tmp_path / "r.html"
    file.write_text(build_report(ledger, "team").html(), encoding="utf-8")
    page = Opened(browser, file, width=width).page
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = "all => all.filter(each => each.getBoundingClientRect().height < 24).length"
    assert page.eval_on_selector_all(".tools button, .steps summary, .run > summary", small) == 0


def test_it_prints_all_calls_in_light(browser: Any, file: Path) -> None:
    page = Opened(browser, file, scheme="dark").page
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.pdf().startswith(b"%PDF")


def test_in_a_notebook_it_stays_in_its_frame(browser: Any, tmp_path: Path) -> None:
    ledger = MemoryLedger()
    team(ledger)
    file = tmp_path / "notebook.html"
    html = build_report(ledger, "team")._repr_html_()
    file.write_text(f"<!doctype html><title>notebook</title><p id=own>own</p>{html}", encoding="utf-8")
    opened = Opened(browser, file)
    page = opened.page
    assert opened.wrong == []
    assert page.locator("style, script").count() == 0
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "team"
    frame.locator("#theme").click()
    assert frame.locator("#theme span").inner_text() == "light"
    assert page.evaluate("getComputedStyle(document.getElementById('own')).fontFamily") == page.evaluate(
        "getComputedStyle(document.body).fontFamily"
    )
    assert opened.wrong == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A page of 10,000 calls, and the seconds that it took to make."""
    ledger = MemoryLedger(max_accounts=20_000)
    ledger.open(Account("team", Budget(usd="1000")))
    for place in range(200):
        ledger.open(Account(f"thread/{place}", parent="team"))
        ledger.open(Account(f"thread/{place}/r", Budget(usd="1"), f"thread/{place}"))
        for _ in range(50):
            call(ledger, f"thread/{place}/r", model=f"model-{place % 7}", reasons=("difficulty 0.10", "low: it pays"))
    started = time.perf_counter()
    html = build_report(ledger, "team").html()
    taken = time.perf_counter() - started
    file = tmp_path_factory.mktemp("many") / "report.html"
    file.write_text(html, encoding="utf-8")
    return file, taken


def test_ten_thousand_calls_open_in_three_seconds(browser: Any, many: tuple[Path, float]) -> None:
    file, _ = many
    best = float("inf")
    for _ in range(6):  # other tests may have the cores
        opened = Opened(browser, file)
        page = opened.page
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        ready, painted = page.evaluate(
            """[performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd,
                performance.getEntriesByName("first-contentful-paint")[0].startTime]"""
        )
        best = min(best, max(ready, painted))
        assert page.locator(".steps summary").count() == 10_000
        page.focus(".steps summary")
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.querySelector('.n').textContent") == "10000"
        page.close()
        if best < 3_000:
            break
    assert best < 3_000


def test_ten_thousand_calls_are_written_in_seconds(many: tuple[Path, float]) -> None:
    file, seconds = many
    assert seconds < 20  # about three; other tests run beside this one
    assert file.stat().st_size < 25_000_000
