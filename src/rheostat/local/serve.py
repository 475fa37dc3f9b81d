"""The server process: llama.cpp behind its OpenAI-compatible HTTP interface. Started by `server.py`, not by hand.

It reads its settings as one line of JSON from standard input and keeps reading. When the other end closes, its owner
has ended, however that happened, and it ends too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Load the model, listen, report the address, and run until the owner ends."""
    settings = json.loads(sys.stdin.readline())

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context_tokens"]
    params.port = settings["port"]
    params.api_keys = [settings["key"]]
    params.use_jinja = True
    params.chat_template = (Path(__file__).parent / "think.jinja").read_text()
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.cache_ram_mib = 0  # the default keeps prompts in up to 8 GiB of memory
    server = xllamacpp.Server(params)

    ready = Path(settings["ready"])
    fresh = ready.with_suffix(".new")
    fresh.write_text(json.dumps({"url": server.listening_address}))
    fresh.replace(ready)

    while sys.stdin.readline():
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
