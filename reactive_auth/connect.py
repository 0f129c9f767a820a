"""The front door: a provider over a BetterAuthClient."""

from __future__ import annotations

from typing import Any, Unpack, cast

from .client import BetterAuthClient, ClientOptions
from .errors import ConfigurationError
from .provider import AuthProvider, ProviderOptions
from .secrecy import discreet_call

__all__ = ["ConnectOptions", "connect", "split_options"]


class ConnectOptions(ClientOptions, ProviderOptions, total=False):
    """Keyword options of :func:`connect`: those of the client and those of the provider."""

    initial_token: str


@discreet_call
def connect(url: str, **options: Unpack[ConnectOptions]) -> AuthProvider[BetterAuthClient]:
    """An AuthProvider over a BetterAuthClient that closes with it. Use with ``async with``, or
    close it with ``aclose()``.

    Takes the options of :class:`BetterAuthClient` and of :class:`AuthProvider`. Raises
    ConfigurationError for arguments that can never work.
    """
    for_client, for_provider = split_options(options)
    client = BetterAuthClient(url, **for_client)
    return AuthProvider(client, owns_client=True, **for_provider)


def split_options(options: ConnectOptions) -> tuple[ClientOptions, Any]:
    """Whose options are whose; ``clock`` and ``backoff`` are for both."""
    known = ConnectOptions.__annotations__
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"unknown option {name!r}; there are {', '.join(sorted(known))}"
            )
    client = {k: v for k, v in options.items() if k in ClientOptions.__annotations__}
    provider = {
        k: v
        for k, v in options.items()
        if k in ProviderOptions.__annotations__ or k == "initial_token"
    }
    return cast("ClientOptions", client), provider
