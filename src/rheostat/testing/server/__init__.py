"""A provider simulator: a real HTTP server on loopback that speaks Anthropic's and OpenAI's APIs and keeps the bill.

The official SDKs, unmodified, are its clients. It enforces the documented rules, and simulates hidden thinking, tool
calls, prompt caches, service tiers, rate limits and faults. Its bill is counted independently of Rheostat.

>>> from rheostat.testing.server import Fault, Turn, provider_server
>>> with provider_server(Turn(text="4"), Turn(fault=Fault(status=429))) as server:
...     server.bill.requests
0
"""

from rheostat.testing.server.bill import Bill, Line
from rheostat.testing.server.http import ProviderServer, provider_server
from rheostat.testing.server.limits import Limiter
from rheostat.testing.server.rules import Refused
from rheostat.testing.server.turn import Fault, Turn

__all__ = ["Bill", "Fault", "Limiter", "Line", "ProviderServer", "Refused", "Turn", "provider_server"]
