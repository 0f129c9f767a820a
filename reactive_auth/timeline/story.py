"""Why somebody was signed out, told from what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from .marks import Mark

__all__ = ["why_signed_out"]


def why_signed_out(marks: Sequence[Mark]) -> str:
    """What ended the last session, in words."""
    ends = [
        index
        for index in range(1, len(marks))
        if marks[index].row == "session"
        and not marks[index].session
        and marks[index].text.startswith(("signed out", "expired"))
    ]
    sessions = [mark for mark in marks if mark.row == "session"]
    if not sessions:
        return "Nothing was recorded."
    now = sessions[-1]
    if now.session:
        ended = f" The session before it ended at {marks[ends[-1]].at:.1f} s." if ends else ""
        return f"Nobody was: session {now.session} stands.{ended}"
    if now.text.startswith("unknown"):
        return "Nobody has been signed out: the server has not said yet whether there is a session."
    end = next((marks[index] for index in reversed(ends)), now)
    before = [mark for mark in marks if mark.at <= end.at and mark is not end]
    session = next((m.session for m in reversed(before) if m.row == "session" and m.session), "")
    who = f"Session {session}" if session else "There was no session, and that"
    return f"{who} {_cause(end, before, marks)} ({end.at:.1f} s after recording began)."


def _cause(end: Mark, before: Sequence[Mark], marks: Sequence[Mark]) -> str:
    if end.text.startswith("expired"):
        return "reached its end without being renewed"
    # An own sign-out is shown before any request is made for it.
    after = [mark for mark in marks if mark.at >= end.at and mark.phase == "started"]
    if after and "/sign-out" in after[0].text and after[0].at - end.at < 1.0:
        return "was ended by a sign-out here"
    answers = [mark for mark in before if mark.phase == "answered"]
    if not answers:
        return "was ended by its client, without a request"
    last = answers[-1].text
    if "/get-session" in last:
        return f"was said by the server not to exist ({last}): revoked elsewhere, or expired there"
    if answers[-1].row == "fetch":
        return f"was refused a token by the server ({last}): revoked elsewhere, or expired there"
    return f"was ended by the answer to {last.removesuffix(' answered 200')}"
