"""Keeps secrets out of the logs of the HTTP stack.

What others log by themselves (httpx 0.28, httpcore 1.0, hpack 4.2, websockets 17, measured):

==============================  ================================================================
httpx, INFO                     every URL with its query
httpcore, DEBUG                 response headers, Set-Cookie and set-auth-jwt among them
                                (encode/httpx #2760)
hpack, DEBUG                    headers of HTTP/2 requests and responses, plain and encoded
http.cookiejar, DEBUG           every cookie, if ``http.cookiejar.debug`` is set
websockets, DEBUG               headers of the handshake and the beginning and end of each frame
==============================  ================================================================

The filter is installed on the loggers of the first four, and of httpx2's, when a client is made.
For others there is :func:`redact_logs`, or the filter on a handler of your own: a logger's filter
sees what is logged to that very logger, and not what its children log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache

__all__ = ["RedactSecrets", "redact_logs", "redact_transport_logs"]

_HEADERS = (
    r"(?:set-)?(?:better-auth-)?cookie2?|(?:proxy-)?authorization|set-auth-token|set-auth-jwt"
)
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_NAMES = r"token|code|secret|passw|otp|ott|key|sig|auth|cred|session|state|jwt"


@cache  # compiled when the first line is logged
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    return (
        # (b'Set-Cookie', b'...') as httpcore prints header lists; hpack has = and : as well.
        (
            re.compile(rf"""(b?['"](?:{_HEADERS})['"]\s*[,=:]\s*b?){_QUOTED}""", re.IGNORECASE),
            r"\1'[redacted]'",
        ),
        # A header as it is on the wire, which httpcore quotes where it is malformed.
        (
            re.compile(rf"((?<![\w-])(?:{_HEADERS}): *)[^\r\n'\"]+", re.IGNORECASE),
            r"\1[redacted]",
        ),
        # A query, or a form.
        (
            re.compile(rf"""([?&;][^=&\s"']*(?:{_NAMES})[^=&\s"']*=)[^&\s"'#]+""", re.IGNORECASE),
            r"\1[redacted]",
        ),
        # http.cookiejar's, if its debug flag is set.
        (re.compile(r"(\b(?:checking|setting) cookie:? +)\S.*"), r"\1[redacted]"),
        # hpack's blocks, which anybody can decode.
        (re.compile(r"^((?:Encoded header block to|Decoding) )\S.*", re.DOTALL), r"\1[redacted]"),
        # websockets' frames: it cuts the middle out, so that no pattern of a token fits.
        (re.compile(r"^([<>] (?:TEXT|BINARY|CONT) ).*(\[.*\])$", re.DOTALL), r"\1[redacted] \2"),
        (re.compile(r"(\bBearer )[\w.~+/=-]+", re.IGNORECASE), r"\1[redacted]"),
        (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[redacted]"),
    )


_TRANSPORTS = (
    *(
        f"{library}{generation}{part}"
        for generation in ("", "2")
        for library, part in (
            ("httpx", ""),
            ("httpcore", ""),
            ("httpcore", ".connection"),
            ("httpcore", ".http11"),
            ("httpcore", ".http2"),
            ("httpcore", ".proxy"),
            ("httpcore", ".socks"),
        )
    ),
    *("hpack", "hpack.hpack", "hpack.table", "http.cookiejar"),
)


class RedactSecrets(logging.Filter):
    """Replaces by ``[redacted]`` the values of headers and query parameters that carry secrets,
    JWTs and bearer tokens. It lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # a malformed record is the handler's to report
            return True
        redacted = message
        for pattern, replacement in _rules():
            redacted = pattern.sub(replacement, redacted)
        if redacted != message:
            record.msg, record.args = redacted, None
        return True


_FILTER = RedactSecrets()


def redact_transport_logs() -> None:
    """Install the filter on the loggers of the HTTP stack. Harmless to call again."""
    for name in _TRANSPORTS:
        logging.getLogger(name).addFilter(_FILTER)


def redact_logs(*names: str) -> Callable[[], None]:
    """Install the filter on further loggers, and on those of their children that there are:
    ``redact_logs("websockets.client")``. Returns a function that takes it off again."""
    known = set(logging.Logger.manager.loggerDict)
    chosen = {each for name in names for each in known if each.startswith(f"{name}.")} | set(names)
    loggers = [logging.getLogger(name) for name in sorted(chosen)]
    for logger in loggers:
        logger.addFilter(_FILTER)

    def remove() -> None:
        for logger in loggers:
            if logger.name not in _TRANSPORTS:
                logger.removeFilter(_FILTER)

    return remove
