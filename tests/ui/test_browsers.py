"""One provider for each browser: when it is made, shared and closed. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from reactive_auth import AuthProvider, ConfigurationError, connect
from reactive_auth.testing import FakeAuthClient, VirtualClock, run_virtual
from reactive_auth.ui.browsers import Browsers, maker
from reactive_auth.ui.page import PageModel, fields, initial

from .web import Fakes, ours

Scenario = Callable[[Fakes, Browsers[FakeAuthClient]], Awaitable[None]]


def staged(**options: Any) -> Callable[[Scenario], Callable[[], None]]:
    def decorate(scenario: Scenario) -> Callable[[], None]:
        def test() -> None:
            clock = VirtualClock()

            async def main() -> None:
                make = Fakes(clock)
                browsers = Browsers(make, **options)
                await scenario(make, browsers)
                await browsers.aclose()
                assert browsers.open == 0
                assert all(make.closed)
                assert not ours()

            run_virtual(main(), clock)

        test.__name__ = scenario.__name__
        return test

    return decorate


async def rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def pending() -> list[str]:
    """The timers of the running loop that are ours."""
    loop: Any = asyncio.get_running_loop()
    return [
        repr(timer)
        for timer in loop._scheduled
        if "_close" in repr(timer) and not timer.cancelled()
    ]


@staged()
async def test_s9_two_browsers_have_two_providers_and_tabs_of_one_share(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    one, again, other = (browsers.visit(name) for name in ("a", "a", "b"))
    assert one.provider is again.provider
    assert one.provider is not other.provider
    assert browsers.open == 2
    assert "a" in browsers
    assert "c" not in browsers
    make.clients[0].sign_in("A", "u1")
    await rest()
    assert other.provider.state.value.status == "unknown"


@staged(grace=60)
async def test_a_signed_in_user_survives_a_reload_and_a_detour(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    first = browsers.visit("a")
    make.clients[0].sign_in()
    await rest()
    first.end()
    await asyncio.sleep(59)
    second = browsers.visit("a")
    assert second.provider is first.provider
    await asyncio.sleep(3600)  # while a page is open, nothing is closed
    assert make.closed == [False]
    first.end()  # ended already: counts once
    await asyncio.sleep(61)
    assert make.closed == [False]


@staged(grace=60)
async def test_a_tab_that_is_closed_leaves_the_others_their_provider(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    one, other = browsers.visit("a"), browsers.visit("a")
    for ended in (lambda: None, make.clients[0].sign_in):
        ended()
        await rest()
        one.end()
        await asyncio.sleep(61)
        assert (browsers.open, make.closed) == (1, [False])
        one = browsers.visit("a")
    one.end()
    other.end()


@staged(grace=timedelta(minutes=1))
async def test_l1_after_the_last_page_and_the_grace_the_provider_is_closed(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    pages = [browsers.visit("a"), browsers.visit("a")]
    make.clients[0].sign_in()
    await rest()
    for page in pages:
        page.end()
    await asyncio.sleep(59)
    assert (browsers.open, make.closed) == (1, [False])
    await asyncio.sleep(2)
    assert (browsers.open, make.closed) == (0, [True])
    assert browsers.visit("a").provider is not pages[0].provider


@staged(grace=60)
async def test_l2_during_the_grace_no_token_is_asked_for(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page = browsers.visit("a")
    make.clients[0].lifetime = 20.0
    make.clients[0].sign_in()
    shown = page.provider.token.subscribe(lambda token: None)
    await asyncio.sleep(32)
    assert len(make.clients[0].fetches) >= 2
    shown.dispose()
    page.end()
    asked = len(make.clients[0].fetches)
    await asyncio.sleep(59)
    assert len(make.clients[0].fetches) == asked


@staged(grace=60)
async def test_without_a_user_there_is_nothing_to_keep(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    for says in (lambda client: None, FakeAuthClient.sign_out):
        page = browsers.visit("a")
        says(make.clients[-1])
        await rest()
        page.end()
        await rest()
        assert browsers.open == 0
    assert make.closed == [True, True]


@staged(grace=0)
async def test_without_grace_a_provider_ends_with_its_last_page(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page = browsers.visit("a")
    make.clients[0].sign_in()
    await rest()
    page.end()
    await rest()
    assert make.closed == [True]


@staged(grace=60)
async def test_closing_all_ends_the_timers_too_and_later_pages_get_new_providers(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    open_page, closed_page = browsers.visit("a"), browsers.visit("b")
    for client in make.clients:
        client.sign_in()
    await rest()
    closed_page.end()
    assert len(pending()) >= 1
    await browsers.aclose()
    assert make.closed == [True, True]
    assert not pending()
    fresh = browsers.visit("a")
    open_page.end()  # of the provider that was closed
    assert not pending()
    await asyncio.sleep(100)
    assert make.closed == [True, True, False]
    fresh.end()


@staged()
async def test_a_provider_that_is_slow_to_close_counts_as_open(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page = browsers.visit("a")
    going_on = asyncio.Event()
    close = make.providers[0].aclose

    async def slowly() -> None:
        await going_on.wait()
        await close()

    make.providers[0].aclose = slowly  # type: ignore[method-assign]
    page.end()
    await rest()
    assert browsers.open == 1
    assert "a" not in browsers  # nobody is given it any more
    going_on.set()
    await rest()
    assert browsers.open == 0


def test_a_pool_outlives_the_loop_of_a_server_that_was_not_shut_down() -> None:
    make = Fakes()
    browsers = Browsers(make)

    async def visit() -> tuple[Any, Any]:
        page = browsers.visit("a")
        return page, page.provider

    stale, first = asyncio.run(visit())

    async def again() -> None:
        page = browsers.visit("a")
        assert page.provider is not first
        stale.end()
        await browsers.aclose()
        assert browsers.open == 0

    asyncio.run(again())


@staged()
async def test_a_page_that_outlives_its_closed_provider_ends_quietly(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page = browsers.visit("a")
    await browsers.aclose()
    page.end()
    assert browsers.open == 0
    await rest()
    assert make.closed == [True]


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "60", None, True])
def test_a_grace_that_is_no_duration_fails_at_the_call(grace: Any) -> None:
    with pytest.raises(ConfigurationError, match="grace"):
        Browsers(Fakes(), grace=grace)


@pytest.mark.parametrize("name", ["cookies", "initial_token"])
def test_s9_what_belongs_to_one_user_is_refused(name: str) -> None:
    options: Any = {name: {"session_token": "x"} if name == "cookies" else "x"}
    with pytest.raises(ConfigurationError, match=name):
        maker("https://app.example.com", options)


def test_arguments_of_connect_fail_where_the_pool_is_made() -> None:
    nonsense: Any
    for nonsense in ({"margin": -1}, {"colour": "red"}, {"request_timeout": 0}):
        with pytest.raises(ConfigurationError):
            maker("https://app.example.com", nonsense)
    with pytest.raises(ConfigurationError, match="https"):
        maker("http://app.example.com", {})
    with pytest.raises(ConfigurationError, match="function"):
        maker(Fakes(), {"margin": 1})
    nonsense = 5
    with pytest.raises(ConfigurationError, match="URL"):
        maker(nonsense, {})


def test_a_url_makes_another_provider_each_time() -> None:
    make = maker("https://app.example.com", {"margin": 1.0})
    one, other = make(), make()
    assert one is not other
    assert one.client is not other.client
    assert one.policy.margin == 1.0


# -- what a page shows -----------------------------------------------------------------------


def test_a_page_has_all_attributes_from_the_first_state_on() -> None:
    provider = connect("https://app.example.com")
    values = initial(provider.state.value)
    assert set(fields(provider.state.value)) < set(values)
    assert values["headline"] == "Connecting…"
    assert values["token_remaining"] == "–"
    assert (values["is_loading"], values["is_authenticated"]) == (True, False)


class Plain(PageModel[FakeAuthClient]):
    """A page of no toolkit."""

    def __init__(self, provider: AuthProvider[FakeAuthClient]) -> None:
        self.changes: list[dict[str, object]] = []
        self.counted = 0
        vars(self).update(initial(provider.state.value))
        loop = asyncio.get_running_loop()
        self._follow(provider, loop.call_soon_threadsafe)

    def _count_down(self) -> None:
        self.counted += 1
        super()._count_down()

    def _set(self, values: Any) -> None:
        self.changes.append(dict(values))
        vars(self).update(values)


@staged()
async def test_the_token_is_counted_down_by_a_timer_that_runs_only_with_one(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page: Any = Plain(browsers.visit("a").provider)
    await rest()
    assert page._second is None
    make.clients[0].sign_in()
    await rest()
    assert page.token_remaining in ("14:59", "15:00")
    assert page._second is not None
    counted = page.counted
    await asyncio.sleep(60)
    assert page.token_remaining in ("13:59", "14:00")
    assert 59 <= page.counted - counted <= 61  # once a second
    make.clients[0].sign_out()
    await rest()
    assert (page.token_remaining, page._second) == ("–", None)
    make.clients[0].sign_in("B")
    await rest()
    page.close()
    assert page._second is None
    changes = len(page.changes)
    make.clients[0].sign_out()
    await rest()
    assert len(page.changes) == changes
    page.close()


@staged()
async def test_only_what_changed_is_set(make: Fakes, browsers: Browsers[FakeAuthClient]) -> None:
    page = Plain(browsers.visit("a").provider)
    make.clients[0].sign_in()
    await rest()
    page.changes.clear()
    make.clients[0].sign_in("B")  # the same user
    await rest()
    told = {name for change in page.changes for name in change}
    assert "session_id" in told
    assert not told & {"user_email", "headline", "status", "is_authenticated", "busy"}
    page.close()


@staged()
async def test_calls_that_overlap_are_busy_until_the_last(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page: Any = Plain(browsers.visit("a").provider)
    one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    calls = [asyncio.create_task(page.attempt(each)) for each in (one, other)]
    await rest()
    assert page.busy
    one.set_exception(ConfigurationError("not so"))
    await rest()
    assert page.busy
    assert page.failure == "not so"
    other.set_result(None)
    assert await asyncio.gather(*calls) == [False, True]
    assert (page.busy, page.failure) == (False, "")
    page.close()


@staged()
async def test_what_is_no_auth_error_is_raised_and_nothing_stays_busy(
    make: Fakes, browsers: Browsers[FakeAuthClient]
) -> None:
    page: Any = Plain(browsers.visit("a").provider)

    async def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await page.attempt(bug())
    assert (page.busy, page.failure) == (False, "")
    page.close()
    assert not await page.attempt(_refused())  # after closing nothing is shown, only answered
    assert page.failure == ""


async def _refused() -> None:
    raise ConfigurationError("no")
