"""The same on real Better Auth servers; restarts, and several clients of one account."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactive_auth import AuthProvider, BetterAuthClient, connect
from tests.core.support import Seen
from tests.servers.npm import VERSIONS, NodeServer

from .clocks import ShiftedClock, run_shifted
from .phases import PHASES
from .stage import PASSWORD, NodeBackend, Stage
from .table import FAULTS, Fault

NEW = f"{PASSWORD}-2"

_users = itertools.count(1)


def new_email() -> str:
    return f"user-{next(_users)}@example.com"


@pytest.fixture(scope="module")
def convex_server() -> Iterator[NodeServer]:
    """1.6 with the convex plugin, whose tokens name their session."""
    with NodeServer("v16") as node:
        yield node


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[NodeServer]:
    with NodeServer(request.param) as node:
        yield node


CASES = [
    pytest.param(fault, name, id=f"{fault}-{name.replace(' ', '-')}")
    for fault in FAULTS.values()
    for name, phase in PHASES.items()
    if fault.script is not None and phase.route in fault.routes and name != "closing"
]


@pytest.mark.parametrize(("fault", "phase"), CASES)
def test_f1_f2_f4_on_a_real_server_a_fault_signs_nobody_out_and_is_got_over(
    fault: Fault, phase: str, convex_server: NodeServer
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with Stage(NodeBackend(clock, convex_server, new_email())) as stage:
            await PHASES[phase].play(stage, fault)
            stage.check_errors()

    run_shifted(main(), clock)


def test_f1_f2_a_restart_that_keeps_the_sessions_is_got_over(server: NodeServer) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with Stage(NodeBackend(clock, server, new_email())) as stage:
            await stage.pass_time(5, until=stage.is_well)
            session, token = session_of(stage.auth), await stage.ask()
            seen = Seen(stage.auth.state)
            with server.restarting(keep_sessions=True):
                stage.auth.client.online()
                await stage.pass_time(20)
                assert stage.auth.state.value.error is not None
                assert await stage.ask() == token
            assert 2 <= len(stage.starts) <= 10
            await stage.recovers()
            assert session_of(stage.auth) == session
            assert all(state.is_authenticated for state in seen.values)
            fresh = await stage.auth.fetch_access_token(force_refresh=True)
            assert fresh is not None
            stage.check(fresh)
            assert server.count("/get-session") >= 1
            stage.check_errors()

    run_shifted(main(), clock)


@pytest.mark.parametrize("needed", [False, True], ids=["session asked for", "token needed"])
def test_f1_c9_a_restart_that_loses_the_sessions_signs_out_at_the_first_answer(
    server: NodeServer, needed: bool
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with Stage(NodeBackend(clock, server, new_email())) as stage:
            await stage.pass_time(5, until=stage.is_well)
            with server.restarting(keep_sessions=False):
                stage.auth.client.online()
                await stage.pass_time(20)
                assert stage.auth.state.value.is_authenticated, "nobody has said that it is gone"
            if needed:
                assert await stage.auth.fetch_access_token(force_refresh=True) is None
            await stage.pass_time(35, until=lambda: stage.auth.state.value.status == "signed_out")
            state = stage.auth.state.value
            assert (state.status, state.has_token, state.error) == ("signed_out", False, None)
            assert await stage.auth.fetch_access_token() is None
            sent = len(stage.starts)
            await stage.pass_time(300, step=10)
            assert len(stage.starts) == sent
            await stage.auth.client.sign_up_email(email=new_email(), password=NEW, name="Bob")
            assert stage.is_well()

    run_shifted(main(), clock)


# -- several clients of one account ----------------------------------------------------------


Auth = AuthProvider[BetterAuthClient]


async def two_signed_in(here: Auth, there: Auth) -> None:
    email = new_email()
    await here.client.sign_up_email(email=email, password=PASSWORD, name="Ada")
    await there.client.sign_in_email(email=email, password=PASSWORD)
    assert session_of(here) != session_of(there)


def session_of(auth: Auth) -> str:
    session = auth.session.value.session
    assert session is not None
    return session.id


def test_c9_a_password_change_with_revocation_signs_the_other_client_out_at_its_next_fetch(
    server: NodeServer,
) -> None:
    async def main() -> None:
        url = server.url
        async with connect(url) as here, connect(url) as there:
            await two_signed_in(here, there)
            states, tokens = Seen(there.state), Seen(there.token)
            await here.client.change_password(
                current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
            )
            assert await there.fetch_access_token(force_refresh=True) is None
            assert there.cached_access_token() is None
            assert [state.status for state in states.values] == ["signed_in", "signed_out"]
            assert tokens.values[-1] is None
            assert len(tokens.values) == 2
            assert await here.fetch_access_token(force_refresh=True) is not None
            assert here.state.value.is_authenticated

    run_shifted(main(), ShiftedClock())


def test_a_password_change_without_revocation_leaves_the_other_client_signed_in(
    server: NodeServer,
) -> None:
    async def main() -> None:
        url = server.url
        async with connect(url) as here, connect(url) as there:
            await two_signed_in(here, there)
            first, states = session_of(there), Seen(there.state)
            await here.client.change_password(current_password=PASSWORD, new_password=NEW)
            assert await there.fetch_access_token(force_refresh=True) is not None
            assert (await there.client.refetch()).status == "signed_in"
            assert session_of(there) == first
            assert all(state.is_authenticated for state in states.values)

    run_shifted(main(), ShiftedClock())


def test_c9_a_session_revoked_elsewhere_ends_at_the_next_refresh_with_no_user_action(
    server: NodeServer,
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with Stage(NodeBackend(clock, server, new_email())) as stage:
            await stage.pass_time(5, until=lambda: stage.auth.state.value.has_token)
            assert server.revoke(session_of(stage.auth))
            sent = len(stage.starts)
            # The token is one of 15 minutes: nobody can know before it is refreshed.
            await stage.pass_time(
                800, step=20, until=lambda: stage.auth.state.value.status == "signed_out"
            )
            assert stage.auth.state.value.status == "signed_out"
            assert stage.auth.token.value is None
            assert len(stage.starts) - sent == 1

    run_shifted(main(), clock)


def test_p6_a_session_shared_with_another_process_ends_there_at_its_next_fetch(
    server: NodeServer,
) -> None:
    clock = ShiftedClock()
    backend = NodeBackend(clock, server, new_email())
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.client_process"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )

    def told(line: str) -> dict[str, object]:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line + "\n")
        child.stdin.flush()
        answer: dict[str, object] = json.loads(child.stdout.readline())
        return answer

    async def main() -> None:
        start = json.dumps({"url": backend.url, "cookies": backend.cookies})
        assert told(start) == {"status": "signed_in", "has_token": True}
        async with connect(backend.url, cookies=backend.cookies) as here:
            assert await here.fetch_access_token() is not None
            await here.client.change_password(current_password=PASSWORD, new_password=NEW)
            assert told("again") == {"status": "signed_in", "has_token": True}
            await here.client.change_password(
                current_password=NEW, new_password=PASSWORD, revoke_other_sessions=True
            )
            assert told("again") == {"status": "signed_out", "has_token": False}
            assert here.state.value.is_authenticated
            assert await here.fetch_access_token(force_refresh=True) is not None

    try:
        run_shifted(main(), clock)
    finally:
        child.kill()
        child.communicate()
