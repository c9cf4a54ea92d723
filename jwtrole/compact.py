"""The strict reading of a compact JSON Web Token, before any key is looked at.

RFC 7515 (JWS), RFC 7519 (JWT), RFC 8259 (JSON) and RFC 8725 (best current practice).
Where these leave a reader room to be lenient, two readers may see two tokens in one:
whatever can be read in two ways is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jwtrole.errors import TokenRejected
from jwtrole.strict import Malformed, decode_part, json_object, key_id

__all__ = [
    "MAX_TOKEN_BYTES",
    "Compact",
    "encode",
    "parse",
]

#: The longest token that is looked at, in bytes.
MAX_TOKEN_BYTES = 16 * 1024

# The last second of the year 9999; milliseconds by mistake are far beyond it.
_LAST_SECOND = 253_402_300_799

_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
# A key out of the token itself, or a change of the rules of reading (RFC 8725, 3.10).
_REFUSED = ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Compact:
    """Be a token whose form is right and whose signature nobody has checked yet.

    Args:
        header: The JOSE header (RFC 7515, section 4).
        claims: The claims (RFC 7519, section 4).
        alg: The header's algorithm.
        kid: The header's key id, where it has one.
        issuer: The ``iss`` claim.
        signing_input: The exact bytes that were signed.
        signature: The signature's bytes.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    alg: str
    kid: str | None
    issuer: str
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "<Compact, not verified>"


def encode(token: object) -> bytes:
    """Return the bytes of a token that is a string of ASCII within the limit.

    Raises:
        TokenRejected: It is not.
    """
    if not isinstance(token, str):
        msg = f"A token is a string, not {type(token).__name__}."
        raise TokenRejected(msg)
    if len(token) > MAX_TOKEN_BYTES:
        msg = (
            f"The token is over {MAX_TOKEN_BYTES} bytes: have the issuer put less "
            "into it."
        )
        raise TokenRejected(msg)
    if not token.isascii():
        msg = "The token holds a character outside ASCII (RFC 7515, section 7.1)."
        raise TokenRejected(msg)
    return token.encode("ascii")


def parse(token: str) -> Compact:
    """Read a compact token strictly; nothing of it is verified yet.

    Raises:
        TokenRejected: Its form, header or claims are wrong.
    """
    parts = encode(token).decode("ascii").split(".")
    try:
        return _read(parts)
    except Malformed as wrong:
        msg = f"The token {wrong}."
    raise TokenRejected(msg)


def _read(parts: list[str]) -> Compact:
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004  header, claims, signature
        msg = "has not three parts joined by dots, each non-empty (RFC 7515, 7.1)"
        raise Malformed(msg)
    header_json, claims_json, signature = map(decode_part, parts)
    header = json_object(header_json)
    alg, kid = _check_header(header)
    claims = json_object(claims_json)
    return Compact(
        header=header,
        claims=claims,
        alg=alg,
        kid=kid,
        issuer=_check_claims(claims),
        signing_input=f"{parts[0]}.{parts[1]}".encode("ascii"),
        signature=signature,
    )


def _check_header(header: dict[str, Any]) -> tuple[str, str | None]:
    for name in _REFUSED:
        if name in header:
            msg = f"has the header {name!r}, which is never accepted (RFC 8725, 3.10)"
            raise Malformed(msg)
    alg = header.get("alg")
    if not isinstance(alg, str):
        msg = "has no string 'alg' in its header (RFC 7515, section 4.1.1)"
        raise Malformed(msg)
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        msg = "has a 'typ' other than JWT and at+jwt (RFC 8725, section 3.11)"
        raise Malformed(msg)
    return alg, _check_kid(header)


def _check_kid(header: dict[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    return key_id(header["kid"])


def _check_claims(claims: dict[str, Any]) -> str:
    if "exp" not in claims:
        msg = "has no 'exp' claim: have the issuer limit its life"
        raise Malformed(msg)
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _is_date(claims[name]):
            msg = (
                f"has a claim {name!r} that is no number of seconds since 1970, up "
                "to the year 9999 (RFC 7519, section 2)"
            )
            raise Malformed(msg)
    for name in ("sub", "jti"):
        if name in claims and not isinstance(claims[name], str):
            msg = f"has a claim {name!r} that is no string (RFC 7519, section 4.1)"
            raise Malformed(msg)
    _check_audience(claims.get("aud"))
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        msg = "has no 'iss' claim that is a non-empty string"
        raise Malformed(msg)
    return issuer


def _is_date(value: object) -> bool:
    # In Python a bool is an int; in JSON it is no number.
    return type(value) in (int, float) and 0 <= value <= _LAST_SECOND  # type: ignore[operator]


def _check_audience(audience: object) -> None:
    names = audience if isinstance(audience, list) else [audience]
    if not names or not all(isinstance(name, str) for name in names):
        msg = "has no 'aud' claim that is a string or an array of strings"
        raise Malformed(msg)
