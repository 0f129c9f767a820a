"""Auth as parameters, for anything that binds to param: Panel in a notebook, hvPlot, HoloViews.

    who = AuthParams(auth)
    pn.pane.Str(who.param.headline)
    pn.bind(plot, who.param.user_email)

An app that Panel serves to many users has one for each browser: ``reactive_auth.ui.panel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

from reactivex import abc

from ..blocking import BlockingAuth
from ..errors import ConfigurationError
from ..extras import require
from ..models import AuthState, SessionStatus
from ..provider import AuthProvider
from .loops import post_here
from .page import fields
from .seam import Post, deliver

_param: Any = require("param", extra="panel")

if TYPE_CHECKING:
    from param import Parameterized
else:
    Parameterized = _param.Parameterized

__all__ = ["AuthParams"]


def _text(doc: str = "") -> str:
    """A parameter; for a type checker an attribute of this type."""
    return cast("str", _param.String("", doc=doc))


def _flag() -> bool:
    return cast("bool", _param.Boolean(False))


class AuthParams(Parameterized):
    """Who is signed in, as parameters that follow ``auth.state`` until :meth:`close` or its end.

    What watchers raise goes to whoever calls what ``post`` was given; the next change is still
    followed.

    :param auth: an AuthProvider, or what ``connect_blocking`` returns.
    :param post: the toolkit's; by default the event loop that runs here.
    :raises ConfigurationError: an argument that can never work, or no event loop runs here.
    """

    state = cast("AuthState", _param.ClassSelector(class_=AuthState, doc="All of it in one value."))
    status = cast("SessionStatus", _param.String("unknown"))
    is_loading = _flag()
    is_authenticated = _flag()
    is_refreshing = _flag()
    has_token = _flag()
    user_name = _text("Empty when nobody is signed in, as is the e-mail address.")
    user_email = _text()
    session_id = _text("The first eight characters of the session's id.")
    headline = _text("One line: who is signed in, or what is being waited for.")
    trouble = _text("Why the newest attempt to reach the server failed; empty when it did not.")

    def __init__(self, auth: AuthProvider[Any] | BlockingAuth, post: Post | None = None) -> None:
        if not isinstance(auth, (AuthProvider, BlockingAuth)):
            raise ConfigurationError("AuthParams needs an AuthProvider or a BlockingAuth")
        cast("Any", super()).__init__()
        self._shown: abc.DisposableBase = deliver(auth.state, self._show, post_here(post))

    def close(self) -> None:
        """Follow no more. May be called again."""
        self._shown.dispose()

    def _show(self, state: AuthState) -> None:
        cast("Any", self).param.update(**fields(state))  # all are set before anybody is told

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is live and cannot be pickled or copied")
