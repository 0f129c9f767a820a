"""The one-time token in the URL of a hand-off (upstream: the ``ott`` effect of
ConvexBetterAuthProvider, src/react/index.tsx)."""

from __future__ import annotations

from urllib.parse import unquote_plus, urlsplit

from ..errors import AuthRejected, ConfigurationError

__all__ = ["split_redirect"]

_PARAMETER = "ott"
#: Better Auth makes them 32 characters long.
_LONGEST = 512


def split_redirect(url: str) -> tuple[str, str | None]:
    """The URL without its one-time token, otherwise letter by letter as it was, and the token.

    Raises ConfigurationError for what is no URL; AuthRejected for a token that is blank, too
    long, or there twice.
    """
    if not isinstance(url, str):
        raise ConfigurationError("the URL must be a string")
    try:
        urlsplit(url.partition("#")[0].partition("?")[0])  # it keeps what it has split in a cache
    except ValueError:
        raise ConfigurationError("this is no URL") from None
    # Taken apart by hand: urlunsplit changes what it does not understand.
    rest, hash_, fragment = url.partition("#")
    start, _, query = rest.partition("?")
    found: list[str] = []
    kept: list[str] = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name) == _PARAMETER:
            found.append(unquote_plus(value))
        else:
            kept.append(pair)
    if not found:
        return url, None
    token = found[0]
    if len(found) > 1 or not token.isprintable() or not token.strip() or len(token) > _LONGEST:
        raise AuthRejected(
            "the URL's one-time token is malformed", status=400, code="MALFORMED_ONE_TIME_TOKEN"
        )
    return f"{start}{'?' if kept else ''}{'&'.join(kept)}{hash_}{fragment}", token
