"""Bedrock goes through botocore: seen, held and settled as the others are, streams of its binary form too."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_aws import ChatBedrockConverse

from rheostat import Account, Budget, BudgetExceeded, MemoryLedger, Meter, Price
from rheostat.calling.payer import Payer, paid_by

USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
MODEL = "amazon.nova-2-lite-v1:0"


def message(kind: str, payload: dict[str, Any]) -> bytes:
    """One message of `application/vnd.amazon.eventstream`."""
    headers = b""
    for name, value in ((":event-type", kind), (":message-type", "event"), (":content-type", "application/json")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return start + struct.pack(">I", zlib.crc32(start))


EVENTS = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "four"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
]


@pytest.fixture(scope="module")
def bedrock() -> Iterator[Any]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        cut = False

        def log_message(self, *args: Any) -> None: ...

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            events = EVENTS[:2] if Handler.cut else EVENTS
            stream = b"".join(message(*event) for event in events)
            said = {"message": {"role": "assistant", "content": [{"text": "four"}]}}
            whole = {"output": said, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
            streams = self.path.endswith("-stream")
            data = stream if streams else json.dumps(whole).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.amazon.eventstream" if streams else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}", asked, Handler
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("how", ["invoke", "stream", "stream, cut", "refused"])
@pytest.mark.filterwarnings("ignore")
def test_bedrock_is_held_and_settled(how: str, bedrock: Any) -> None:
    url, asked, handler = bedrock
    asked.clear()
    handler.cut = how == "stream, cut"
    chat = ChatBedrockConverse(
        model=MODEL,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        max_tokens=200,
    )
    ledger = MemoryLedger()
    budget = Budget(usd="0.00001" if how == "refused" else "1")
    ledger.open(Account("a", budget))
    price = Price(input_per_million=1, output_per_million=10)  # type: ignore[arg-type]
    Meter(ledger)  # puts the gate up
    with paid_by(Payer(ledger, "a", budget, prices={MODEL: price})):
        if how == "refused":
            with pytest.raises(BudgetExceeded):
                chat.invoke("hi")
        elif how == "invoke":
            assert chat.invoke("hi").text == "four"
        elif how == "stream":
            assert "".join(chunk.text for chunk in chat.stream("hi")) == "four"
        else:
            with pytest.raises(ConnectionError, match="missing messageStop"):
                list(chat.stream("hi"))
    reading = ledger.reading("a")
    assert len(asked) == (how != "refused")
    assert reading["held_calls"] == 0
    if how in ("invoke", "stream"):
        assert (reading["input_tokens"], reading["output_tokens"], reading["usd_nanos"]) == (11, 7, 81_000)
    elif how == "stream, cut":
        assert reading["unknown_calls"] == 1
        assert 7_000 <= reading["unknown_usd_nanos"] < 10_000_000
