"""One run through everything that has to do with a secret, and all that could have shown one."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import pprint
import sys
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import httpx

import reactive_auth
from reactive_auth import (
    AccessToken,
    AuthClosed,
    AuthProvider,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    BetterAuthClient,
    ConfigurationError,
    InvalidToken,
    NotAuthenticated,
    TokenMismatch,
    WrongThread,
    auth_boundary,
    bearer_auth,
    claim,
    connect,
    connect_blocking,
    select,
    token_source,
    while_signed_in,
)
from reactive_auth.client import wire
from reactive_auth.convex import functions
from reactive_auth.jupyter import card
from reactive_auth.testing import FakeAuthClient, make_jwt
from reactive_auth.timeline import record
from reactive_auth.verify import JwksVerifier, TokenRefused, bearer_token

from .shown import shows_of, shows_of_error
from .vault import Vault


class Evidence:
    """Everything that was shown, as (where, what)."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.shown: list[tuple[str, str]] = []
        self._errors: set[tuple[type[BaseException], str]] = set()
        self.types: set[str] = set()
        self.logged: set[str] = set()

    def note(self, where: str, what: str) -> None:
        self.shown.append((where, what))

    def show(self, name: str, thing: object) -> None:
        """Have an object shown in every way."""
        self.types.add(type(thing).__name__)
        for way, what in shows_of(thing):
            self.note(f"{name}, {way}", what)

    def show_error(self, error: BaseException) -> None:
        self.types.add(type(error).__name__)
        again = (type(error), str(error)) in self._errors
        self._errors.add((type(error), str(error)))
        for way, what in shows_of_error(error, again=again):
            self.note(f"{type(error).__name__}({error}), {way}", what)

    async def fails(self, kind: type[BaseException], call: Callable[[], Awaitable[object]]) -> None:
        """The call raises this, and no secret with it."""
        try:
            await call()
        except kind as error:
            self.show_error(error)
        else:
            raise AssertionError(f"no {kind.__name__} was raised")

    def fails_at_once(self, kind: type[BaseException], call: Callable[[], object]) -> None:
        try:
            call()
        except kind as error:
            self.show_error(error)
        else:
            raise AssertionError(f"no {kind.__name__} was raised")

    def show_tasks(self) -> None:
        """What asyncio's own debugging aids print, and the stacks of all threads."""
        for task in asyncio.all_tasks():
            self.note("task", f"{task!r} {task.get_coro()!r} {task.get_name()}")
        for thread in threading.enumerate():
            self.note("thread", repr(thread))
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            self.note("faulthandler", file.read())

    def leaks(self) -> list[str]:
        """Where a secret was shown."""
        found: dict[str, str] = {}
        texts: dict[str, str] = {}
        for where, what in self.shown:
            texts.setdefault(what, where)
        for what, where in texts.items():
            leak = self.vault.found_in(what)
            if leak is not None:
                found.setdefault(where, leak)
        return [f"{where}\n    {leak}" for where, leak in found.items()]


class _Tap(logging.Handler):
    def __init__(self, evidence: Evidence) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self._evidence = evidence

    def emit(self, record: logging.LogRecord) -> None:
        self._evidence.logged.add(record.name)
        self._evidence.note(f"log of {record.name}", self.format(record))
        self._evidence.note(f"log record of {record.name}", f"{record.msg!r} {record.args!r}")


@contextlib.contextmanager
def listening(evidence: Evidence) -> Iterator[None]:
    """Every logger at DEBUG, warnings and what nobody catches included."""
    root, tap = logging.getLogger(), _Tap(evidence)
    level = root.level
    names = [*logging.Logger.manager.loggerDict, "py.warnings"]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(logging.DEBUG)
    root.addHandler(tap)
    # Names and lines of the test's own text are left out: what asyncio shows of a slow step is.
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        hooks = (sys.unraisablehook, threading.excepthook)
        sys.unraisablehook = lambda raised: evidence.note("unraisable", pprint.pformat(raised))
        threading.excepthook = lambda raised: evidence.note("thread died", pprint.pformat(raised))
        try:
            yield
        finally:
            gc.collect()
            sys.unraisablehook, threading.excepthook = hooks
            logging.captureWarnings(False)
            root.removeHandler(tap)
            root.setLevel(level)
            for name, before in levels.items():
                logging.getLogger(name).setLevel(before)


@contextlib.contextmanager
def answers_noted(vault: Vault) -> Iterator[None]:
    """Whatever an auth server answers to our clients is searched for secrets."""
    read = wire.read_body

    async def noted(response: httpx.Response, *args: Any, **kwargs: Any) -> bytes:
        body = await read(response, *args, **kwargs)
        vault.add_answer(response.headers, body)
        return body

    with mock.patch.object(wire, "read_body", noted):
        yield


@contextlib.asynccontextmanager
async def rude_server(reply: bytes | None) -> AsyncIterator[str]:
    """Takes a request, answers it with these bytes, and drops the connection; with None it never
    answers."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            if reply is None:
                await reader.read()
            else:
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        if talks:
            await asyncio.wait(talks, timeout=30)


class Api(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A resource server that refuses the first tokens it is shown, so many as there are to be."""

    def __init__(self, vault: Vault, refusals: int = 0) -> None:
        self._vault = vault
        self._refusals = refusals
        self.statuses: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        self._vault.add("token sent to an API", token)
        refused = kind != "Bearer" or self._refusals > 0
        self._refusals -= 1
        self.statuses.append(401 if refused else 200)
        return httpx.Response(self.statuses[-1], request=request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


async def full_run(url: str, email: str, evidence: Evidence) -> None:
    """Everything, with one account."""
    loop, vault = asyncio.get_running_loop(), evidence.vault
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # every step is logged, with the repr of what it is
    loop.set_exception_handler(
        lambda _, context: evidence.note("loop exception handler", repr(context))
    )
    async with connect(url) as auth:
        await _everything(auth, email, evidence)
        await _bearer(auth, evidence)
        await _refusals(auth, url, email, evidence)
        evidence.show_tasks()
        await _refused_for_good(auth, evidence)
        await auth.client.sign_out()
        await evidence.fails(NotAuthenticated, lambda: token_source(auth)())
    await evidence.fails(AuthClosed, lambda: auth.fetch_access_token(rejected=vault["password"]))
    await _outages(email, evidence)
    await _odd_tokens(evidence)
    await _cancelled(url, email, evidence)
    await asyncio.to_thread(_blocking, url, email, evidence)


async def _everything(auth: AuthProvider[BetterAuthClient], email: str, evidence: Evidence) -> None:
    vault, client = evidence.vault, auth.client
    events: list[object] = []
    client.wire.subscribe(events.append)
    timeline = record(auth)
    shown = card(auth)
    auth.token.subscribe(lambda token: vault.add("token", token and token.value))
    claims = claim(auth, "email")
    claims.subscribe(lambda _: None)
    token_view = select(auth.token, lambda token: token)
    scoped: list[object] = []
    auth.session.pipe(while_signed_in(lambda _: token_view)).subscribe(scoped.append)
    auth.token.pipe(auth_boundary(auth, on_unauth=lambda: None)).subscribe(scoped.append)

    await client.sign_up_email(email=email, password=vault["password"], name="Ada")
    await evidence.fails(
        AuthRejected,
        lambda: client.sign_in_email(email=email, password=vault["wrong password"]),
    )
    shown._told(None, {"do": "sign_in", "email": email, "password": vault["password"]}, [])
    shown.get_view_spec()
    evidence.show("card state", shown.get_state())
    await client.sign_in_email(email=email, password=vault["password"])
    token = await auth.fetch_access_token()
    vault.add("fetched token", token)
    vault.add("fetched token", await auth.fetch_access_token(force_refresh=True))
    vault.add("fetched token", await auth.fetch_access_token(rejected=token))
    await evidence.fails(
        AuthRejected,
        lambda: client.change_password(
            current_password=vault["wrong password"], new_password=vault["new password"]
        ),
    )
    await client.change_password(
        current_password=vault["password"],
        new_password=vault["new password"],
        revoke_other_sessions=True,
    )
    await client.list_sessions()
    await client.update_user(name="Ada L.")
    await evidence.fails(
        AuthRejected,
        lambda: client.request("POST", "/no-such-route", json={"s": vault["secret in a body"]}),
    )
    await evidence.fails(
        AuthRejected,
        lambda: client.request("GET", "/no-such", query={"token": vault["secret in a query"]}),
    )
    await evidence.fails(
        AuthRejected, lambda: client.revoke_session(f"not-{vault['secret in a query'][:4]}")
    )
    await evidence.fails(AuthRejected, lambda: client.delete_user(password=vault["wrong password"]))

    one_time = Vault()
    one_time.make("one-time token", await client.generate_one_time_token())
    vault.add("one-time token", one_time["one-time token"])
    async with connect(client.origin) as other:
        landed = await other.client.handle_redirect(
            f"https://app.test/?ott={one_time['one-time token']}&page=2"
        )
        assert landed == "https://app.test/?page=2"
        evidence.show("provider of a hand-off", other)
        spent = one_time["one-time token"]
        await evidence.fails(AuthRejected, _used_twice(other, spent))
        del spent
        await evidence.fails(
            AuthRejected,
            lambda: other.client.handle_redirect(
                f"https://app.test/?ott={vault['code']}&ott={vault['code']}"
            ),
        )

    error = auth.state.value.error
    for name, thing in {
        "provider": auth,
        "client": client,
        "session signal": auth.session,
        "token signal": auth.token,
        "state signal": auth.state,
        "session state": auth.session.value,
        "token": auth.token.value,
        "state": auth.state.value,
        "session": auth.session.value.session,
        "user": auth.session.value.user,
        "error": error,
        "claim": claims,
        "derived token": token_view,
        "scoped values": scoped,
        "wire events": events,
        "wire event": events[-1],
        "timeline": timeline,
        "marbles": timeline.marbles(),
        "policy": auth.policy,
        "backoff": auth.policy.backoff,
        "home": auth.home,
        "delivery": auth.delivery,
        "token source": token_source(auth),
        "bearer auth": bearer_auth(auth),
        "bound method": client.sign_in_email,
        "jar": client._jar,
        "wire": client._wire,
        "the tokens of the session": auth._tokens,
        "view of the tokens": auth._view,
        "lease": auth._ready,
        "coroutine": _closed(client.sign_in_email(email=email, password=vault["password"])),
        "functions": functions(auth, "https://x.convex.cloud"),
    }.items():
        evidence.show(name, thing)
    evidence.note("timeline as JSON", timeline.to_json())
    evidence.note("timeline as a picture", timeline.marbles().svg)
    evidence.note("timeline in words", timeline.why_signed_out())
    evidence.show("timeline as plain data", timeline.to_dict())
    evidence.show("card state", shown.get_state())
    evidence.show("card", shown)
    shown.close()
    timeline.dispose()


def _used_twice(auth: AuthProvider[BetterAuthClient], token: str) -> Callable[[], Awaitable[None]]:
    calls = [auth.client.verify_one_time_token(token)]
    return lambda: calls.pop()


def _closed(coroutine: Any) -> Any:
    coroutine.close()
    return coroutine


async def _bearer(auth: AuthProvider[BetterAuthClient], evidence: Evidence) -> None:
    """Calls of an API: with a refused token, in vain, and where nobody listens."""
    origin = "http://127.0.0.1:9"  # the discard port: nothing listens
    bearer = bearer_auth(auth, origins=[origin, auth.client.origin])
    for refusals, statuses in ((0, [200]), (1, [401, 200])):
        api = Api(evidence.vault, refusals)
        async with httpx.AsyncClient(transport=api, auth=bearer) as http:
            response = await http.get(f"{auth.client.origin}/data")
            evidence.show("response", response)
            evidence.show("request", response.request)
        assert api.statuses == statuses
    async with httpx.AsyncClient(auth=bearer, timeout=5) as http:
        await evidence.fails(httpx.ConnectError, lambda: http.get(f"{origin}/data"))
        await evidence.fails(ConfigurationError, lambda: http.get("http://elsewhere.test/"))
    evidence.fails_at_once(ConfigurationError, lambda: next(bearer.sync_auth_flow(_request(auth))))
    async with rude_server(b"") as url:
        rejecting = functions(auth, url, timeout=5)
        await evidence.fails(AuthUnavailable, lambda: rejecting.query("messages:list"))
    async with rude_server(None) as url:
        hanging = functions(auth, url, timeout=0.05)
        await evidence.fails(AuthTimeout, lambda: hanging.mutation("messages:send"))


def _request(auth: AuthProvider[BetterAuthClient]) -> httpx.Request:
    return httpx.Request("GET", f"{auth.client.origin}/data")


async def _refused_for_good(auth: AuthProvider[BetterAuthClient], evidence: Evidence) -> None:
    """An API that takes no token: first it is its answer, then there is no token for now."""

    async def ask() -> None:
        api = Api(evidence.vault, 99)
        async with httpx.AsyncClient(transport=api, auth=bearer_auth(auth)) as http:
            while True:  # tokens of one second are one string, which is refused once
                response = await http.get(f"{auth.client.origin}/data")
                await evidence.fails(httpx.HTTPStatusError, partial(_raise_for, response))

    async def _raise_for(response: httpx.Response) -> None:
        response.raise_for_status()

    async with asyncio.timeout(60):
        await evidence.fails(AuthUnavailable, ask)
    error = auth.state.value.error
    assert error is not None
    evidence.show_error(error)


async def _refusals(
    auth: AuthProvider[BetterAuthClient], url: str, email: str, evidence: Evidence
) -> None:
    """What is refused here: by constructors, by a verifier, and by calls on the wrong thread."""
    vault = evidence.vault
    for bad in (
        lambda: connect(url, cookies={"a.session_token": vault["cookie"] + "\x00"}),
        lambda: connect(url, cookies={"x y": vault["cookie"]}),
        lambda: connect("http://elsewhere.test", cookies={"session_token": vault["cookie"]}),
        lambda: connect(url, initial_token=vault["jwt"], margin=-1.0),
        lambda: connect_blocking(url, initial_token=vault["jwt"], margin=-1.0),
        lambda: AuthProvider(FakeAuthClient(), initial_token=vault["jwt"], margin=-1.0),
        lambda: BetterAuthClient(url, headers={"cookie": vault["cookie"]}),
        lambda: connect(url, headers={"x-api-key": vault["cookie"]}, request_timeout=-1),
        lambda: connect(f"https://user:{vault['password']}@app.test"),
        lambda: bearer_auth(auth, origins=[f"https://app.test/?token={vault['jwt']}"]),
    ):
        evidence.fails_at_once(ConfigurationError, bad)
    await evidence.fails(
        ConfigurationError,
        lambda: auth.fetch_access_token(rejected=vault["jwt"].encode()),  # type: ignore[arg-type]
    )
    await evidence.fails(
        TypeError,
        lambda: auth.client.sign_in_email(  # type: ignore[call-arg]
            email=email, pasword=vault["password"]
        ),
    )
    await evidence.fails(
        ConfigurationError,
        lambda: auth.client.request("POST", "/x", json={vault["password"]: object()}),
    )
    verifier = JwksVerifier(f"{url}/api/auth/jwks", algorithms=["EdDSA"], issuer=url, audience=url)
    async with verifier:
        evidence.show("verifier", verifier)
        # Of the right shape, and by nobody: refused for its algorithm, its key and its letters.
        for token in ("jwt", "jwt of an unknown key", "cookie"):
            await evidence.fails(TokenRefused, _verifying(verifier, vault, token))
    evidence.fails_at_once(TokenRefused, lambda: bearer_token(f"Bearer {vault['jwt']} "[:-1] + "?"))

    def elsewhere() -> None:
        with contextlib.suppress(WrongThread):
            asyncio.run(auth.client.refetch())
        evidence.fails_at_once(
            WrongThread,
            lambda: asyncio.run(_signing_in(auth.client, email, vault)),
        )

    await asyncio.to_thread(elsewhere)
    loops_token = await asyncio.to_thread(lambda: asyncio.run(auth.fetch_access_token()))
    vault.add("fetched token", loops_token)


async def _signing_in(client: BetterAuthClient, email: str, vault: Vault) -> None:
    await client.sign_in_email(email=email, password=vault["password"])


def _verifying(verifier: JwksVerifier, vault: Vault, name: str) -> Callable[[], Awaitable[object]]:
    return lambda: verifier.verify(vault[name])


async def _outages(email: str, evidence: Evidence) -> None:
    """The sign-in meets every kind of bad connection."""
    vault = evidence.vault
    head = "HTTP/1.1 {}\r\nset-cookie: better-auth.session_token={}{}; Path=/\r\n"
    secret = vault["cookie"]
    replies: dict[bytes | None, type[BaseException]] = {
        b"": AuthUnavailable,
        None: AuthTimeout,
        (head.format("503 Busy", secret, "") + "content-length: 0\r\n\r\n").encode(): (
            AuthUnavailable
        ),
        (head.format("200 OK", secret, "\x00") + "\r\n").encode(): AuthUnavailable,
        (head.format("200 OK", secret, "") + "content-length: 99\r\n\r\n{").encode(): (
            AuthUnavailable
        ),
        (head.format("200 OK", secret, "; Secure") + "content-length: 2\r\n\r\n{}").encode(): (
            AuthUnavailable
        ),
        (head.format("200 OK", secret, "") + "content-length: 9\r\n\r\n<html>...").encode(): (
            AuthUnavailable
        ),
    }
    del secret
    for reply, kind in replies.items():
        async with (
            rude_server(reply) as url,
            connect(url, request_timeout=0.1 if reply is None else 30.0) as auth,
        ):
            failures: list[object] = []
            auth.client.wire.subscribe(
                lambda event, to=failures: to.append(event) if event.error else None
            )
            auth.client.wire.subscribe(
                lambda event: evidence.show_error(event.error) if event.error else None
            )
            auth.state.subscribe(
                lambda state: evidence.show_error(state.error) if state.error else None
            )
            await evidence.fails(
                kind,
                lambda auth=auth: auth.client.sign_in_email(
                    email=email, password=vault["password"]
                ),
            )
            evidence.show("failures", failures)
            evidence.show("provider", auth)
        replies[reply] = kind


async def _odd_tokens(evidence: Evidence) -> None:
    """Token sources that answer with somebody else's token, or with nonsense."""
    vault = evidence.vault
    for answer, kind in (
        (vault["jwt"], TokenMismatch),
        (vault["jwt of two parts"], InvalidToken),
        (OSError("down"), AuthUnavailable),
    ):
        fake = FakeAuthClient()
        async with AuthProvider(fake, timeout=0.2) as auth:
            auth.state.subscribe(
                lambda state: evidence.show_error(state.error) if state.error else None
            )
            fake.then(answer).then_hang()
            fake.sign_in("A", "u1")
            await evidence.fails(AuthUnavailable, auth.fetch_access_token)
            error = auth.state.value.error
            assert isinstance(error, kind)
            evidence.show_error(error)
            evidence.show("state with an error", auth.state.value)
        del answer


async def _cancelled(url: str, email: str, evidence: Evidence) -> None:
    """Callers that are cancelled, and ones that are still there when the client is closed."""
    vault = evidence.vault
    async with rude_server(None) as silent:
        auth = connect(silent)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: auth.client.sign_in_email(email=email, password=vault["password"]),
            lambda: auth.client.request("POST", "/x", json={"s": vault["secret in a body"]}),
            lambda: auth.fetch_access_token(rejected=vault["jwt"]),
        ]
        for call in calls:
            task = asyncio.ensure_future(call())
            for _ in range(20):
                await asyncio.sleep(0)
            evidence.show("task", task)
            evidence.show_tasks()
            task.cancel()
            await evidence.fails(asyncio.CancelledError, lambda task=task: task)
        tasks = [asyncio.ensure_future(call()) for call in calls]
        for _ in range(20):
            await asyncio.sleep(0)
        await auth.aclose()
        for task in tasks:
            await evidence.fails(AuthClosed, lambda task=task: task)


def _blocking(url: str, email: str, evidence: Evidence) -> None:
    vault = evidence.vault
    with connect_blocking(url) as auth:
        evidence.fails_at_once(
            AuthRejected,
            lambda: auth.client.sign_in_email(email=email, password=vault["wrong password"]),
        )
        future = auth.client.sign_in_email.future(email=email, password=vault["new password"])
        evidence.show("future", future)
        future.result(60)
        evidence.show("future", future)
        token = auth.fetch_access_token()
        vault.add("fetched token", token)
        asked = auth.fetch_access_token.future(force_refresh=True)
        vault.add("fetched token", asked.result(60))
        for name, thing in {
            "blocking provider": auth,
            "its client": auth.client,
            "its provider": auth.provider,
            "its call": auth.client.sign_in_email,
            "its fetch": auth.fetch_access_token,
            "future": asked,
            "its bearer auth": bearer_auth(auth),
            "its token": auth.token.value,
        }.items():
            evidence.show(name, thing)
        api = Api(vault, 1)
        with httpx.Client(transport=api, auth=bearer_auth(auth)) as http:
            assert http.get(f"{auth.client.origin}/data").status_code == 200
        assert api.statuses == [401, 200]
        with httpx.Client(auth=bearer_auth(auth, origins=["http://127.0.0.1:9"])) as http:
            evidence.fails_at_once(httpx.ConnectError, lambda: http.get("http://127.0.0.1:9/"))
        auth.client.sign_out()
        with httpx.Client(transport=api, auth=bearer_auth(auth)) as http:
            evidence.fails_at_once(NotAuthenticated, lambda: http.get(f"{auth.client.origin}/data"))
    evidence.fails_at_once(
        AuthClosed,
        lambda: auth.client.sign_in_email(email=email, password=vault["new password"]),
    )
    evidence.fails_at_once(AuthClosed, lambda: auth.fetch_access_token(rejected=vault["jwt"]))


def new_vault() -> Vault:
    """With the secrets that the run itself brings."""
    vault = Vault()
    vault.make("password", "vK9-pw-Zr4tQ2mLx8")
    vault.make("wrong password", "Hn3-wrong-Yb7uE5cJ")
    vault.make("new password", "Tq6-new-Wd1oP9sAf0")
    vault.make("secret in a body", "body.Xc4vB8nM2qW6e")
    vault.make("secret in a query", "qry.Lk5jH1gF7dS3aP")
    vault.make("code", "ott.Uy2iO6pR9tE4wQ")
    vault.make("cookie", "ck.Zx8cV3bN7mA1sDfG5hJ")
    claims = {"sub": "somebody", "sessionId": "another", "iat": 1, "exp": 2_000_000_000}
    vault.make("jwt", make_jwt(claims) + "Sg.signature-Rt5yU8".replace(".", "-"))
    vault.make("jwt of two parts", make_jwt({}).split(".")[0] + ".W10.Sg-another-Bn7mK3xQ")
    import json
    from base64 import urlsafe_b64encode

    header = urlsafe_b64encode(json.dumps({"alg": "EdDSA", "kid": "nobody's"}).encode())
    body = make_jwt(claims).split(".")[1]
    unknown = f"{header.decode().rstrip('=')}.{body}.Sg-unknown-Ty6uI1o"
    vault.make("jwt of an unknown key", unknown)
    return vault


#: What need not be seen in a run: these are shapes, or made by nothing but a test.
NO_INSTANCES = {"AuthClient", "AuthError", "Clock", "RedactSecrets", "SessionStatus"}


def public_classes() -> set[str]:
    """Those whose instances a user meets."""
    return {
        name for name in reactive_auth.__all__ if isinstance(getattr(reactive_auth, name), type)
    } - NO_INSTANCES


__all__ = [
    "AccessToken",
    "Evidence",
    "answers_noted",
    "full_run",
    "listening",
    "new_vault",
    "public_classes",
]
