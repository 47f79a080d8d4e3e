"""A loopback Hub to which the tests' own process publishes."""

from tests.helpers.http.loopback_hub import hub, waits

__all__ = ["hub", "waits"]
