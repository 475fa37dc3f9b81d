"""A real llama.cpp with `--pooling rank`, in a process of its own: `python llama_ranks.py MODEL.gguf`.

It prints its address and ends when its input does.
"""

import os
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
params.port = 0
params.n_ctx = params.n_batch = params.n_ubatch = 1024
params.warmup = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
