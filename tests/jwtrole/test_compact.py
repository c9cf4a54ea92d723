"""The form of a token; each of these is rightly signed, were it looked at."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from jwtrole import compact
from jwtrole.errors import TokenRejected
from tests.jwtrole.making import (
    ISSUER,
    NOW,
    by_hand,
    claims,
    part,
    sign,
    with_claims,
    with_header,
)


def refused(token: Any, match: str) -> None:
    """Parse what must be refused."""
    with pytest.raises(TokenRejected, match=match):
        compact.parse(token)


def test_a_token_is_read() -> None:
    """Header, claims and signed bytes are those of the token."""
    token = sign(kid="k1")
    found = compact.parse(token)
    assert (found.alg, found.kid, found.issuer) == ("HS256", "k1", ISSUER)
    assert found.claims == claims()
    assert found.header == {"alg": "HS256", "kid": "k1", "typ": "JWT"}
    assert found.signing_input == token.rpartition(".")[0].encode()
    assert part(found.signature) == token.rpartition(".")[2]


def test_a_repr_shows_nothing() -> None:
    """What reaches a log by accident holds neither claims nor header."""
    assert repr(compact.parse(sign())) == "<Compact, not verified>"


@pytest.mark.parametrize("token", [None, b"a.b.c", 7, ["a.b.c"]])
def test_only_a_string_is_a_token(token: object) -> None:
    """Anything but a string is refused as a token, not by a crash."""
    refused(token, "is a string, not")


def test_a_token_of_16_kib_is_read() -> None:
    """The limit itself is within the limit."""
    filler = 1000
    while len(token := with_claims(x="y" * filler)) < compact.MAX_TOKEN_BYTES - 3:
        filler += (compact.MAX_TOKEN_BYTES - len(token)) * 3 // 4
    assert len(token) <= compact.MAX_TOKEN_BYTES
    assert compact.parse(token).issuer == ISSUER


def test_a_token_over_16_kib_is_refused() -> None:
    """A longer token is refused before anything of it is read."""
    refused(with_claims(x="y" * 16 * 1024), "over 16384 bytes")


@pytest.mark.parametrize("odd", ["\u00e4", "\uff21", "\ufeff", "\u2028", "\ud800"])
def test_a_token_outside_ascii_is_refused(odd: str) -> None:
    """No character outside ASCII stands in a token."""
    refused(sign() + odd, "outside ASCII")


def test_a_byte_order_mark_is_refused() -> None:
    """A BOM is refused before the token and inside its parts."""
    refused("\ufeff" + sign(), "outside ASCII")
    refused(by_hand(b"\xef\xbb\xbf" + b'{"alg":"HS256"}'), "no JSON text")
    refused(by_hand(payload=b"\xef\xbb\xbf" + json.dumps(claims()).encode()), "no JSON")


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.", "a.b.c.", ".a.b.c"],
)
def test_other_than_three_parts_is_refused(token: str) -> None:
    """Three parts, none of them empty."""
    refused(token, "three parts")


def test_an_empty_signature_is_refused() -> None:
    """A token that nobody signed is refused by its form already."""
    refused(sign().rpartition(".")[0] + ".", "three parts")


def test_an_encrypted_token_is_refused() -> None:
    """Five parts are a JWE, which is no signature."""
    refused("a.b.c.d.e", "three parts")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_padding_is_refused(place: int) -> None:
    """No part may carry base64's equals signs."""
    parts = sign().split(".")
    parts[place] += "=" * (-len(parts[place]) % 4 or 4)
    refused(".".join(parts), "canonical base64url")


@pytest.mark.parametrize("white", [" ", "\n", "\r\n", "\t", "\0"])
def test_whitespace_is_refused(white: str) -> None:
    """White space is refused before, after and inside a token."""
    token = sign()
    for odd in (white + token, token + white, token.replace(".", "." + white, 1)):
        refused(odd, "canonical base64url")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_non_canonical_base64url_is_refused(place: int) -> None:
    """Stray bits at a part's end would make two tokens of one signature."""
    parts = [part(b'{"alg":"HS256"} '), part(b"{}  "), part(b"0123")]
    assert all(len(found) % 4 for found in parts)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(parts[place][-1]) + 1]
    odd = parts[place][:-1] + last
    padding = "=" * (-len(odd) % 4)
    same = base64.urlsafe_b64decode(parts[place] + padding)
    assert base64.urlsafe_b64decode(odd + padding) == same
    parts[place] = odd
    refused(".".join(parts), "canonical base64url")


def test_standard_base64_is_refused() -> None:
    """The alphabet with + and / is another encoding."""
    header, payload, signature = by_hand(payload=b'{"a":"\xfb\xff\xfe"}').split(".")
    assert set("-_") & set(payload)
    payload = payload.replace("-", "+").replace("_", "/")
    refused(f"{header}.{payload}.{signature}", "canonical base64url")


def test_a_duplicate_header_key_is_refused() -> None:
    """Two readers could take two algorithms out of one header."""
    refused(by_hand(b'{"alg":"HS256","alg":"none"}'), "same key twice")


def test_a_duplicate_claim_is_refused() -> None:
    """Two readers could see two subjects in one token."""
    text = json.dumps(claims())[:-1] + ', "sub": "bob"}'
    refused(by_hand(payload=text.encode()), "same key twice")


def test_a_duplicate_claim_within_a_claim_is_refused() -> None:
    """The same holds for objects inside the claims."""
    text = json.dumps(claims())[:-1] + ', "x": {"a": 1, "a": 2}}'
    refused(by_hand(payload=text.encode()), "same key twice")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_is_refused(number: str) -> None:
    """NaN and infinities are refused wherever they stand."""
    text = json.dumps(claims())[:-1]
    refused(by_hand(payload=f'{text}, "x": {number}}}'.encode()), "NaN|too large")
    refused(by_hand(f'{{"alg":"HS256","x":{number}}}'.encode()), "NaN|too large")


def test_a_nul_character_is_refused() -> None:
    """A NUL that PostgreSQL cannot store is refused in header, claims and names."""
    refused(with_claims(x="a\0b"), "NUL")
    refused(with_claims(**{"a\0b": 1}), "NUL")
    refused(with_header(x="a\0b"), "NUL")


def test_half_a_surrogate_pair_is_refused() -> None:
    """What is no Unicode text is refused."""
    refused(with_claims(x="\ud800"), "surrogate")


def test_deep_nesting_is_refused() -> None:
    """No depth makes Python's recursion limit escape."""
    text = json.dumps(claims())[:-1] + ', "x": ' + "[" * 4000 + "]" * 4000 + "}"
    refused(by_hand(payload=text.encode()), "nested")


def test_a_huge_integer_is_refused() -> None:
    """No number of digits makes int() raise."""
    text = json.dumps(claims())[:-1] + ', "x": ' + "9" * 5000 + "}"
    refused(by_hand(payload=text.encode()), "digits")


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"1", b"", b"x"])
def test_header_and_claims_are_objects(data: bytes) -> None:
    """JSON of another type, or none, is refused on either side."""
    refused(by_hand(data), "JSON|three parts")
    refused(by_hand(payload=data), "JSON|three parts")


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": 1}, {"alg": ["HS256"]}])
def test_alg_is_a_string(header: dict[str, Any]) -> None:
    """A header without a string `alg` is refused."""
    refused(by_hand(header), "no string 'alg'")


def test_an_embedded_jwk_is_refused() -> None:
    """A token brings no key of its own."""
    refused(with_header(jwk={"kty": "oct", "k": "AAAA"}), "header 'jwk'")


def test_jku_is_refused() -> None:
    """A token names no place to fetch its key from."""
    refused(with_header(jku="https://evil.test/jwks.json"), "header 'jku'")


def test_x5u_is_refused() -> None:
    """A token names no place to fetch a certificate from."""
    refused(with_header(x5u="https://evil.test/cert.pem"), "header 'x5u'")


def test_x5c_is_refused() -> None:
    """A token brings no certificate of its own."""
    refused(with_header(x5c=["AAAA"]), "header 'x5c'")


@pytest.mark.parametrize("crit", [["exp"], [], ["b64"], None])
def test_crit_is_refused(crit: object) -> None:
    """No extension is understood, whichever is said to be critical."""
    refused(with_header(crit=crit), "header 'crit'")


@pytest.mark.parametrize("b64", [True, False])
def test_b64_is_refused(b64: bool) -> None:
    """The payload is never unencoded (RFC 7797)."""
    refused(with_header(b64=b64), "header 'b64'")


def test_zip_is_refused() -> None:
    """Nothing is ever decompressed."""
    refused(with_header(zip="DEF"), "header 'zip'")


def test_a_refused_header_may_not_even_be_null() -> None:
    """It is the name that is refused, whatever its value."""
    refused(with_header(jwk=None), "header 'jwk'")


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "application/at+jwt"]
)
def test_a_known_typ_is_read(typ: str) -> None:
    """JWT and at+jwt are read in any case, with and without `application/`."""
    assert compact.parse(with_header(typ=typ)).issuer == ISSUER


def test_typ_may_be_missing() -> None:
    """The header need not say its type (RFC 7519, section 5.1)."""
    assert compact.parse(by_hand()).issuer == ISSUER


@pytest.mark.parametrize(
    "typ", ["JOSE", "dpop+jwt", "logout+jwt", "", None, 1, ["JWT"]]
)
def test_another_typ_is_refused(typ: object) -> None:
    """A token of another purpose is no access token (RFC 8725, section 3.11)."""
    refused(with_header(typ=typ), "'typ'")


@pytest.mark.parametrize("kid", [None, 1, "", "x" * 257, "a\nb", ["k"], {}])
def test_a_kid_is_a_short_printable_string(kid: object) -> None:
    """A key id of another kind is refused."""
    refused(with_header(kid=kid), "'kid'")


def test_a_token_without_exp_is_refused() -> None:
    """No token lives for ever."""
    refused(with_claims(exp=None), "no 'exp'")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [str(NOW), "", "1e9"])
def test_a_date_as_a_string_is_refused(name: str, value: str) -> None:
    """A number in quotes is no number."""
    refused(with_claims(**{name: value}), f"claim '{name}' that is no number")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [True, False, [NOW], {}, -1, NOW * 1000, 253_402_300_800, 1e99, 10**199]
)
def test_a_date_is_a_number_of_seconds(name: str, value: object) -> None:
    """Booleans, arrays, the past before 1970 and milliseconds are no date."""
    refused(with_claims(**{name: value}), f"claim '{name}' that is no number")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_date_is_not_null(name: str) -> None:
    """A claim that is there and null is refused as any other non-number."""
    refused(by_hand(payload={**claims(), name: None}), f"claim '{name}'")


def test_a_date_may_be_a_fraction() -> None:
    """NumericDate allows fractions of a second."""
    found = compact.parse(with_claims(exp=NOW + 0.5, nbf=0, iat=1.5e9))
    assert found.claims["exp"] == NOW + 0.5


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", [7, True, ["a"], {}])
def test_sub_and_jti_are_strings(name: str, value: object) -> None:
    """An array where a string is due is refused, and so is every other type."""
    refused(with_claims(**{name: value}), f"claim '{name}' that is no string")


def test_sub_and_jti_may_be_missing() -> None:
    """Neither is required."""
    assert "sub" not in compact.parse(with_claims(sub=None)).claims


@pytest.mark.parametrize("value", [None, "", 7, True, [ISSUER], {}])
def test_iss_is_a_non_empty_string(value: object) -> None:
    """A token without an issuer, or with an array of them, is refused."""
    refused(with_claims(iss=value), "'iss'")


@pytest.mark.parametrize("value", [None, 7, True, [], [7], ["a", None], [["a"]], {}])
def test_aud_is_a_string_or_strings(value: object) -> None:
    """A token without an audience, or with anything but strings, is refused."""
    refused(with_claims(aud=value), "'aud'")


@pytest.mark.parametrize("value", ["a", ["a"], ["a", "b"]])
def test_aud_may_be_one_or_many(value: object) -> None:
    """One name or an array of names is an audience."""
    assert compact.parse(with_claims(aud=value)).claims["aud"] == value


@pytest.mark.parametrize(
    "token",
    [
        with_claims(sub=["hunter2"]),
        by_hand(payload=b'{"sub": "hunter2", nope}'),
        by_hand(payload=b'{"sub": "hunter2", "a": 1, "a": 2}'),
        by_hand(payload={"hunter2": "hunter2"}),
        with_header(typ="hunter2"),
        with_header(kid=["hunter2"]),
        with_header(alg=["hunter2"]),
    ],
)
def test_an_error_holds_nothing_of_the_token(token: str) -> None:
    """Neither message nor cause nor context holds a claim, a header or the token."""
    with pytest.raises(TokenRejected) as caught:
        compact.parse(token)
    assert "hunter2" not in str(caught.value)
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
