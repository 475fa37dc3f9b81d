"""The dials, one file per provider: facts as tables, `encode` a plan into settings, `decode` a reply into usage."""

from rheostat.providers.adapter import Adapter
from rheostat.providers.dial import Dial, Endpoint, Phase, Reply, Settings
from rheostat.providers.failures import Failure, failure
from rheostat.providers.integrations import Integration
from rheostat.providers.registry import endpoint_for, hosted_endpoint, register

__all__ = [
    "Adapter",
    "Dial",
    "Endpoint",
    "Failure",
    "Integration",
    "Phase",
    "Reply",
    "Settings",
    "endpoint_for",
    "failure",
    "hosted_endpoint",
    "register",
]
