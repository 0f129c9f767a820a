"""Keeps secrets out of the logs of the HTTP stack.

httpcore logs response headers at DEBUG, Set-Cookie and set-auth-jwt among them (encode/httpx
#2760). The filter is installed on its loggers when the first client is made.
"""

from __future__ import annotations

import logging
import re

__all__ = ["RedactSecrets", "redact_transport_logs"]

_HEADERS = (
    r"(?:set-)?(?:better-auth-)?cookie2?|(?:proxy-)?authorization|set-auth-token|set-auth-jwt"
)
#: ``(b'Set-Cookie', b'...')`` as httpcore prints header lists, with either quote.
_PAIR = re.compile(
    rf"""(b?['"](?:{_HEADERS})['"],\s*b?)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.IGNORECASE
)
_LOGGERS = ("httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpx")


class RedactSecrets(logging.Filter):
    """Replaces the values of headers that carry secrets by ``'[redacted]'``."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        redacted = _PAIR.sub(r"\1'[redacted]'", message)
        if redacted != message:
            record.msg, record.args = redacted, None
        return True


_FILTER = RedactSecrets()


def redact_transport_logs() -> None:
    """Install the filter. Harmless to call again."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
