"""Test your app without a server and without waiting: a fake client and virtual time."""

from .fake import FakeAuthClient, FakeFetch, expiry, make_jwt
from .virtual import Deadlock, VirtualClock, VirtualLoop, run_virtual

__all__ = [
    "Deadlock",
    "FakeAuthClient",
    "FakeFetch",
    "VirtualClock",
    "VirtualLoop",
    "expiry",
    "make_jwt",
    "run_virtual",
]
