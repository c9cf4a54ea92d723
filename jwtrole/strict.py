"""The strict reading of what a token and a key are written in: base64url and JSON.

RFC 4648 (base64url), RFC 8259 (JSON), RFC 7493 (I-JSON). Whatever two readers could
read in two ways is refused. An error names the fault and never the text it stands in.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

__all__ = ["Malformed", "decode_part", "json_object", "key_id"]

_MAX_KID = 256
_MAX_DEPTH = 32
# Every number of so many characters, with an exponent of two digits, is a normal
# double: neither infinite nor rounded to zero. The database reads by the same rule.
_MAX_DIGITS = 200

_TOO_DEEP = f"holds JSON nested more than {_MAX_DEPTH} deep"

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_LONG_EXPONENT = re.compile(r"[eE][-+]?[0-9]{3}")
# PostgreSQL's text can hold neither a NUL nor half of a surrogate pair.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Control characters and line separators; the database knows no other tables.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Malformed(ValueError):
    """Say what is wrong with a text, without any of it; never leaves the package."""


def decode_part(part: str) -> bytes:
    """Decode base64url in its one canonical form, without padding.

    Raises:
        Malformed: Another character, padding, or stray bits at the end (RFC 7515,
            section 2; RFC 4648, section 3.5).
    """
    if _BASE64URL.fullmatch(part) and len(part) % 4 != 1:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") == part:
            return data
    msg = "holds what is no canonical base64url without padding (RFC 7515, section 2)"
    raise Malformed(msg)


def json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly (RFC 8259; I-JSON, RFC 7493).

    Raises:
        Malformed: It is no JSON object in UTF-8, repeats a key, is nested too deeply,
            or holds NaN, an infinity, a NUL character or half a surrogate pair.
    """
    problem = "holds no JSON object (RFC 7519, section 7.2)"
    found: object = None
    try:
        found = _DECODER.decode(data.decode("utf-8"))
    except Malformed:
        raise
    except RecursionError:
        problem = _TOO_DEEP
    except ValueError:
        problem = "holds no JSON text in UTF-8 (RFC 8259)"
    # Raised out here, so that the error drags no text of the token along.
    if not isinstance(found, dict):
        raise Malformed(problem)
    _check_contents(found)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "holds a JSON object with the same key twice (RFC 7519, section 4)"
        raise Malformed(msg)
    return found


def _refuse_constant(_name: str) -> float:
    msg = "holds NaN or an infinity, which is no JSON (RFC 8259, section 6)"
    raise Malformed(msg)


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        msg = f"holds a number of over {_MAX_DIGITS} digits"
        raise Malformed(msg)
    return int(text)


def _float(text: str) -> float:
    if len(text) > _MAX_DIGITS or _LONG_EXPONENT.search(text):
        msg = "holds a number too large or too fine for a double (RFC 7493, 2.2)"
        raise Malformed(msg)
    return float(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_int=_integer,
    parse_float=_float,
)


def _check_contents(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(_MAX_DEPTH):
        level = [inner for value in level for inner in _containers(value)]
        if not level:
            return
    raise Malformed(_TOO_DEEP)


def _containers(value: dict[str, Any] | list[Any]) -> list[Any]:
    """Return the objects and arrays within one, its strings checked."""
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    for inner in inside:
        if isinstance(inner, str) and _UNSTORABLE.search(inner):
            msg = "holds a string with a NUL or half a surrogate pair (RFC 7493, 2.1)"
            raise Malformed(msg)
    return [inner for inner in inside if isinstance(inner, dict | list)]


def key_id(kid: object) -> str:
    """Return a key id (RFC 7515, section 4.1.4) of a token or of a key.

    Raises:
        Malformed: It is no printable string of 1 to 256 characters.
    """
    if (
        isinstance(kid, str)
        and 0 < len(kid) <= _MAX_KID
        and not _UNPRINTABLE.search(kid)
    ):
        return kid
    msg = f"has a 'kid' that is no printable string of 1 to {_MAX_KID} characters"
    raise Malformed(msg)
