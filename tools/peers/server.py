"""A llama.cpp server with the model's own chat template: common ground for all libraries.

Rheostat's own server has a template of ours, which opens a thought; other clients would get empty replies from it.

It reads `model` and `key` as a line of JSON, writes its address, and ends when its input closes.
"""

from __future__ import annotations

import json
import os
import sys

import xllamacpp


def main() -> None:
    """Load the model, listen, say where, and run until the owner ends."""
    settings = json.loads(sys.stdin.readline())
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_parallel = 8
    params.n_ctx = 8 * 4096
    params.port = 0
    params.api_keys = [settings["key"]]
    params.use_jinja = True
    params.endpoint_metrics = True
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address + "/v1"}), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
