"""Reads a response's body, and no more of it than there may be."""

from __future__ import annotations

import httpx

from ..errors import AuthUnavailable

__all__ = ["ACCEPT_ENCODING", "read_body"]

#: What may be decoded: with these a chunk of 64 KiB grows to 64 MiB at most. Others, or several on
#: top of each other, would grow a thousandfold more before anything could be counted.
_ENCODINGS = ("", "identity", "gzip", "deflate")
ACCEPT_ENCODING = "gzip, deflate"


async def read_body(response: httpx.Response, label: str, *, largest: int, what: str) -> bytes:
    """The decoded body of a streamed response.

    :param label: the request, for the error.
    :param largest: in bytes.
    :param what: what it is that may be too large: "the answer".
    :raises AuthUnavailable: it is larger, or compressed in another way than was asked for.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise AuthUnavailable(f"{what} is compressed as it may not be", request=label)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > largest:
            raise AuthUnavailable(f"{what} is too large", request=label)
    return bytes(body)
