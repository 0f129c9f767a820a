"""Start real Better Auth servers (Node) from a test.

    with NodeServer("v16", ServerOptions(cookie_cache=True)) as server:
        httpx.get(server.auth_url + "/get-session")
        server.script("/get-session", status=500, times=2)
        server.wait("/get-session", state="done", count=2)

`v16` is better-auth 1.6 with the Convex plugin (`/token` and `/convex/token`), `v17` is
better-auth 1.7 with its JWT plugin (`/token`). A path given to a control method is either the
whole path or what follows `/api/auth`; `*` is every path.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self

import anyio.to_thread
import httpx

Version = Literal["v16", "v17"]
State = Literal["arrived", "held", "done", "aborted"]

VERSIONS: tuple[Version, ...] = ("v16", "v17")
BASE_PATH = "/api/auth"
HERE = Path(__file__).resolve().parent

INSTALL_TIMEOUT = 600.0
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0


# --- installing -----------------------------------------------------------------------------


def _tool(name: str) -> str:
    found = shutil.which(name)  # npm is npm.cmd on Windows
    if found is None:
        raise RuntimeError(
            f"{name} was not found on PATH. The wire tests run real Better Auth servers and need"
            " Node.js 20 or newer with npm; they are not skipped."
        )
    return found


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        deadline = time.monotonic() + INSTALL_TIMEOUT
        while True:
            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # tries for ten seconds
            except OSError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


@contextlib.contextmanager
def _file_lock(path: Path) -> Generator[None, None, None]:
    """One process at a time. The system frees the lock of a process that died, and a living
    one holds it for no longer than npm may take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _lock(file)
        try:
            yield
        finally:
            _unlock(file)


def ensure_installed(version: Version, *, root: Path = HERE) -> Path:
    """Run `npm install` where it is needed; return the folder. Safe between processes."""
    _tool("node")
    npm = _tool("npm")
    folder = root / version
    wanted = hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
    modules = folder / "node_modules"
    stamp = modules / ".installed-for"

    def installed() -> bool:
        return stamp.is_file() and stamp.read_text("utf-8") == wanted

    if installed():
        return folder
    with _file_lock(modules / ".install-lock"):
        if installed():  # another process was faster
            return folder
        stamp.unlink(missing_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            result = subprocess.run(
                [*command, "--ignore-scripts"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=INSTALL_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(
                f"npm install for {version} took over {INSTALL_TIMEOUT:.0f} s"
            ) from error
        if result.returncode != 0:
            raise RuntimeError(
                f"npm install for {version} failed (exit {result.returncode}):\n{result.stdout}"
            )
        temporary = stamp.with_suffix(".new")
        temporary.write_text(wanted, "utf-8")
        temporary.replace(stamp)
    return folder


# --- running --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the server is set up. Everything defaults to what Better Auth does by itself."""

    cookie_cache: bool | Mapping[str, Any] = False
    """Switch `session.cookieCache` on; a mapping gives more of it (`maxAge`, `strategy`)."""
    session: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`session` options: `expiresIn`, `updateAge`, `freshAge`, `deferSessionRefresh`, …"""
    jwt_expiration_s: int | None = None
    """Lifetime of the JWTs of every token route; 900 s when not given."""
    trusted_origins: Sequence[str] = ()
    convex_alg: Literal["RS256", "EdDSA"] = "RS256"
    cross_domain: str | None = None
    """v16: site URL for the crossDomain plugin."""
    real_hash: bool = False
    """Hash passwords with scrypt as Better Auth does, not with the tests' fast digest."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Any other Better Auth options that are plain JSON (`advanced`, `rateLimit`, …)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the server has seen."""

    id: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int | None
    scripted: bool
    held: bool
    done: bool
    aborted: bool


class NodeServer:
    """A Better Auth server in a Node process of its own."""

    def __init__(self, version: Version, options: ServerOptions | None = None) -> None:
        self.version: Version = version
        self.options = options or ServerOptions()
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None
        self._control: httpx.Client | None = None
        self._port = 0
        self._arguments: tuple[str, ...] = ()

    # life

    def start(self) -> Self:
        if self._process is not None:
            raise RuntimeError("this server runs already")
        ensure_installed(self.version)
        # The control methods may be called from several threads, and a wait holds a connection.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                _tool("node"),
                "server.mjs",
                self.version,
                json.dumps(asdict(self.options)),
                *self._arguments,
            ],
            cwd=HERE,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )
        try:
            self._port = self._read_port(self._process)
        except BaseException:
            self.stop()
            raise
        self._control = httpx.Client(
            base_url=f"{self.url}/__test", trust_env=False, timeout=60, limits=limits
        )
        return self

    def _read_port(self, process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        stdout = process.stdout
        reader = threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True)
        reader.start()
        try:
            line = lines.get(timeout=START_TIMEOUT)
        except queue.Empty:
            line = ""
            process.kill()
        reader.join(STOP_TIMEOUT)
        try:
            return int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            process.kill()
            process.wait(STOP_TIMEOUT)
            raise RuntimeError(
                f"the {self.version} server did not start: stdout {line!r}, stderr:\n{self.stderr}"
            ) from None

    def stop(self) -> None:
        """End the server; does nothing when it does not run."""
        control, self._control = self._control, None
        process, self._process = self._process, None
        stderr, self._stderr = self._stderr, None
        if control is not None:
            control.close()
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()  # the server ends by itself
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT)
            process.stdout.close()
        if stderr is not None:
            stderr.close()

    @contextlib.contextmanager
    def restarting(self, *, keep_sessions: bool) -> Generator[None, None, None]:
        """Down while the context lasts, then a new process on the same port with what the store
        held: all of it, or all but the sessions."""
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "tables")
            without = [] if keep_sessions else ["session"]
            self._call("POST", "save", {"file": file, "without": without})
            port = self._port
            self.stop()
            try:
                yield
            finally:
                self._arguments = (str(port), file)
                try:
                    self.start()
                finally:
                    self._arguments = ()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # where it is

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Scheme, host and port: also the Origin that the server trusts."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def auth_url(self) -> str:
        return self.url + BASE_PATH

    @property
    def token_paths(self) -> tuple[str, ...]:
        return ("/convex/token", "/token") if self.version == "v16" else ("/token",)

    @property
    def stderr(self) -> str:
        """What the server has written to stderr so far."""
        if self._stderr is None:
            return ""
        self._stderr.flush()
        # A second handle would not work on Windows, and the position is shared with the child.
        position = os.lseek(self._stderr.fileno(), 0, os.SEEK_CUR)
        os.lseek(self._stderr.fileno(), 0, os.SEEK_SET)
        text = os.read(self._stderr.fileno(), 1 << 20).decode("utf-8", "replace")
        os.lseek(self._stderr.fileno(), position, os.SEEK_SET)
        return text

    # the tests' control surface

    def _call(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> Any:
        if self._control is None:
            raise RuntimeError("the server does not run")
        response = self._control.request(method, f"/{name}", json=body or {})
        if response.status_code != 200:
            raise RuntimeError(f"/__test/{name}: {response.text}")
        return response.json()

    def script(
        self,
        path: str,
        *,
        times: int | None = 1,
        skip: int = 0,
        method: str | None = None,
        status: int | None = None,
        body: object = ...,
        raw: str | None = None,
        headers: Mapping[str, str | Sequence[str]] | None = None,
        delay_ms: int | None = None,
        hang: bool = False,
        drop: bool = False,
        when: Literal["before", "after"] = "before",
    ) -> None:
        """Change what the next `times` requests to `path` get (None: all of them).

        With `status`, `body` (JSON) or `raw` (text) the answer is made up; otherwise it is the
        real one, with `headers` added. `hang` keeps the request until `release`, `delay_ms` for
        a time, `drop` cuts the connection. `when="after"` does that after the real server has
        done its work: the session is gone, say, but the client does not know yet.
        """
        rule: dict[str, Any] = {"path": path, "times": times, "skip": skip, "when": when}
        optional: dict[str, Any] = {
            "method": method,
            "status": status,
            "raw": raw,
            "headers": None if headers is None else dict(headers),
            "delay_ms": delay_ms,
            "hang": hang or None,
            "drop": drop or None,
        }
        rule |= {key: value for key, value in optional.items() if value is not None}
        if body is not ...:
            rule["body"] = body
        self._call("POST", "script", rule)

    def release(self, path: str | None = None) -> int:
        """Let held requests go on; how many there were."""
        return int(self._call("POST", "release", {"path": path} if path else {})["released"])

    def unscript(self) -> None:
        """Forget scripts, and release what is held."""
        self._call("POST", "unscript")

    def reset(self) -> None:
        """Forget scripts and requests, release what is held, set the clock right."""
        self._call("POST", "reset")

    def requests(self, path: str | None = None) -> list[Request]:
        """The requests so far, in order of arrival."""
        full = path if path is None or path.startswith(BASE_PATH) else BASE_PATH + path
        found = [Request(**row) for row in self._call("GET", "requests")]
        return [one for one in found if full is None or one.path == full]

    def count(self, path: str | None = None) -> int:
        return len(self.requests(path))

    def wait(
        self,
        path: str = "*",
        *,
        state: State = "arrived",
        count: int = 1,
        method: str | None = None,
        after_id: int = 0,
        timeout: float = 10.0,
    ) -> list[Request]:
        """Block until `count` requests are in `state`; TimeoutError when they do not get there.

        Only requests with an id above `after_id` count. Never call this on an event loop that
        also runs the client: use `wait_async` there.
        """
        asked = {"path": path, "state": state, "count": count, "after_id": after_id}
        asked |= {"timeout_ms": round(timeout * 1000)} | ({"method": method} if method else {})
        answer = self._call("POST", "wait", asked)
        if not answer["reached"]:
            got = len(answer["requests"])
            raise TimeoutError(f"{got} of {count} requests to {path} are {state}")
        return [Request(**row) for row in answer["requests"]]

    async def wait_async(
        self,
        path: str = "*",
        *,
        state: State = "arrived",
        count: int = 1,
        method: str | None = None,
        after_id: int = 0,
        timeout: float = 10.0,
    ) -> list[Request]:
        call = functools.partial(
            self.wait,
            path,
            state=state,
            count=count,
            method=method,
            after_id=after_id,
            timeout=timeout,
        )
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)

    async def emptied_async(self, *, timeout: float = 10.0) -> None:
        """Wait until the clients have closed all their connections; TimeoutError if they do not."""
        asked = {"timeout_ms": round(timeout * 1000)}
        call = functools.partial(self._call, "POST", "emptied", asked)
        answer = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        if answer["open"]:
            raise TimeoutError(f"{answer['open']} connections are open")

    def sessions(self) -> list[dict[str, Any]]:
        """The session rows of the server's store."""
        rows: list[dict[str, Any]] = self._call("GET", "sessions")
        return rows

    def revoke(self, session_id: str) -> bool:
        """Delete a session row, as if it had been revoked elsewhere."""
        return bool(self._call("POST", "revoke", {"session_id": session_id})["revoked"])

    def age_session(
        self,
        session_id: str,
        *,
        expires_in: float | None = None,
        created_in: float | None = None,
        updated_in: float | None = None,
    ) -> bool:
        """Move a session's dates: seconds from the server's now, negative for the past."""
        moved = {"expires_in": expires_in, "created_in": created_in, "updated_in": updated_in}
        given = {key: value for key, value in moved.items() if value is not None}
        answer = self._call("POST", "session", {"session_id": session_id, **given})
        return bool(answer["changed"])

    def set_clock(self, offset_s: float) -> None:
        """Move the server's clock against the real one; timers do not move."""
        self._call("POST", "clock", {"offset_s": offset_s})


def _environment() -> dict[str, str]:
    """Ours without what Better Auth, Convex or Node would read from it."""
    unwanted = ("BETTER_AUTH_", "AUTH_", "CONVEX_", "NODE_OPTIONS", "NODE_ENV", "NODE_V8_")
    return {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
