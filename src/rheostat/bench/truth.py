"""A llama.cpp server's own token counts: the truth that the ledger is compared with."""

from __future__ import annotations

import urllib.request

from rheostat.providers import Endpoint

__all__ = ["server_tokens"]


def server_tokens(endpoint: Endpoint) -> tuple[int, int] | None:
    """(prompt tokens processed, tokens generated) since the server started; `None`: the server keeps no such counts.

    Prompt tokens read from the server's cache are not processed, so neither count includes them.
    """
    base = getattr(endpoint.chat, "openai_api_base", None)
    key = getattr(endpoint.chat, "openai_api_key", None)
    if base is None or key is None:
        return None
    address = str(base).removesuffix("/v1") + "/metrics"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key.get_secret_value()}"})  # noqa: S310 - http(s), the model's own server
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the model's own server
            text = response.read().decode()
    except OSError:
        return None
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    prompt, generated = counts.get("llamacpp:prompt_tokens_total"), counts.get("llamacpp:tokens_predicted_total")
    return (int(float(prompt)), int(float(generated))) if prompt and generated else None
