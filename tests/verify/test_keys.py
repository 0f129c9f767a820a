"""S8: the issuer's keys are fetched within bounds, kept through outages, and then given up."""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import subprocess
import sys
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import AuthClosed, AuthTimeout, AuthUnavailable, ConfigurationError
from reactive_auth.testing import VirtualClock, run_virtual
from reactive_auth.verify import JwksVerifier, TokenRefused

from .support import AUDIENCE, JWKS, URL, Issuer, World, play, turn, world


async def outcome(here: World, token: str) -> str:
    """``accepted``, ``unavailable``, or why it was refused."""
    try:
        await here.verifier.verify(token)
    except TokenRefused as error:
        return error.reason
    except AuthUnavailable:
        return "unavailable"
    return "accepted"


def token_of(here: World, kid: str) -> str:
    """A token by a key that exists, or by one that never did."""
    return here.issuer.mint(headers={"kid": kid})


# -- one fetch -------------------------------------------------------------------------------


@world()
async def test_k1_a_hundred_callers_at_once_cause_one_fetch(here: World) -> None:
    token = here.issuer.mint()
    verified = await asyncio.gather(*(here.verifier.verify(token) for _ in range(100)))
    assert {one.subject for one in verified} == {"u1"}
    assert here.fetches == 1


@world()
async def test_k1_a_hundred_callers_share_one_failure_and_each_gets_an_error_of_its_own(
    here: World,
) -> None:
    here.issuer.answers = [httpx.Response(503)]
    calls = [here.call(here.issuer.mint()) for _ in range(100)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {AuthUnavailable}
    assert len({id(error) for error in errors}) == 100
    assert here.fetches == 1


@world()
async def test_nothing_is_fetched_until_a_token_needs_a_key_and_then_not_again(here: World) -> None:
    await turn()
    assert here.fetches == 0
    for _ in range(10):
        await here.verifier.verify(here.issuer.mint())
        await asyncio.sleep(59)
    assert here.fetches == 1


@world()
async def test_k10_a_caller_that_is_cancelled_does_not_harm_the_others(here: World) -> None:
    here.issuer.gate = asyncio.Event()
    token = here.issuer.mint()
    first, second, third = (here.call(token) for _ in range(3))
    await turn()
    first.cancel()
    with anyio.move_on_after(1) as scope:
        await here.verifier.verify(token)
    assert scope.cancelled_caught
    here.issuer.gate.set()
    assert {(await second).subject, (await third).subject} == {"u1"}
    assert first.cancelled()
    assert (here.fetches, here.issuer.aborted) == (1, 0)


@world()
async def test_a_fetch_whose_every_caller_went_away_still_brings_the_keys(here: World) -> None:
    here.issuer.gate = asyncio.Event()
    alone = here.call(here.issuer.mint())
    await turn()
    alone.cancel()
    await turn()
    here.issuer.gate.set()
    await turn()
    await here.verifier.verify(here.issuer.mint())
    assert here.fetches == 1


@world()
async def test_refresh_fetches_at_once_and_says_when_that_fails(here: World) -> None:
    await here.verifier.refresh()
    await here.verifier.verify(here.issuer.mint())
    assert here.fetches == 1
    here.issuer.answers = [httpx.Response(500)]
    with pytest.raises(AuthUnavailable):
        await here.verifier.refresh()
    assert here.fetches == 2


# -- what is no key set ----------------------------------------------------------------------

BAD: list[tuple[str, Any]] = [
    ("html", httpx.Response(200, html="<html>sign in to the Wi-Fi</html>")),
    ("empty", httpx.Response(200)),
    ("null", httpx.Response(200, json=None)),
    ("a list", httpx.Response(200, json=[])),
    ("no keys", httpx.Response(200, json={})),
    ("keys null", httpx.Response(200, json={"keys": None})),
    ("keys an object", httpx.Response(200, json={"keys": {"kid": "key-0"}})),
    ("no usable key", httpx.Response(200, json={"keys": []})),
    ("nonsense keys", httpx.Response(200, json={"keys": [None, 7, {}, {"kid": "key-0"}]})),
    ("not UTF-8", httpx.Response(200, content=b'{"keys": ["\xff"]}')),
    ("deep", httpx.Response(200, content=b"[" * 100_000)),
    ("too large", httpx.Response(200, content=b" " * (1 << 18) + b" ")),
    ("bad gzip", httpx.Response(200, headers={"content-encoding": "gzip"}, stream=None)),
    ("moved", httpx.Response(302, headers={"location": "https://evil.test/jwks"})),
    ("no content", httpx.Response(204)),
    ("401", httpx.Response(401, json={"code": "UNAUTHORIZED"})),
    ("404", httpx.Response(404)),
    ("429", httpx.Response(429, headers={"retry-after": "7"})),
    ("500", httpx.Response(500, text="Internal Server Error")),
    ("503", httpx.Response(503)),
    ("refused", httpx.ConnectError("connection refused")),
    ("cut off", httpx.RemoteProtocolError("peer closed connection")),
    ("slow", httpx.ReadTimeout("too slow")),
    ("a transport's own", RuntimeError("s3cr3t")),
]


@pytest.mark.parametrize(("name", "answer"), BAD, ids=[name for name, _ in BAD])
def test_s8_what_is_no_key_set_is_unavailable_and_never_an_acceptance_or_a_refusal(
    name: str, answer: Any
) -> None:
    async def scenario(here: World) -> None:
        if name == "bad gzip":
            here.issuer.answers = [gzip_that_is_none()]
        else:
            here.issuer.answers = [answer]
        with pytest.raises(AuthUnavailable) as caught:
            await here.verifier.verify(here.issuer.mint())
        error = caught.value
        assert not isinstance(error, TokenRefused)
        assert isinstance(error, AuthTimeout) == (name == "slow")
        assert error.request == "GET /api/auth/jwks"
        assert error.retry_after is not None
        assert error.retry_after >= (7 if name == "429" else 0.5)
        assert "s3cr3t" not in str(error)
        here.issuer.answers = []
        await asyncio.sleep(error.retry_after)
        await here.verifier.verify(here.issuer.mint())

    play(scenario)


def gzip_that_is_none() -> httpx.Response:
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"no gzip"

    return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Body())


@world(timeout=5)
async def test_f3_an_issuer_that_never_answers_is_a_timeout_and_the_fetch_is_aborted(
    here: World,
) -> None:
    here.issuer.gate = asyncio.Event()
    begun = here.clock.monotonic()
    with pytest.raises(AuthTimeout):
        await here.verifier.verify(here.issuer.mint())
    assert here.clock.monotonic() - begun == pytest.approx(5)
    assert here.issuer.aborted == 1


@world(timeout=5)
async def test_f3_an_issuer_that_sends_a_byte_now_and_then_is_a_timeout(here: World) -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                await asyncio.sleep(1)
                yield b" "

    here.issuer.answers = [httpx.Response(200, stream=Drip())]
    with pytest.raises(AuthTimeout):
        await here.verifier.verify(here.issuer.mint())
    assert here.clock.monotonic() == pytest.approx(5)


@world()
async def test_f4_an_issuer_that_is_down_is_asked_with_backoff_however_many_tokens_come(
    here: World,
) -> None:
    here.issuer.answers = [httpx.Response(503)]
    for _ in range(1000):
        assert await outcome(here, here.issuer.mint()) == "unavailable"
        await asyncio.sleep(0.06)
    # 0.5, 1, 2, 4, 8, 16 and 30 seconds apart
    assert 6 <= here.fetches <= 8
    here.issuer.answers = []
    await asyncio.sleep(30)
    assert await outcome(here, here.issuer.mint()) == "accepted"


@world(max_age=600)
async def test_f4_no_retry_after_silences_for_longer_than_keys_are_good(here: World) -> None:
    here.issuer.answers = [httpx.Response(503, headers={"retry-after": "86400"})]
    assert await outcome(here, here.issuer.mint()) == "unavailable"
    here.issuer.answers = []
    await asyncio.sleep(599)
    assert await outcome(here, here.issuer.mint()) == "unavailable"
    await asyncio.sleep(1)
    assert await outcome(here, here.issuer.mint()) == "accepted"
    assert here.fetches == 2


# -- age -------------------------------------------------------------------------------------


@world(max_age=600)
async def test_s8_keys_are_fetched_anew_when_they_are_old_and_a_withdrawn_one_serves_no_more(
    here: World,
) -> None:
    here.issuer.add("key-1")
    await here.verifier.verify(here.issuer.mint())
    here.issuer.withdraw("key-0")
    await asyncio.sleep(599)
    assert await outcome(here, here.issuer.mint()) == "accepted"
    await asyncio.sleep(1)
    assert await outcome(here, here.issuer.mint()) == "key"
    assert await outcome(here, here.issuer.mint("key-1")) == "accepted"
    assert here.fetches == 2


@world(max_age=600, max_stale=3600)
async def test_s8_the_last_good_keys_serve_through_an_outage_until_the_bound_and_then_fail_closed(
    here: World,
) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.issuer.answers = [httpx.Response(200, html="<html>maintenance</html>")]
    while here.clock.monotonic() < 3600:
        assert await outcome(here, here.issuer.mint()) == "accepted"
        await asyncio.sleep(10)
    assert await outcome(here, here.issuer.mint()) == "unavailable"
    assert here.fetches > 10
    here.issuer.answers = []
    await asyncio.sleep(30)
    assert await outcome(here, here.issuer.mint()) == "accepted"


@world(max_age=600, max_stale=3600, timeout=5)
async def test_in_an_outage_only_those_at_its_start_wait_for_the_fetch(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.issuer.gate = asyncio.Event()
    await asyncio.sleep(600)
    waits = []
    for _ in range(50):
        begun = here.clock.monotonic()
        await here.verifier.verify(here.issuer.mint())
        waits.append(here.clock.monotonic() - begun)
        await asyncio.sleep(1)
    assert waits[0] == pytest.approx(5)
    assert set(waits[1:]) == {0}
    assert here.fetches > 3
    here.issuer.gate.set()
    here.issuer.gate = None
    here.issuer.add("key-1")
    await asyncio.sleep(30)
    await here.verifier.verify(here.issuer.mint())
    await asyncio.sleep(1)
    assert await outcome(here, here.issuer.mint("key-1")) == "accepted"


@world(max_age=600, max_stale=3600)
async def test_c6_keys_age_while_the_machine_sleeps(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.clock.suspend(600)
    await here.verifier.verify(here.issuer.mint())
    assert here.fetches == 2
    here.issuer.answers = [httpx.ConnectError("the network is not up yet")]
    here.clock.suspend(3600)
    assert await outcome(here, here.issuer.mint()) == "unavailable"


@world(max_age=600, leeway=86_400)
async def test_c3_a_wall_clock_that_is_set_back_does_not_prolong_the_keys(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.clock.skew = -3600
    await asyncio.sleep(600)
    await here.verifier.verify(here.issuer.mint())
    assert here.fetches == 2


# -- unknown key ids -------------------------------------------------------------------------


@world()
async def test_s8_a_key_that_the_issuer_rotated_to_is_picked_up_at_once(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.issuer.add("key-1")
    await here.verifier.verify(here.issuer.mint("key-1"))
    await here.verifier.verify(here.issuer.mint("key-0"))
    assert here.fetches == 2


@world()
async def test_s8_a_hundred_tokens_by_a_new_key_cause_one_fetch_and_all_are_accepted(
    here: World,
) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.issuer.add("key-1")
    await asyncio.gather(*(here.verifier.verify(here.issuer.mint("key-1")) for _ in range(100)))
    assert here.fetches == 2


@world(max_age=1e6, max_stale=1e6, min_interval=60)
async def test_s8_unknown_key_ids_cause_at_most_one_fetch_per_interval(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    for number in range(1000):
        assert await outcome(here, token_of(here, f"unknown-{number}")) == "key"
        await asyncio.sleep(0.3)
    assert here.fetches <= 1 + 300 // 60 + 1


@world()
async def test_s8_the_first_token_having_an_unknown_key_id_causes_the_one_fetch(
    here: World,
) -> None:
    tokens = [token_of(here, f"unknown-{number}") for number in range(100)]
    assert set(await asyncio.gather(*(outcome(here, token) for token in tokens))) == {"key"}
    assert {await outcome(here, token) for token in tokens} == {"key"}
    assert here.fetches == 1


@world(max_age=1e6, max_stale=1e6, min_interval=60)
async def test_s8_hanging_up_does_not_buy_another_fetch(here: World) -> None:
    await here.verifier.verify(here.issuer.mint())
    for number in range(100):
        caller = here.call(token_of(here, f"unknown-{number}"))
        await turn(3)
        caller.cancel()
        await asyncio.sleep(0.1)
    assert here.fetches == 2


@world(min_interval=60)
async def test_s8_in_an_outage_an_unknown_key_id_is_unavailable_and_known_ones_serve(
    here: World,
) -> None:
    await here.verifier.verify(here.issuer.mint())
    here.issuer.answers = [httpx.Response(502)]
    here.issuer.add("key-1")
    for _ in range(100):
        assert await outcome(here, here.issuer.mint("key-1")) == "unavailable"
        assert await outcome(here, here.issuer.mint()) == "accepted"
        await asyncio.sleep(0.5)
    assert here.fetches == 2
    here.issuer.answers = []
    await asyncio.sleep(10)
    assert await outcome(here, here.issuer.mint("key-1")) == "accepted"


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 5.0, 29.0, 31.0, 59.0, 61.0, 300.0, 700.0]),
        st.sampled_from(["verify", "verify", "unknown", "burst", "rotate", "withdraw", "switch"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_s8_whatever_happens_fetches_are_bounded_and_acceptance_follows_publication(
    steps: list[tuple[float, str, int]],
) -> None:
    max_age, max_stale, interval = 600.0, 1800.0, 60.0
    slack = 31.0  # the longest backoff, and the time of a fetch
    ever = float("inf")

    async def scenario(here: World) -> None:
        issuer, now = here.issuer, here.clock.monotonic
        published = {"key-0": (0.0, ever)}
        outages: list[tuple[float, float]] = []

        def troubled(since: float) -> bool:
            return any(start <= now() and end >= since for start, end in outages)

        async def check(kid: str) -> None:
            begun = now()
            result = await outcome(here, issuer.mint(kid))
            start, end = published[kid]
            if result == "accepted":
                bound = max_stale if troubled(begun - max_stale - slack) else max_age
                assert begun - end < bound
            elif result == "unavailable":
                assert troubled(begun - interval - slack)
            else:
                assert result == "key"
                assert end <= now() or now() - start <= interval

        for number, (delay, what, which) in enumerate(steps):
            await asyncio.sleep(delay)
            kid = f"key-{which}"
            if what == "verify" and kid in published:
                await check(kid)
            elif what == "burst":
                await asyncio.gather(*(check(kid) for kid in published))
            elif what == "unknown":
                assert await outcome(here, token_of(here, f"no-{number}")) != "accepted"
            elif what == "rotate" and kid not in published:
                issuer.add(kid)
                published[kid] = (now(), ever)
            elif what == "withdraw" and kid in published and len(issuer.published) > 1:
                issuer.withdraw(kid)
                published[kid] = (published[kid][0], min(published[kid][1], now()))
            elif what == "switch" and issuer.answers:
                issuer.answers = []
                outages[-1] = (outages[-1][0], now())
            elif what == "switch":
                issuer.answers = [httpx.Response(503)]
                outages.append((now(), ever))
        for start in issuer.asked:
            # One for unknown ids, one for age, and what the backoff allows.
            assert sum(start <= at < start + interval for at in issuer.asked) <= 2 + 7

    play(scenario, max_age=max_age, max_stale=max_stale, min_interval=interval)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 90), st.sampled_from(["good", "bad"]), st.integers(1, 5)),
        min_size=1,
        max_size=30,
    ),
    interval=st.sampled_from([1.0, 10.0, 60.0]),
)
def test_s8_fetches_for_unknown_key_ids_are_never_closer_than_the_interval(
    steps: list[tuple[float, str, int]], interval: float
) -> None:
    async def scenario(here: World) -> None:
        first = None
        names = itertools.count()
        for delay, kind, many in steps:
            await asyncio.sleep(delay)
            first = first or kind
            kids = ["key-0" if kind == "good" else f"no-{next(names)}" for _ in range(many)]
            got = await asyncio.gather(*(outcome(here, token_of(here, kid)) for kid in kids))
            assert set(got) == {"accepted" if kind == "good" else "key"}
        caused = here.issuer.asked if first == "bad" else here.issuer.asked[1:]
        assert all(b - a >= interval for a, b in itertools.pairwise(caused))

    play(scenario, max_age=1e6, max_stale=1e6, min_interval=interval)


# -- life ------------------------------------------------------------------------------------


@world()
async def test_l9_closing_aborts_the_fetch_and_ends_whoever_waits_for_it(here: World) -> None:
    here.issuer.gate = asyncio.Event()
    waiting = here.call(here.issuer.mint())
    await turn()
    async with here.verifier:
        pass
    with pytest.raises(AuthClosed):
        await waiting
    assert here.issuer.aborted == 1
    for call in (here.verifier.verify(here.issuer.mint()), here.verifier.refresh()):
        with pytest.raises(AuthClosed):
            await call
    await here.verifier.aclose()
    assert here.fetches == 1


def test_l9_a_client_of_the_callers_is_used_as_it_is_and_left_open() -> None:
    clock = VirtualClock()

    async def main() -> None:
        issuer = Issuer(clock)
        async with httpx.AsyncClient(
            transport=issuer, headers={"x-mine": "1"}, follow_redirects=True
        ) as http:
            verifier = JwksVerifier(
                JWKS, algorithms=["EdDSA"], issuer=URL, audience=AUDIENCE, http=http, clock=clock
            )
            async with verifier:
                await verifier.verify(issuer.mint())
                issuer.answers = [httpx.Response(302, headers={"location": "https://evil.test"})]
                with pytest.raises(AuthUnavailable):
                    await verifier.refresh()
            assert not http.is_closed
            assert not issuer.closed
            assert [str(request.url) for request in issuer.requests] == [JWKS, JWKS]
            assert {request.headers["x-mine"] for request in issuer.requests} == {"1"}

    run_virtual(main(), clock)


def test_k9_one_verifier_serves_one_event_loop_after_another() -> None:
    clock = VirtualClock()
    issuer = Issuer(clock)
    verifier = JwksVerifier(
        JWKS, algorithms=["EdDSA"], issuer=URL, audience=AUDIENCE, transport=issuer, clock=clock
    )

    async def left_hanging() -> None:
        issuer.gate = asyncio.Event()
        with anyio.move_on_after(1):
            await verifier.verify(issuer.mint())

    async def served() -> str:
        return (await verifier.verify(issuer.mint())).subject

    run_virtual(left_hanging(), clock)
    issuer.gate = None
    assert run_virtual(served(), clock) == "u1"
    assert run_virtual(served(), clock) == "u1"


@world()
async def test_a_fetch_that_something_else_cancels_is_unavailable(here: World) -> None:
    here.issuer.gate = asyncio.Event()
    waiting = here.call(here.issuer.mint())
    await turn()
    (fetch,) = (t for t in asyncio.all_tasks() if t.get_name() == "reactive_auth keys")
    fetch.cancel()
    with pytest.raises(AuthUnavailable):
        await waiting
    here.issuer.gate = None
    await here.verifier.verify(here.issuer.mint())


def test_l10_a_verifier_shows_where_its_keys_are_and_refuses_to_be_pickled() -> None:
    verifier = JwksVerifier(
        JWKS + "?tenant=s3cr3t", algorithms=["RS256", "EdDSA"], issuer=URL, audience=AUDIENCE
    )
    assert repr(verifier) == f"<JwksVerifier EdDSA, RS256 of {JWKS}>"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(verifier)


# -- arguments -------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"algorithms": ["EdDSA"], "issuer": URL, "audience": AUDIENCE}


@pytest.mark.parametrize(
    "options",
    [
        *({"algorithms": a} for a in ([], "", None, 7, b"EdDSA", [""], [None])),
        *({"algorithms": [a]} for a in ("none", "HS256", "HS512", "eddsa", "ES521", "RSA")),
        {"algorithms": ["EdDSA", "HS256"]},
        *({"issuer": i} for i in ("", None, 7, [URL])),
        *({"audience": a} for a in ("", None, [], [""], [None], 7)),
        *({"leeway": x} for x in (-1, float("nan"), float("inf"), "30", None, True)),
        *({"require": r} for r in ("", [""], None, [7])),
        *({"session_claim": c} for c in ("", None)),
        {"is_live": True},
        *({"max_age": x} for x in (0, -1, float("inf"), None)),
        {"max_age": 600, "max_stale": 599},
        *({"min_interval": x} for x in (0, -1, float("nan"))),
        *({"timeout": x} for x in (0, -1, float("nan"))),
        {"backoff": 1.0},
        {"transport": 1},
        {"http": 1},
        {"http": httpx.Client},
    ],
    ids=str,
)
def test_s7_arguments_that_can_never_work_fail_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        JwksVerifier(JWKS, **(GOOD | options))


@pytest.mark.parametrize("missing", GOOD)
def test_s7_there_is_no_default_for_what_decides(missing: str) -> None:
    with pytest.raises(TypeError, match=missing):
        JwksVerifier(JWKS, **{name: GOOD[name] for name in GOOD if name != missing})


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        "/api/auth/jwks",
        "issuer.test/jwks",
        "ftp://issuer.test/jwks",
        "file:///etc/passwd",
        "https://user:s3cr3t@issuer.test/jwks",
        "https://issuer.test/jwks#s3cr3t",
        "https://issuer.test:0x1/jwks",
        "https://issuer.test:99999/jwks",
        "https://issuer.test/\njwks",
        "http://issuer.test/jwks",
        "http://localhost.evil.test/jwks",
    ],
)
def test_s12_a_url_that_keys_cannot_be_trusted_from_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        JwksVerifier(url, **GOOD)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://127.0.0.1:3000/jwks", False),
        ("http://localhost/jwks", False),
        ("http://[::1]:1/jwks", False),
        ("http://issuer.test/jwks", True),
        ("https://issuer.test/jwks?tenant=a", False),
    ],
)
def test_s12_plain_http_is_for_this_machine_or_asked_for_by_name(url: str, allow: bool) -> None:
    JwksVerifier(url, allow_http=allow, **GOOD)


def test_transport_and_http_exclude_each_other() -> None:
    http = httpx.AsyncClient()
    with pytest.raises(ConfigurationError):
        JwksVerifier(JWKS, transport=httpx.MockTransport(json.dumps), http=http, **GOOD)


def test_without_cryptography_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ImportError, match=r"reactive-auth\[verify\]"):
        JwksVerifier(JWKS, **GOOD)


def test_importing_the_module_imports_no_crypto() -> None:
    code = "import sys, reactive_auth.verify; print({'jwt', 'cryptography'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"
