"""C: the instants that follow from a token's claims, to the second."""

from __future__ import annotations

import base64

import pytest

from reactive_auth import InvalidToken, Session
from reactive_auth.lease import Lease, contradicts, lease_seed, lease_token, read_claims
from reactive_auth.policy import Policy
from reactive_auth.testing import VirtualClock, make_jwt

A = Session("A", "u1")


def received(claims: dict[str, object], clock: VirtualClock, **options: float) -> Lease:
    policy = Policy(**options)
    return lease_token(make_jwt(claims), A, serial=7, clock=clock, policy=policy)


def handed_over(claims: dict[str, object], clock: VirtualClock) -> Lease | None:
    return lease_seed(make_jwt(claims), A, clock=clock, policy=Policy(opaque_ttl=321))


def instants(lease: Lease, clock: VirtualClock) -> tuple[float, float, float, float, float]:
    """Refresh, eviction by either clock, and the dates of issue and expiry: seconds from now."""
    now, wall = clock.monotonic(), clock.wall()
    token = lease.token
    found = (
        lease.refresh_at - now,
        lease.evict_at - now,
        lease.evict_wall - wall,
        token.issued_at.timestamp() - wall,
        token.expires_at.timestamp() - wall,
    )
    return tuple(round(each, 3) for each in found)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("lifetime", "refresh", "evict", "life"),
    [
        (900, 780, 870, 900),
        (300, 225, 270, 300),  # ahead by a quarter
        (100, 75, 90, 100),  # the margin is a tenth
        (10, 7.5, 9, 10),
        (4, 5, 3.6, 4),  # background refreshes keep their distance
        (1, 5, 0.9, 1),
        (86_400, 86_280, 86_370, 86_400),
        (1e7, 86_280, 86_370, 86_400),
    ],
)
@pytest.mark.parametrize("skew", [0.0, 5000.0, -5000.0])
def test_c1_c3_c4_a_token_received_now_is_refreshed_and_evicted_at(
    lifetime: float, refresh: float, evict: float, life: float, skew: float
) -> None:
    clock = VirtualClock()
    clock.skew = skew
    claims: dict[str, object] = {"iat": 1_000_000, "exp": 1_000_000 + lifetime}
    lease = received(claims, clock)
    assert instants(lease, clock) == (refresh, evict, evict, 0, life)
    assert (lease.received, lease.serial) == (clock.monotonic(), 7)
    assert (lease.token.session_id, lease.token.value) == ("A", lease.value)


def test_c1_a_token_is_never_refreshed_later_than_its_margin_begins() -> None:
    clock = VirtualClock()
    lease = received({"iat": 0, "exp": 900}, clock, margin=60, refresh_ahead=40)
    assert instants(lease, clock)[:2] == (840, 840)


@pytest.mark.parametrize(
    ("left", "lifetime"),
    [(1000, 1000), (60, 60), (1, 1), (0.9, 450), (0, 450), (-3600, 450)],
)
def test_c3_without_iat_a_token_lives_until_exp_unless_that_makes_the_clock_wrong(
    left: float, lifetime: float
) -> None:
    clock = VirtualClock()
    lease = received({"exp": clock.wall() + left}, clock, opaque_ttl=450)
    assert instants(lease, clock)[3:] == (0, lifetime)


@pytest.mark.parametrize("lifetime", [0.9, 0, -5])
def test_c4_a_token_that_lives_less_than_a_second_is_refused(lifetime: float) -> None:
    with pytest.raises(InvalidToken):
        received({"iat": 1_000_000, "exp": 1_000_000 + lifetime}, VirtualClock())


@pytest.mark.parametrize(
    ("since", "left", "expected"),
    [
        (-500, 400, (280, 370, 370, -500, 400)),
        (-899, 1, (5, -29, -29, -899, 1)),
        (None, 400, (300, 370, 370, 0, 400)),
        (100, 1000, (780, 870, 870, 0, 900)),  # the clock is behind: counted from now
        (-1e6, 1000, (880, 970, 970, -85_400, 1000)),
    ],
)
def test_c2_a_seed_has_what_is_left_of_its_life(
    since: float | None, left: float, expected: tuple[float, ...]
) -> None:
    clock = VirtualClock()
    claims: dict[str, object] = {"exp": clock.wall() + left}
    if since is not None:
        claims["iat"] = clock.wall() + since
    lease = handed_over(claims, clock)
    assert lease is not None
    assert instants(lease, clock) == expected
    assert lease.serial == 0


def test_c2_c8_an_opaque_seed_lives_the_time_declared() -> None:
    clock = VirtualClock()
    lease = lease_seed("opaque", A, clock=clock, policy=Policy(opaque_ttl=100))
    assert lease is not None
    assert instants(lease, clock) == (75, 90, 90, 0, 100)


@pytest.mark.parametrize("left", [0.9, 0, -5, -3600])
@pytest.mark.parametrize("dated", [True, False])
def test_c2_a_seed_with_less_than_a_second_left_is_none(left: float, dated: bool) -> None:
    clock = VirtualClock()
    claims: dict[str, object] = {"exp": clock.wall() + left}
    assert handed_over(claims | ({"iat": clock.wall() - 600} if dated else {}), clock) is None


@pytest.mark.parametrize("which", ["monotonic", "wall"])
def test_c1_c6_a_token_is_usable_until_the_instant_of_either_clock(which: str) -> None:
    clock = VirtualClock()
    lease = received({"iat": 0, "exp": 900}, clock)

    class At:
        def __init__(self, left: float) -> None:
            self.left = left

        def monotonic(self) -> float:
            return lease.evict_at - (self.left if which == "monotonic" else 100)

        def wall(self) -> float:
            return lease.evict_wall - (self.left if which == "wall" else 100)

    assert lease.usable(At(0.5))
    assert not lease.usable(At(0))
    assert not lease.usable(At(-50))


@pytest.mark.parametrize(
    ("claims", "user", "claim"),
    [
        ({}, "u1", None),
        ({"sessionId": "A", "sub": "u1"}, "u1", None),
        ({"sessionId": "A", "sub": "other"}, "u1", None),
        ({"sessionId": "B", "sub": "u1"}, "u1", "sessionId"),
        ({"sessionId": None}, "u1", "sessionId"),
        ({"sub": "u1"}, "u1", None),
        ({"sub": "u2"}, "u1", "sub"),
        ({"sub": 12}, "12", None),
        ({"sub": "u2"}, None, None),
    ],
)
def test_r13_the_claim_that_contradicts_a_session(
    claims: dict[str, object], user: str | None, claim: str | None
) -> None:
    assert contradicts(claims, Session("A", user)) == claim


@pytest.mark.parametrize("value", ["opaque", "a.b", "a.b.c", "a.b.c.d.e", ".", ".."])
def test_c8_what_has_no_header_of_a_jwt_is_opaque(value: str) -> None:
    assert read_claims(value) is None


def test_c8_a_jwt_of_more_parts_is_encrypted_and_hence_opaque() -> None:
    assert read_claims(make_jwt({"exp": 5}) + ".x.y") is None


@pytest.mark.parametrize("part", ["[]", "5", "null", '"x"', "[" * 100_000])
def test_c5_a_payload_that_is_json_but_no_object_is_a_clear_error(part: str) -> None:
    header, _, signature = make_jwt({}).split(".")
    payload = base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        read_claims(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize("claims", [{}, {"iat": 5}])
def test_c2_c8_a_seed_that_tells_no_expiry_lives_the_time_declared(
    claims: dict[str, object],
) -> None:
    clock = VirtualClock()
    lease = handed_over(claims, clock)
    assert lease is not None
    assert instants(lease, clock)[3:] == (0, 321)
