"""A llama.cpp server's own token counts: the truth that the ledger is compared with."""

from __future__ import annotations

import time
import urllib.request

from rheostat.providers import Endpoint

__all__ = ["server_tokens", "wait_until_idle"]


def server_tokens(endpoint: Endpoint) -> tuple[int, int] | None:
    """(prompt tokens processed, tokens generated) since the server started; `None`: the server keeps no such counts.

    Prompt tokens read from the server's cache are not processed, so neither count includes them.
    """
    counts = _metrics(endpoint)
    prompt, generated = counts.get("prompt_tokens_total"), counts.get("tokens_predicted_total")
    return (int(prompt), int(generated)) if prompt is not None and generated is not None else None


def wait_until_idle(endpoint: Endpoint, seconds: float = 60.0) -> bool:
    """Wait until the server works on no request, so that its counts belong to what was asked before.

    A request that was cancelled goes on for a moment after the client has closed the connection.

    Returns:
        Whether it is idle; `False`: it still works after so many seconds, or it doesn't tell.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        counts = _metrics(endpoint)
        if counts.get("requests_processing", 1.0) == 0 and counts.get("requests_deferred", 0.0) == 0:
            return True
        time.sleep(0.05)
    return False


def _metrics(endpoint: Endpoint) -> dict[str, float]:
    """The server's counters by name; empty: it keeps none."""
    base = getattr(endpoint.chat, "openai_api_base", None)
    key = getattr(endpoint.chat, "openai_api_key", None)
    if base is None or key is None:
        return {}
    address = str(base).removesuffix("/v1") + "/metrics"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key.get_secret_value()}"})  # noqa: S310 - http(s), the model's own server
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the model's own server
            text = response.read().decode()
    except OSError:
        return {}
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("llamacpp:")]
    return {name.removeprefix("llamacpp:"): float(value) for name, value in lines}
