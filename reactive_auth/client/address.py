"""Where the server is, and what of it may be trusted with cookies."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import httpx

from ..errors import ConfigurationError

__all__ = ["Address", "parse_address", "route"]


@dataclass(frozen=True, slots=True)
class Address:
    """``origin`` as a browser would send it, and the base URL without a trailing slash."""

    origin: str
    base: str

    def url(self, path: str) -> str:
        """The URL of a route such as ``/get-session``."""
        return self.base + path


def parse_address(url: str, *, base_path: str | None, allow_http: bool) -> Address:
    """Check a base URL. A path in it replaces the default ``/api/auth``.

    Raises ConfigurationError for what can never work, and for plain http to anything but this
    machine unless ``allow_http`` is set: cookies and tokens would travel in the clear.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError("the URL must be a non-empty string")
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError("the URL is malformed") from None
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise ConfigurationError("the URL must be absolute: https://host[:port]")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise ConfigurationError("the URL's port is none")
    if parsed.userinfo:
        raise ConfigurationError("the URL must not carry a user name or password")
    if parsed.query or parsed.fragment:
        raise ConfigurationError("the URL must not have a query or fragment")
    if parsed.scheme == "http" and not allow_http and not is_loopback(parsed.host):
        raise ConfigurationError(
            f"plain http to {parsed.host} would send cookies in the clear: "
            "use https, or pass allow_http=True"
        )
    origin = f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
    path = parsed.path.rstrip("/")
    if base_path is not None:
        path = route(base_path).rstrip("/")
    elif not path:
        path = "/api/auth"
    return Address(origin, origin + path)


def is_loopback(host: str) -> bool:
    """Whether a host name or literal address can only be this machine (RFC 6761, RFC 1122)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def route(path: str) -> str:
    """Check the path of a route. Raises ConfigurationError."""
    if (
        not isinstance(path, str)
        or not path.startswith("/")
        or path.startswith("//")
        or any(c in path for c in "?#\\")
        or any(part in (".", "..") for part in path.split("/"))
        or not path.isprintable()
        or " " in path
    ):
        raise ConfigurationError("a path starts with one slash and has no query or fragment")
    return path
