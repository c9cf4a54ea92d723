"""What ends tickets and tokens before their time: another secret, and the deny list.

For databases that verify tokens themselves. Nothing is sent here: the owner runs what
is returned.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass

from jwtrole.begin import Statement
from jwtrole.errors import ConfigurationError

__all__ = ["Change", "allow", "deny", "rotate_seal"]

_ROTATED = (
    "The seal has a new secret: every ticket has ended, and clients log in again by "
    "themselves. A transaction that was open has nobody acting any more (JW006): run "
    "it again."
)


@dataclass(frozen=True, slots=True)
class Change:
    """Be a change of what a database trusts.

    Args:
        statements: What the owner runs, in one transaction.
        done: What has happened then, for people; no value of a claim is in it.
    """

    statements: tuple[Statement, ...]
    done: str


def rotate_seal() -> Change:
    """Return what gives the seal another secret, which ends every ticket.

    A copy of a database accepts no token before it.
    """
    return Change((Statement("SELECT jwtrole.rotate_seal()"),), _ROTATED)


def deny(
    issuer: str,
    *,
    jti: str | None = None,
    sub: str | None = None,
    until: str | None = None,
) -> Change:
    """Return what refuses a token, or everybody's tokens of one subject.

    Args:
        issuer: The issuer's name, exactly as its tokens have it in ``iss``.
        jti: The token's id (RFC 7519, section 4.1.7).
        sub: Instead, a subject of that issuer (section 4.1.2).
        until: A date and time in ISO 8601 with its offset from UTC; for ever where
            it is left out.

    Raises:
        ConfigurationError: Not one of ``jti`` and ``sub`` is given, or it is empty;
            ``until`` is no such time, or is over.
    """
    kind, value = _one(jti=jti, sub=sub)
    if until is None:
        ends, statement = "", Statement(_call("deny", 3), (issuer, kind, value))
    else:
        moment = _moment(until).isoformat()
        ends = f" until {moment}"
        statement = Statement(_call("deny", 4), (issuer, kind, value, moment))
    done = (
        f"Tokens of {issuer!r} with that {kind} are refused from now on{ends}. The "
        "tickets of this issuer have ended; its other clients log in again by "
        "themselves."
    )
    return Change((statement,), done)


def allow(issuer: str, *, jti: str | None = None, sub: str | None = None) -> Change:
    """Return what takes a token or a subject off the deny list.

    Args:
        issuer: The issuer's name, exactly as its tokens have it in ``iss``.
        jti: The token's id.
        sub: Instead, a subject of that issuer.

    Raises:
        ConfigurationError: Not one of ``jti`` and ``sub`` is given, or it is empty.
    """
    kind, value = _one(jti=jti, sub=sub)
    done = f"The deny list does not name that {kind} of {issuer!r}, or no longer."
    return Change((Statement(_call("allow", 3), (issuer, kind, value)),), done)


def _call(function: str, count: int) -> str:
    marks = ", ".join(f"${n}" for n in range(1, count + 1))
    return f"SELECT jwtrole.{function}({marks})"


def _one(**values: str | None) -> tuple[str, str]:
    given = [(kind, value) for kind, value in values.items() if value is not None]
    if len(given) != 1:
        msg = "Name what the tokens have in common: either a jti or a sub."
        raise ConfigurationError(msg)
    kind, value = given[0]
    if not value:
        msg = f"The {kind} is empty, which is no token's: look it up in the token."
        raise ConfigurationError(msg)
    return kind, value


def _moment(text: str) -> dt.datetime:
    with contextlib.suppress(ValueError):
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return _to_come(moment)
    msg = (
        f"until is {text!r} and not a date and time with its offset from UTC: write "
        "it as in 2030-01-31T12:00:00+00:00 (ISO 8601)."
    )
    raise ConfigurationError(msg)


def _to_come(moment: dt.datetime) -> dt.datetime:
    if moment > dt.datetime.now(dt.UTC):
        return moment
    msg = (
        f"until is {moment.isoformat()}, which is over, so that nothing would be "
        "denied: give a moment to come."
    )
    raise ConfigurationError(msg)
