"""One target under atheris, in a process of its own: ``python -m tests.fuzz.harness TARGET``.

What follows the target is libFuzzer's: flags, and folders of inputs.
"""

from __future__ import annotations

import sys

from reactive_auth.extras import require

#: Whose branches guide the search.
_PACKAGES = ["reactive_auth", "jwt", "http.cookiejar", "email._parseaddr"]


def main() -> None:
    atheris = require("atheris", extra="fuzz")
    for name in [name for name in sys.modules if name.partition(".")[0] == "reactive_auth"]:
        del sys.modules[name]  # imported above, and without instruments
    with atheris.instrument_imports(include=_PACKAGES):
        import jwt  # noqa: F401  # the library imports it when it is used

        from .targets import TARGETS
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
