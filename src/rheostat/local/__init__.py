"""The embedded model: a small real model on your own machine, in our own llama.cpp server process.

`catalogue` lists the models, `store` finds and checks their files, `pull` fetches them, and `server` runs them in a
separate process.
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
