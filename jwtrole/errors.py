"""Every error the three packages raise, in one tree.

::

    JWTRoleError
    ├── ConfigurationError      a setting, a declaration or the server cannot work
    ├── TokenError              the token is no good                        (401)
    │   ├── TokenExpired        its time is over
    │   ├── TokenRejected       its form, signature or claims are wrong
    │   └── UnknownIssuer       nobody we trust issued it
    ├── KeysUnavailable         an issuer's keys cannot be had right now    (503)
    ├── RoleDenied              a good token names no allowed role          (403)
    ├── NoIdentity              a statement without anybody acting          (401)
    ├── IdentityChanged         another identity inside an open transaction
    └── DriftError              the database is not what was declared

    TrustWarning                the application is trusted, not the database

A message says what happened, with which value, and what to do next. It never holds
a token, a key, a secret, or a claim's value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole.difference import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwtrole.difference import Difference

__all__ = [
    "ConfigurationError",
    "DriftError",
    "IdentityChanged",
    "JWTRoleError",
    "KeysUnavailable",
    "NoIdentity",
    "RoleDenied",
    "TokenError",
    "TokenExpired",
    "TokenRejected",
    "TrustWarning",
    "UnknownIssuer",
]


class JWTRoleError(Exception):
    """Be the base of everything that is raised here."""

    #: The HTTP status a middleware answers with (RFC 9110).
    status: int = 500


class ConfigurationError(JWTRoleError):
    """Say that a setting, a declaration or the server cannot work as it is."""


class TokenError(JWTRoleError):
    """Say that a token is no good.

    Args:
        message: What is wrong and what to do next, without the token.
        issuer: The issuer the token claims, where it is one of the trusted ones.
        kid: The key id of the token's header, where it has one.
    """

    status = 401

    def __init__(
        self, message: str, *, issuer: str | None = None, kid: str | None = None
    ) -> None:
        super().__init__(message)
        #: The trusted issuer the token names, or ``None``.
        self.issuer = issuer
        #: The key id the token names, or ``None``.
        self.kid = kid


class TokenExpired(TokenError):
    """Say that the token's time is over (RFC 7519, section 4.1.4)."""


class TokenRejected(TokenError):
    """Say that the token's form, signature or claims are wrong."""


class UnknownIssuer(TokenError):
    """Say that no trusted issuer issued the token (RFC 7519, section 4.1.1)."""


class KeysUnavailable(JWTRoleError):
    """Say that the keys of an issuer cannot be had right now.

    Args:
        message: What failed and when it is tried again.
        issuer: The issuer whose keys are missing.
        retry_after: Seconds until another attempt makes sense.
    """

    status = 503

    def __init__(self, message: str, *, issuer: str, retry_after: int = 30) -> None:
        super().__init__(message)
        #: The issuer whose keys are missing.
        self.issuer = issuer
        #: Seconds until another attempt makes sense.
        self.retry_after = retry_after


class RoleDenied(JWTRoleError):
    """Say that a verified token names none of the allowed roles.

    Args:
        message: Which claim was read and what to do next, without its value.
        allowed: The roles a token may name.
    """

    status = 403

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        #: The roles a token may name.
        self.allowed: tuple[str, ...] = tuple(allowed)


class NoIdentity(JWTRoleError):
    """Say that a statement was about to run without anybody acting."""

    status = 401


class IdentityChanged(JWTRoleError):
    """Say that another identity is wanted inside an open transaction.

    Args:
        message: What to do next.
        in_force: The role the transaction began with.
        wanted: The role of the identity that is acting now.
    """

    def __init__(self, message: str, *, in_force: str, wanted: str) -> None:
        super().__init__(message)
        #: The role the transaction began with.
        self.in_force = in_force
        #: The role of the identity that is acting now.
        self.wanted = wanted


class DriftError(JWTRoleError):
    """Say that the database is not what was declared.

    Args:
        message: What to do next.
        differences: What differs, each with what repairs it; the message names them.
    """

    def __init__(self, message: str, *, differences: Sequence[Difference] = ()) -> None:
        text = as_text(differences)
        super().__init__(f"{message}\n{text}" if text else message)
        #: What differs.
        self.differences: tuple[Difference, ...] = tuple(differences)


class TrustWarning(UserWarning):
    """Say at start-up that injected SQL can become anybody: ``trust="application"``."""
