"""The embedded model: a small real model on your own machine, in a llama.cpp server of our own.

`catalogue` says which models there are, `store` where their files lie and whether they are whole, `pull` fetches
them, `server` runs them in a process of its own.
"""

from rheostat.local.catalogue import CATALOGUE, DEFAULT_MODEL, LocalModel
from rheostat.local.pull import pull
from rheostat.local.server import LocalServer, start_server
from rheostat.local.store import model_path, require_model

__all__ = [
    "CATALOGUE",
    "DEFAULT_MODEL",
    "LocalModel",
    "LocalServer",
    "model_path",
    "pull",
    "require_model",
    "start_server",
]
