"""The age of the list prices, and a newer list by `rheostat prices update`, from a server on this machine."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data_snapshot import set_custom_snapshot
from langchain_openai import ChatOpenAI

from rheostat import Budget, LimitWarning, NoPrice, build_solver
from rheostat.errors import BadInput
from rheostat.money import price_list, pricing

LIST = [
    {
        "id": "openai", "name": "OpenAI", "api_pattern": "https://api\\.openai\\.com",
        "models": [
            {
                "id": "gpt-6-sol", "name": "GPT-6 Sol", "match": {"equals": "gpt-6-sol"},
                "prices": {"input_mtok": 3, "output_mtok": 7},
            }
        ],
    }
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(price_list.MAX_AGE, raising=False)
    yield from _fresh()


def _fresh() -> Iterator[None]:
    caches: list[Any] = [price_list._install, price_list.dated, pricing.listed_price, pricing.context_of]
    for each in caches:
        each.cache_clear()
    yield
    set_custom_snapshot(None)
    for each in caches:
        each.cache_clear()


@pytest.fixture
def served() -> Iterator[Any]:
    """A server with a list, and what it serves."""
    said: dict[str, Any] = {"status": 200, "body": json.dumps(LIST)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(said["status"])
            self.end_headers()
            self.wfile.write(said["body"].encode())

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    said["url"] = f"http://127.0.0.1:{server.server_address[1]}/data.json"
    yield said
    server.shutdown()
    server.server_close()


def aged(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    monkeypatch.setattr(price_list, "dated", lambda: datetime.now(UTC).date() - timedelta(days=days))


def asked() -> None:
    chat = ChatOpenAI(model="gpt-6-sol", api_key="k")
    build_solver(chat, budget=Budget(usd="0.10"))


def test_the_list_in_the_package_has_a_date() -> None:
    assert date(2026, 1, 1) < price_list.dated() <= datetime.now(UTC).date()
    assert "genai-prices" in price_list.origin()


def test_an_old_list_is_said_and_an_allowed_one_isnt(monkeypatch: pytest.MonkeyPatch) -> None:
    aged(monkeypatch, 200)
    with pytest.warns(LimitWarning, match="200 days old"):
        asked()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chat = ChatOpenAI(model="gpt-6-sol", api_key="k")
        build_solver(chat, budget=Budget(tokens=9_000))  # no limit in dollars
        aged(monkeypatch, 20)
        asked()


def test_a_list_older_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    aged(monkeypatch, 31)
    monkeypatch.setenv(price_list.MAX_AGE, "30")
    with pytest.raises(NoPrice, match=r"31 days old .* allows 30: `rheostat prices update`"):
        asked()
    monkeypatch.setenv(price_list.MAX_AGE, "31")
    asked()
    for wrong in ("-1", "0", "soon", "1.5"):
        monkeypatch.setenv(price_list.MAX_AGE, wrong)
        with pytest.raises(BadInput, match="whole number of days"):
            asked()


def test_a_newer_list_is_fetched_and_goes_first(served: Any) -> None:
    before = pricing.listed_price("openai", "gpt-6-sol")
    models, path = price_list.fetch(served["url"])
    assert (models, path) == (1, price_list.fetched_path())
    for _ in _fresh():
        now = pricing.listed_price("openai", "gpt-6-sol")
        assert now is not None
        assert (now.input_per_million, now.output_per_million) == (3, 7)
        assert now != before
        assert price_list.age_days() == 0
        assert price_list.origin().startswith("fetched on")


@pytest.mark.parametrize(
    ("status", "body"), [(500, ""), (200, "<html>"), (200, "{}"), (200, "[]"), (200, '[{"id": 1}]')]
)
def test_a_bad_list_changes_nothing(served: Any, status: int, body: str) -> None:
    served.update(status=status, body=body)
    with pytest.raises(BadInput, match="The list in force stays"):
        price_list.fetch(served["url"])
    assert not price_list.fetched_path().exists()


def test_a_damaged_list_on_disk_is_named() -> None:
    price_list.fetched_path().parent.mkdir(parents=True)
    price_list.fetched_path().write_text('{"fetched": "2026-11-01"}', encoding="utf-8")
    with pytest.raises(BadInput, match=r"is no price list.*rheostat prices update"):
        price_list.snapshot()


def test_an_old_fetched_list_gives_way_to_a_newer_package(served: Any) -> None:
    price_list.fetch(served["url"])
    kept = json.loads(price_list.fetched_path().read_text(encoding="utf-8"))
    price_list.fetched_path().write_text(json.dumps({**kept, "fetched": "2026-01-01"}), encoding="utf-8")
    for _ in _fresh():
        assert "genai-prices" in price_list.origin()
