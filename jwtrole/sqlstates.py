"""What the database's own SQLSTATEs mean for the client."""

from __future__ import annotations

from jwtrole.errors import (
    ConfigurationError,
    JWTRoleError,
    NoIdentity,
    RoleDenied,
    TokenExpired,
    TokenRejected,
)

__all__ = ["TICKET_REFUSED", "error_of"]

#: A ticket that was refused or has expired: logging in anew may help.
TICKET_REFUSED = frozenset({"JW001", "JW002"})

_EXPIRED = "The database found the token's time over: verify a fresh one."
_REJECTED = (
    "The database rejected the token, whose form, signature or claims it does not "
    "trust: have it trust the same issuers and keys as the application, and compare "
    "their clocks. A copy of another database trusts nothing until its owner runs "
    "jwtrole.rotate_seal()."
)
_TICKET = (
    "The database no longer takes the ticket of this token, in the middle of a "
    "transaction, which is not begun anew: roll back and begin another."
)
_DENIED = (
    "The database maps the token to no role: have it map the same roles as the "
    "application."
)
_NOBODY = "The database has no anonymous role, so the statement was not sent."
_OLD = "The schema jwtrole of the database is too old: migrate it first."
_MISSING = (
    "The database does not verify tokens itself: install the schema jwtrole with "
    "trust='database' for this login."
)
_CLOSED = (
    "The database does not let this login ask it who is acting, or become what it was "
    "told: install the schema jwtrole with trust='database' for this login, and run "
    "`jwtrole bootstrap` as somebody with CREATEROLE."
)

_MEANING: dict[str | None, tuple[type[JWTRoleError], str]] = {
    "JW001": (TokenRejected, _TICKET),
    "JW002": (TokenExpired, _TICKET),
    "JW003": (TokenRejected, _REJECTED),
    "JW004": (TokenExpired, _EXPIRED),
    "JW005": (RoleDenied, _DENIED),
    "JW006": (NoIdentity, _NOBODY),
    "JW007": (ConfigurationError, _OLD),
    # undefined_function, invalid_schema_name
    "42883": (ConfigurationError, _MISSING),
    "3F000": (ConfigurationError, _MISSING),
}
# Where they were asked for something else than the role of the application's choice.
_ASKED: dict[tuple[str, str | None], tuple[type[JWTRoleError], str]] = {
    ("anonymous", "JW005"): (NoIdentity, _NOBODY),
    ("anonymous", "42501"): (ConfigurationError, _CLOSED),
    ("login", "42501"): (ConfigurationError, _CLOSED),
    ("resume", "42501"): (ConfigurationError, _CLOSED),
}
# What SET ROLE fails with: insufficient_privilege, invalid_parameter_value.
_ROLE: dict[str | None, str] = {
    "42501": "was not granted to the login role",
    "22023": "does not exist, or has a setting whose value makes no sense",
}


def error_of(sqlstate: str | None, role: str, kind: str) -> JWTRoleError | None:
    """Return what a failure of the preamble means, ``None`` where the driver knows.

    Args:
        sqlstate: The five characters of the SQLSTATE.
        role: The role that was to be put on.
        kind: What the preamble asked, as :class:`jwtrole.begin.Statement` names it.
    """
    found = _ASKED.get((kind, sqlstate), _MEANING.get(sqlstate))
    if found is not None:
        error, message = found
        return error(message)
    if sqlstate not in _ROLE:
        return None
    msg = (
        f"The role {role!r} {_ROLE[sqlstate]}, so the statement was not sent: name it "
        "among the roles, then run `jwtrole bootstrap` as somebody with CREATEROLE."
    )
    return ConfigurationError(msg)
