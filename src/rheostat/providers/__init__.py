"""The dials, one file per provider: facts as tables, `encode` a plan into settings, `decode` a reply into usage."""

from rheostat.providers.choose import endpoint_for, hosted_endpoint
from rheostat.providers.dial import Dial, Endpoint, Phase, Reply, Settings
from rheostat.providers.failures import Failure, failure

__all__ = [
    "Dial",
    "Endpoint",
    "Failure",
    "Phase",
    "Reply",
    "Settings",
    "endpoint_for",
    "failure",
    "hosted_endpoint",
]
