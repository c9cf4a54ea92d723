"""The one decision: which statements must run before this one?

No input, no output: adapters ask, drivers send. What is wanted, what this client put
on since BEGIN, what the server reports and the state of the transaction go in; the
statements come out, or an error that keeps the user's statement from running.
"""

from __future__ import annotations

import enum
import itertools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jwtrole import role_settings
from jwtrole.context import UNSET, Unset
from jwtrole.errors import IdentityChanged, NoIdentity, TokenExpired
from jwtrole.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwtrole.role_settings import Settings
    from jwtrole.tickets import Tickets

__all__ = [
    "Nobody",
    "Statement",
    "TransactionState",
    "decide",
    "preamble",
    "sentinel",
    "wanted",
]

Kind = Literal["plain", "login", "resume", "anonymous"]

# A sentinel fits into application_name (NAMEDATALEN - 1 bytes).
_SENTINEL_BYTES = 63


class TransactionState(enum.Enum):
    """Say where a connection stands, as the server last told."""

    IDLE = "idle"
    OPEN = "open"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Nobody:
    """Stand in for an identity where tests run outside any request.

    Args:
        role: The role statements run as; no claims come with it.
    """

    role: str

    @property
    def fingerprint(self) -> str:
        """Return what tells it from every identity."""
        return "nobody"


@dataclass(frozen=True, slots=True)
class Statement:
    """Be one statement to send, its values bound and never part of the text.

    Args:
        sql: The text, its parameters ``$1``, ``$2``, ... each used once, in order.
        parameters: Their values.
        kind: ``"plain"``, or what is asked of a database that verifies tokens itself.
            ``"login"`` answers with a row whose last columns are ticket and expiry
            (seconds since the epoch); ``"resume"`` may be refused and repeated with a
            login; ``"anonymous"`` is for who has no token.
    """

    sql: str
    parameters: tuple[str, ...] = ()
    kind: Kind = "plain"

    def with_percent(self) -> str:
        """Return the text for drivers whose placeholder is ``%s``."""
        return re.sub(r"\$\d+", "%s", self.sql)

    def __repr__(self) -> str:
        return f"<Statement {self.sql!r}>"


# A role may be left over, session-wide, from SQL that was injected: nobody first, so
# that the login's own right to call the next function is what counts.
_NONE = Statement("SELECT pg_catalog.set_config('role', 'none', true)")

_LOGIN = (
    "SELECT pg_catalog.set_config('application_name', $1, true),"
    " pg_catalog.set_config('role', l.role, true){settings}, l.ticket,"
    " extract(epoch FROM l.expires)::float8 FROM jwtrole.login(${last}) AS l"
)
_RESUME = (
    "SELECT pg_catalog.set_config('application_name', $1, true),"
    " pg_catalog.set_config('role', jwtrole.resume($2), true)"
)
_ANONYMOUS = (
    "SELECT pg_catalog.set_config('application_name', $1, true),"
    " pg_catalog.set_config('role', jwtrole.anonymous(), true)"
)

_PUT_ON = (
    "SELECT pg_catalog.set_config('jwtrole.role',"
    " pg_catalog.set_config('role', $1, true), true),"
    " pg_catalog.set_config('request.jwt.claims',"
    " pg_catalog.set_config('jwtrole.claims', $2, true), true),"
    " pg_catalog.set_config('application_name', $3, true)"
)

# What is deferred belongs to the identity that wrote it: checked before another comes.
# An open cursor reads the claims anew at each FETCH: closed before they change.
_SETTLE = (
    Statement("CLOSE ALL"),
    Statement("SET CONSTRAINTS ALL IMMEDIATE"),
    Statement("SET CONSTRAINTS ALL DEFERRED"),
)


def sentinel(who: Identity | Nobody, app_name: str) -> str:
    """Return the application name of a transaction: application, role, keyed hash.

    PostgreSQL reports it back unasked, which tells the client what is in force. At
    most 63 bytes of printable ASCII; of a long role the end is cut, never the hash.
    """
    tail = f":{who.fingerprint}"
    head = f"{app_name[:20]}:{who.role}"
    ascii_head = "".join(c if " " <= c <= "~" else "?" for c in head)
    return ascii_head[: _SENTINEL_BYTES - len(tail)] + tail


def preamble(
    who: Identity | Nobody,
    app_name: str,
    tickets: Tickets | None = None,
    settings: Settings | None = None,
) -> tuple[Statement, ...]:
    """Return the statements that put an identity on, for this transaction alone.

    Args:
        who: The identity, or who stands in for it in tests.
        app_name: The application's name in the sentinel.
        tickets: What the database has handed out, where it verifies tokens itself;
            ``None`` where the application is trusted to.
        settings: The settings of each role that has some, which go with the role.
    """
    own = _own(who, settings)
    if tickets is not None and isinstance(who, Identity):
        return (_NONE, _asked(who, sentinel(who, app_name), tickets, own))
    claims = who.claims_json if isinstance(who, Identity) else ""
    return (_with(_PUT_ON, (who.role, claims, sentinel(who, app_name)), own),)


def _own(who: Identity | Nobody, settings: Settings | None) -> Mapping[str, str]:
    # Who stands in for an identity in tests is the owner: without any limit.
    return (settings or {}).get(who.role, {}) if isinstance(who, Identity) else {}


def _with(
    sql: str, parameters: tuple[str, ...], own: Mapping[str, str], kind: Kind = "plain"
) -> Statement:
    text = sql + role_settings.columns(own, len(parameters) + 1)
    return Statement(text, (*parameters, *itertools.chain(*own.items())), kind)


def _asked(
    who: Identity, name: str, tickets: Tickets, own: Mapping[str, str]
) -> Statement:
    if who.token is None:
        if who.claims:
            msg = (
                "An identity without a token cannot act where the database verifies "
                "tokens itself: act as what JWTRole.verify() returns."
            )
            raise NoIdentity(msg)
        return _with(_ANONYMOUS, (name,), own, "anonymous")
    ticket = tickets.get(who)
    if ticket is not None:
        return _with(_RESUME, (name, ticket), own, "resume")
    # The token comes last in the text, hence among the parameters.
    text = _LOGIN.format(settings=role_settings.columns(own, 2), last=2 + 2 * len(own))
    pairs = itertools.chain(*own.items())
    return Statement(text, (name, *pairs, who.token), "login")


def wanted(
    acting: Identity | Unset | None,
    *,
    anonymous: Identity | None,
    outside: Nobody | None = None,
) -> Identity | Nobody:
    """Return who the next statement must run as.

    Args:
        acting: What :func:`jwtrole.context.acting` says.
        anonymous: The identity without a token, where one is configured.
        outside: Who runs what stands outside any request; tests alone have one.

    Raises:
        NoIdentity: Nobody is acting and no anonymous role is configured.
    """
    if isinstance(acting, Identity):
        return acting
    if acting is UNSET and outside is not None:
        return outside
    if anonymous is not None:
        return anonymous
    msg = (
        "Nobody is acting and no anonymous role is configured, so the statement was "
        "not sent: run it inside acting_as(identity), send a bearer token with the "
        "request, or use the owner's own connection for work without a user."
    )
    raise NoIdentity(msg)


def decide(  # noqa: PLR0913  six facts are what the decision rests on
    state: TransactionState,
    want: Identity | Nobody,
    *,
    worn: Identity | Nobody | None,
    reported: str,
    app_name: str,
    may_change: bool = False,
    tickets: Tickets | None = None,
    settings: Settings | None = None,
) -> tuple[Statement, ...]:
    """Return the statements that must precede the user's, none where all is in force.

    Args:
        state: Where the connection stands.
        want: Who the next statement must run as.
        worn: Who this client last put on, since BEGIN or in a transaction before it.
        reported: The ``application_name`` the server last reported.
        app_name: The application's name in the sentinel.
        may_change: Whether another identity may follow inside one transaction; for
            tests, where several requests share one.
        tickets: What the database has handed out, where it verifies tokens itself.
        settings: The settings of each role that has some.

    Raises:
        IdentityChanged: Another identity is in force in the open transaction.
        TokenExpired: The token's time was over before the transaction began.
    """
    if state is TransactionState.FAILED:
        # Only ROLLBACK works now, and the server says so better than we could.
        return ()
    if worn is None or state is TransactionState.IDLE:
        _refuse_expired(want)
        return preamble(want, app_name, tickets, settings)
    if worn == want:
        # Undone by ROLLBACK TO, COMMIT AND CHAIN and the like: put on again.
        undone = reported != sentinel(want, app_name)
        return preamble(want, app_name, tickets, settings) if undone else ()
    if not may_change:
        msg = (
            f"The open transaction runs as {worn.role!r} and another identity, "
            f"{want.role!r}, is acting now: commit or roll back before it changes, or "
            "use another connection for the other identity."
        )
        raise IdentityChanged(msg, in_force=worn.role, wanted=want.role)
    _refuse_expired(want)
    return (
        *_SETTLE,
        *map(Statement, role_settings.taken_off(_own(worn, settings))),
        *preamble(want, app_name, tickets, settings),
    )


def _refuse_expired(who: Identity | Nobody) -> None:
    if (
        isinstance(who, Identity)
        and who.expires is not None
        and time.time() > who.expires
    ):
        msg = (
            "The token expired before the transaction began, so nothing was sent: "
            "verify a fresh token and act as the identity it gives."
        )
        raise TokenExpired(msg, issuer=who.issuer)
