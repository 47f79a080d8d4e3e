"""A loopback Hub to which the tests' own process pushes checkpoints."""

from tests.helpers.http.loopback_hub import hub, waits

__all__ = ["hub", "waits"]
