"""Bearer tokens in HTTP: where a token stands, and how a request is refused.

RFC 6750, RFC 9110. The one answer of every middleware, as data: nothing is sent here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwtrole.errors import (
    JWTRoleError,
    KeysUnavailable,
    NoIdentity,
    RoleDenied,
    TokenError,
    TokenRejected,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Refusal", "bearer_token", "refusal"]

# The scheme is a token of RFC 9110, section 5.6.2: "Bearers" is another one.
_SCHEME = re.compile(r"bearer(?![\w!#$%&'*+.^`|~-])", re.IGNORECASE | re.ASCII)
# RFC 6750, section 2.1.
_CREDENTIALS = re.compile(r" +([A-Za-z0-9._~+/-]+=*)")
# RFC 6750, section 3: what stands in no error_description.
_NOT_SHOWN = re.compile(r"[^ !#-\[\]-~]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Be the answer to a request that is refused.

    Args:
        status: The HTTP status.
        headers: Names in lower case and values, all ASCII.
        body: A JSON object of ``error`` and ``detail``.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def bearer_token(values: Sequence[str]) -> str | None:
    """Return the token of a request.

    Args:
        values: The values of all its ``Authorization`` headers.

    Returns:
        The token, or ``None`` where there is no such header or another scheme.

    Raises:
        TokenRejected: There are several headers, or what follows ``Bearer`` is no
            token.
    """
    if len(values) > 1:
        msg = "The request has several Authorization headers: send one."
        raise TokenRejected(msg)
    value = values[0].strip(" \t") if values else ""
    scheme = _SCHEME.match(value)
    if scheme is None:
        return None
    credentials = _CREDENTIALS.fullmatch(value, scheme.end())
    if credentials is None:
        msg = "The Authorization header holds no token: send Bearer, a space, it."
        raise TokenRejected(msg)
    return credentials[1]


def refusal(error: JWTRoleError) -> Refusal:
    """Return the answer to a request that failed with an error (RFC 6750, section 3).

    It tells a client what is wrong with its token and nothing about the application:
    the message of an error that is the application's own stays in the log.
    """
    match error:
        case TokenError():
            shown = _NOT_SHOWN.sub("?", str(error).replace('"', "'"))
            challenge = f'Bearer error="invalid_token", error_description="{shown}"'
            return _answer(error, "invalid_token", shown, challenge)
        case NoIdentity():
            detail = "The request needs a bearer token."
            return _answer(error, "unauthorized", detail, "Bearer")
        case RoleDenied():
            challenge = 'Bearer error="insufficient_scope"'
            detail = "The token names no role that is allowed here."
            return _answer(error, "insufficient_scope", detail, challenge)
        case KeysUnavailable():
            detail = "The issuer's keys cannot be had right now."
            return _answer(error, "temporarily_unavailable", detail)
    return _answer(error, "server_error", "The request could not be served.")


def _answer(
    error: JWTRoleError, code: str, detail: str, challenge: str | None = None
) -> Refusal:
    headers: tuple[tuple[str, str], ...] = ()
    if challenge is not None:
        headers = (("www-authenticate", challenge),)
    if isinstance(error, KeysUnavailable):
        headers = (("retry-after", str(error.retry_after)),)
    body = json.dumps({"error": code, "detail": detail}).encode("ascii")
    common = (
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    )
    return Refusal(error.status, (*headers, *common), body)
