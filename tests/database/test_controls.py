"""Each check is needed: with it taken away, a token that is refused is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jwtrole.strict import decode_part
from tests.database.test_reading import JWK, REFUSED
from tests.database.test_signatures import ORDERS, jwk_for, key_for
from tests.jwtrole.making import ISSUER, part, sign

if TYPE_CHECKING:
    from tests.database.conftest import Verifier

NUMBERS = "[eE][-+]?[0-9]{3}|[-+.0-9eE]{201}"
PLAIN = "length(replace(plain_body, '\"', '')) - length(plain_body)"
# The refused token, the check's text, and what stands there instead.
CHECKS = [
    ("stray bits", "[AEIMQUYcgkosw048]", "[A-Za-z0-9_-]"),
    ("repeated", PLAIN, f"{PLAIN} = {PLAIN} OR 1 <> 1 AND 0"),
    ("33 deep", "**{33}", "**{3333}"),
    ("number too long", NUMBERS, "^$"),
    ("exponent too long", NUMBERS, "^$"),
    ("number in header", NUMBERS, "^$"),
    ("header crit", "'crit'", "'other'"),
    ("header jwk", "'jwk'", "'other'"),
    ("typ other", "'at+jwt'", "'dpop+jwt'"),
    ("iat -1", "BETWEEN 0", "BETWEEN -1"),
    (f"nbf {253_402_300_800}", "253402300799", "253402300800"),
    ("sub 1", "claims -> 'sub'", "claims -> 'none'"),
    ("jti True", "claims -> 'jti'", "claims -> 'none'"),
    ("aud [1]", '(@.type() != "string")', '(@.type() == "null")'),
    ("iss other", "k.issuer = claims ->> 'iss'", "true"),
    ("alg other", "k.alg = header ->> 'alg'", "true"),
    ("kid other", "k.kid = header ->> 'kid'", "true"),
]  # fmt: skip


def without(verifier: Verifier, function: str, check: str, instead: str) -> None:
    """Take a check out of a function."""
    row = verifier.connection.execute(
        "SELECT pg_get_functiondef(to_regproc('jwtrole.' || %s))", (function,)
    ).fetchone()
    assert row
    assert check in row[0]
    verifier.connection.execute(row[0].replace(check, instead).encode())


@pytest.mark.parametrize(
    ("name", "check", "instead"), CHECKS, ids=[f"{row[0]}" for row in CHECKS]
)
def test_the_form_is_checked(
    verifier: Verifier, name: str, check: str, instead: str
) -> None:
    """A rightly signed token of a wrong form is refused for that check's sake alone."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, JWK)
    good = sign()
    token = {**REFUSED, "stray bits": good[:-1] + chr(ord(good[-1]) + 1)}[name]
    with verifier.connection.transaction(force_rollback=True):
        assert verifier.verified([token]) == [None]
        without(verifier, "_verified", check, instead)

        assert verifier.verified([token]) != [None]
    assert verifier.verified([token]) == [None]


@pytest.mark.parametrize(
    ("algorithm", "size", "function", "check", "instead"),
    [
        ("RS256", 2050, "_signed_by", "s >= k.n", "false"),
        ("RS256", 2050, "_signed_by", "length(signature) <> k.size", "false"),
        ("PS256", 2050, "_signed_by", "s >= k.n", "false"),
        ("ES512", 0, "_ecdsa", "OR s >= k.n", ""),
    ],
)
def test_a_number_is_written_in_one_way(
    verifier: Verifier,
    algorithm: str,
    size: int,
    function: str,
    check: str,
    instead: str,
) -> None:
    """Another writing of a signature is refused for that check's sake alone."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, jwk_for(algorithm, size))
    token = sign(algorithm, key_for(algorithm, size), kid="k")
    signed, _, signature = token.rpartition(".")
    raw = decode_part(signature)
    number = int.from_bytes(raw, "big")
    if "length" in check:
        other = b"\0" + raw
    else:
        numbers = key_for(algorithm, size).public_key().public_numbers()
        order = ORDERS[algorithm] if function == "_ecdsa" else numbers.n
        other = (number + order).to_bytes(len(raw), "big")
    twin = f"{signed}.{part(other)}"
    with verifier.connection.transaction(force_rollback=True):
        assert [found is None for found in verifier.verified([token, twin])] == [
            False,
            True,
        ]
        without(verifier, function, check, instead)

        assert None not in verifier.verified([twin])


def test_only_whole_keys_of_prime_order(verifier: Verifier) -> None:
    """The point of order 1 would verify a signature anybody can make."""
    verifier.trust(ISSUER)
    identity = (1).to_bytes(32, "little")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(identity), "kid": "k"}
    message = part(json.dumps({"alg": "EdDSA"}))
    with verifier.connection.transaction(force_rollback=True):
        without(verifier, "_add_points", "y = 1 OR", "")
        verifier.add_key(ISSUER, jwk)

        # R = identity and S = 0 fit every message.
        assert verifier.signed_by(ISSUER, [(message.encode(), identity + bytes(32))])[0]
