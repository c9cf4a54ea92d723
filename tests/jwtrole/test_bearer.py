"""Bearer tokens in HTTP: where one stands, and how a request is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jwtrole import errors
from jwtrole.bearer import Refusal, bearer_token, refusal
from jwtrole.errors import TokenRejected


@pytest.mark.parametrize(
    "value",
    [
        "Bearer a.b.c",
        "bearer a.b.c",
        "BEARER a.b.c",
        "Bearer   a.b.c",
        " Bearer a.b.c\t",
    ],
)
def test_a_token_is_found(value: str) -> None:
    """The scheme has no case, and may be followed by several spaces."""
    assert bearer_token([value]) == "a.b.c"


def test_every_character_of_a_token_is_read() -> None:
    """The whole alphabet of RFC 6750 is accepted; the token's form is not checked."""
    assert bearer_token(["Bearer aZ09-._~+/=="]) == "aZ09-._~+/=="


def test_no_header_is_no_token() -> None:
    """A request without the header is one without a token."""
    assert bearer_token([]) is None


@pytest.mark.parametrize(
    "value",
    ["Basic YTpi", "", "Bearers x", "Bearer-x y", "bear er", "Bearer_ x", "DPoP x"],
)
def test_another_scheme_is_no_token(value: str) -> None:
    """Other schemes are somebody else's."""
    assert bearer_token([value]) is None


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer a", "Bearer a"],
        ["Bearer a", "Basic b"],
        ["Basic b", "Bearer a"],
        ["", ""],
    ],
)
def test_several_headers_are_refused(values: list[str]) -> None:
    """Two readers could take two tokens out of one request."""
    with pytest.raises(TokenRejected, match="several Authorization headers"):
        bearer_token(values)


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "bearer    "])
def test_an_empty_token_is_refused(value: str) -> None:
    """Who says Bearer has to say more; it is not taken for no token."""
    with pytest.raises(TokenRejected, match="holds no token"):
        bearer_token([value])


@pytest.mark.parametrize(
    "value",
    [
        "Bearer a b",
        "Bearer a, Bearer b",
        "Bearer a,b",
        "Bearer\ta",
        "Bearer:a",
        "Bearer,a",
        'Bearer "a"',
        "Bearer a\nb",
        "Bearer a\n",
        "Bearer a\0",
        "Bearer =",
        "Bearer a=b",
        "Bearer \u00e4",
        "Bearer\u00a0a",
    ],
)
def test_what_is_no_token_is_refused(value: str) -> None:
    """Spaces, commas, controls and others stand in no token."""
    with pytest.raises(TokenRejected, match="holds no token") as caught:
        bearer_token([value])
    assert value not in str(caught.value)


def parts(answer: Refusal) -> tuple[dict[str, str], dict[str, Any]]:
    """Return headers and body, having checked what each answer has."""
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers)
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["content-length"] == str(len(answer.body))
    for name, value in headers.items():
        assert name == name.lower()
        assert re.fullmatch("[ -~]+", value)
    body = json.loads(answer.body)
    assert set(body) == {"error", "detail"}
    return headers, body


@pytest.mark.parametrize(
    "kind", [errors.TokenExpired, errors.TokenRejected, errors.UnknownIssuer]
)
def test_a_bad_token_is_a_401(kind: type[errors.TokenError]) -> None:
    """The challenge says that the token is invalid, and why."""
    answer = refusal(kind("The token has expired: get a new one."))
    headers, body = parts(answer)
    assert answer.status == 401
    assert headers["www-authenticate"] == (
        'Bearer error="invalid_token", '
        'error_description="The token has expired: get a new one."'
    )
    assert body["error"] == "invalid_token"
    assert body["detail"] == "The token has expired: get a new one."


def test_a_description_ends_no_header() -> None:
    """Quotes, backslashes, line breaks and letters beyond ASCII are replaced."""
    answer = refusal(TokenRejected('a"b\\c\r\nX-Evil: 1\u00e4\0'))
    headers, _ = parts(answer)
    assert headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="a\'b?c??X-Evil: 1??"'
    )


def test_a_missing_token_is_a_401() -> None:
    """Without a token the challenge holds no error (RFC 6750, section 3.1)."""
    answer = refusal(errors.NoIdentity("call acting_as"))
    headers, body = parts(answer)
    assert answer.status == 401
    assert headers["www-authenticate"] == "Bearer"
    assert body == {
        "error": "unauthorized",
        "detail": "The request needs a bearer token.",
    }


def test_a_denied_role_is_a_403() -> None:
    """The client learns that its token is not enough, and no names of roles."""
    answer = refusal(errors.RoleDenied("x", allowed=["manager"]))
    headers, body = parts(answer)
    assert answer.status == 403
    assert headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    assert body["error"] == "insufficient_scope"
    assert b"manager" not in answer.body


def test_missing_keys_are_a_503() -> None:
    """The client learns when to come back, and not where the keys are."""
    error = errors.KeysUnavailable("at http://10.0.0.1", issuer="i", retry_after=7)
    answer = refusal(error)
    headers, body = parts(answer)
    assert answer.status == 503
    assert headers["retry-after"] == "7"
    assert "www-authenticate" not in headers
    assert body["error"] == "temporarily_unavailable"
    assert b"10.0.0.1" not in answer.body


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigurationError("hunter2"),
        errors.IdentityChanged("hunter2", in_force="a", wanted="b"),
        errors.DriftError("hunter2"),
    ],
)
def test_an_error_of_the_application_is_a_500(error: errors.JWTRoleError) -> None:
    """What is wrong with the application is none of the client's business."""
    answer = refusal(error)
    _, body = parts(answer)
    assert answer.status == 500
    assert body["error"] == "server_error"
    assert b"hunter2" not in answer.body
