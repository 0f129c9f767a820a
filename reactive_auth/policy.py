"""The numbers that decide when a token is refreshed and when a failure is tried again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from .errors import ConfigurationError

__all__ = ["Backoff", "Policy", "seconds"]

#: Full jitter may draw zero; this keeps a failing server from being asked in a tight loop.
_LEAST_DELAY = 0.05

#: No server's Retry-After makes a client wait longer than this (seconds).
_LONGEST_RETRY_AFTER = 3600.0


def seconds(name: str, value: float | timedelta, *, least: float = 0.0) -> float:
    """Check a duration given in seconds or as a timedelta.

    Raises ConfigurationError if it is no finite number or below ``least``.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} must be a number of seconds or a timedelta")
    if not math.isfinite(value) or value < least:
        raise ConfigurationError(f"{name} must be finite and at least {least:g} seconds")
    return float(value)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, in seconds.

    The delay before the n-th retry is drawn uniformly from 0 to min(cap, base · 2ⁿ⁻¹) (AWS
    Architecture Blog, "Exponential Backoff And Jitter"), and is never less than what the
    server asked for in Retry-After.
    """

    base: float = 0.5
    cap: float = 30.0
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        seconds("Backoff.base", self.base, least=0.001)
        seconds("Backoff.cap", self.cap, least=self.base)

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds to wait after that many failures in a row (1 or more)."""
        ceiling = min(self.cap, self.base * 2.0 ** min(failures - 1, 60))
        drawn = max(_LEAST_DELAY, ceiling * self.draw())
        if retry_after is not None and math.isfinite(retry_after):
            return max(drawn, min(retry_after, _LONGEST_RETRY_AFTER))
        return drawn


@dataclass(frozen=True, slots=True)
class Policy:
    """When tokens are refreshed and how long anybody waits. All in seconds.

    - ``margin``: no token with less than this left is handed out; at most a tenth of its
      lifetime, so that a short-lived token can be used at all.
    - ``refresh_ahead``: with a subscriber, a token is refreshed when this is left; at most a
      quarter of its lifetime.
    - ``fetch_timeout``: bound on one attempt to fetch a token.
    - ``timeout``: bound on one call of ``fetch_access_token``, retries and holds included.
    - ``opaque_ttl``: how long a token that tells no expiry is used.
    - ``backoff``: how failures are retried.

    A token that lives less than a second is refused (InvalidToken), and background refreshes
    are at least ``min_interval`` apart, so that tokens are fetched at most about 70 times a
    minute on demand and 60 / ``min_interval`` times in the background, whatever the server
    sends (HAZARDS C4).
    """

    margin: float = 30.0
    refresh_ahead: float = 120.0
    fetch_timeout: float = 10.0
    timeout: float = 30.0
    opaque_ttl: float = 300.0
    min_interval: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        for name in ("margin", "refresh_ahead", "min_interval"):
            object.__setattr__(self, name, seconds(name, getattr(self, name)))
        for name in ("fetch_timeout", "timeout", "opaque_ttl"):
            object.__setattr__(self, name, seconds(name, getattr(self, name), least=0.001))
        if not isinstance(self.backoff, Backoff):
            raise ConfigurationError("backoff must be a Backoff")
