"""Which keys the database takes, and what becomes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwtrole.errors import ConfigurationError
from jwtrole.jwk import read_jwk
from tests.jwtrole.making import (
    ASYMMETRIC,
    ISSUER,
    SECRET,
    claims,
    part,
    private_key,
    public_jwk,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.database.conftest import Verifier

OCT = {"kty": "oct", "k": part(SECRET), "alg": "HS256", "kid": "k"}
P25519 = 2**255 - 19


@pytest.fixture
def trusting(verifier: Verifier) -> Verifier:
    """Return the verifier, with an issuer that has no keys yet."""
    verifier.trust(ISSUER)
    return verifier


def refused(verifier: Verifier, jwk: Any, text: str, issuer: str = ISSUER) -> None:
    """Prove that a key is refused in these words, which hold none of its numbers."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=text) as caught:
        verifier.add_key(issuer, jwk)

    words = str(caught.value)
    assert not any(
        value in words
        for name, value in (jwk.items() if isinstance(jwk, dict) else ())
        if name in {"d", "e", "k", "n", "x", "y"}
        and isinstance(value, str)
        and value[8:]
    )
    row = verifier.connection.execute(
        "SELECT count(*) FROM jwtrole.key WHERE issuer = %s", (ISSUER,)
    ).fetchone()
    assert row == (0,)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_is_taken(trusting: Verifier, algorithm: str) -> None:
    """Each algorithm has its kind of key, known by its id afterwards."""
    jwk = public_jwk(algorithm, kid="k", alg=algorithm, use="sig", key_ops=["verify"])

    assert trusting.add_key(ISSUER, jwk) == "k"
    assert trusting.verified([sign(algorithm, kid="k")]) == [claims()]


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA"])
def test_a_curve_tells_its_algorithm(trusting: Verifier, algorithm: str) -> None:
    """A key on a curve needs no alg."""
    trusting.add_key(ISSUER, public_jwk(algorithm))

    assert trusting.verified([sign(algorithm)]) == [claims()]


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_is_refused(
    trusting: Verifier, algorithm: str, name: str
) -> None:
    """No part of a private key comes into the database, not even by mistake."""
    jwk = {**public_jwk(algorithm, alg=algorithm), name: part(b"secret" * 8)}

    refused(trusting, jwk, "private key")


def rsa_jwk(n: int, e: int = 65537) -> dict[str, Any]:
    """Return an RSA key of any numbers."""
    return {
        "kty": "RSA",
        "alg": "RS256",
        "n": part(n.to_bytes((n.bit_length() + 7) // 8, "big")),
        "e": part(e.to_bytes((e.bit_length() + 7) // 8, "big")),
    }


def modulus() -> int:
    """Return a good modulus of 2048 bits."""
    return int(private_key("RS256").public_key().public_numbers().n)


def test_weak_rsa_keys_are_refused(trusting: Verifier) -> None:
    """Too short, too long, another exponent, an even modulus or a small factor."""
    short = rsa.generate_private_key(public_exponent=65537, key_size=2040)
    n = short.public_key().public_numbers().n

    refused(trusting, rsa_jwk(n), "has 2040 bits: RSA takes 2048 to 4096")
    refused(trusting, rsa_jwk(n >> 1), "has 2039 bits")
    refused(trusting, rsa_jwk((1 << 4096) + 1), "has 4097 bits")
    refused(trusting, rsa_jwk(0), "has 0 bits|lacks a number")
    for e in (1, 3, 65536, 65539, 2**64 + 65537, 2**80):
        refused(trusting, rsa_jwk(modulus(), e), "another exponent than 65537")
    refused(trusting, rsa_jwk(modulus() + 1), "small factor")
    odd = next(m for m in range(modulus(), modulus() + 3000, 2) if m % 997 == 0)
    refused(trusting, rsa_jwk(odd), "small factor")


def test_leading_zeros_change_no_rsa_key(trusting: Verifier) -> None:
    """Some libraries put a zero byte in front, which is the same number."""
    n = modulus().to_bytes(257, "big")
    jwk = {**rsa_jwk(modulus()), "n": part(n), "e": part(b"\0\1\0\1")}
    trusting.add_key(ISSUER, jwk)

    assert trusting.verified([sign("RS256")]) == [claims()]


def on_curve(algorithm: str, **numbers: int) -> dict[str, Any]:
    """Return a key with other coordinates."""
    size = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
    changed = {name: part(n.to_bytes(size, "big")) for name, n in numbers.items()}
    return {**public_jwk(algorithm), **changed}


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_no_point_of_the_curve_is_refused(trusting: Verifier, algorithm: str) -> None:
    """Off the curve, out of range, the origin, or of another length."""
    numbers = private_key(algorithm).public_key().public_numbers()
    prime = {
        "ES256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
        "ES384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
        "ES512": 2**521 - 1,
    }[algorithm]
    bad = [
        on_curve(algorithm, y=numbers.y ^ 1),
        on_curve(algorithm, x=0, y=0),
        on_curve(algorithm, x=prime, y=numbers.y),
        on_curve(algorithm, y=prime),
        on_curve(algorithm, x=numbers.y, y=numbers.x),
    ]
    size = (prime.bit_length() + 7) // 8
    for name in ("x", "y"):
        value = getattr(numbers, name).to_bytes(size + 1, "big")
        bad.append({**public_jwk(algorithm), name: part(value)})
    for jwk in bad:
        refused(trusting, jwk, "holds no point of its curve")
        with pytest.raises(ConfigurationError):
            read_jwk(jwk)


def small_order_points() -> list[int]:
    """Return the encodings of points of order 1, 2, 4 and 8, and of no point."""
    y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
    ys = [1, P25519 - 1, 0, y8, P25519 - y8]
    beyond = [P25519, P25519 + 1, 2**255 - 1]
    return [y | sign << 255 for y in [*ys, *beyond] for sign in (0, 1)]


def test_bad_points_of_ed25519_are_refused(trusting: Verifier) -> None:
    """Small order, another subgroup, a non-canonical or an impossible encoding."""
    for value in small_order_points():
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(value.to_bytes(32, "little"))}
        refused(trusting, jwk, "prime order|holds no point")
    for size in (0, 31, 33, 64):
        refused(
            trusting,
            {"kty": "OKP", "crv": "Ed25519", "x": part(b"\1" * size)},
            "holds no point|lacks a number",
        )


def mixed_order_point() -> bytes:
    """Return a good point with one of order 2 added: (-x, -y)."""
    raw = private_key("EdDSA").public_key().public_bytes_raw()
    value = int.from_bytes(raw, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    return (P25519 - y | (1 - sign) << 255).to_bytes(32, "little")


def test_a_point_of_mixed_order_is_refused(trusting: Verifier) -> None:
    """A key with a part of small order would let one signature fit several keys."""
    ed25519.Ed25519PublicKey.from_public_bytes(mixed_order_point())
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(mixed_order_point()), "kid": "k"}

    refused(trusting, jwk, "'k' holds a point outside the group of prime order")


@pytest.mark.parametrize(
    ("jwk", "text"),
    [
        (None, "is no object"),
        ([], "is no object"),
        ("x", "is no object"),
        ({}, "kty"),
        ({"kty": ["RSA"]}, "kty"),
        ({"kty": "AKP"}, "kty"),
        ({**OCT, "kid": ""}, "kid that is no printable"),
        ({**OCT, "kid": 7}, "kid that is no printable"),
        ({**OCT, "kid": None}, "kid that is no printable"),
        ({**OCT, "kid": "a\nb"}, "kid that is no printable"),
        ({**OCT, "kid": "x" * 257}, "kid that is no printable"),
        ({**OCT, "use": "enc"}, "use is not sig"),
        ({**OCT, "use": None}, "use is not sig"),
        ({**OCT, "key_ops": ["sign"]}, "key_ops lack verify"),
        ({**OCT, "key_ops": "verify"}, "key_ops lack verify"),
        ({**OCT, "key_ops": {"verify": 1}}, "key_ops lack verify"),
        ({**OCT, "alg": "RS256"}, "no alg, or one that is not for its kind"),
        ({**OCT, "alg": "none"}, "no alg, or one that is not for its kind"),
        ({**OCT, "alg": None}, "alg that is no string"),
        ({**OCT, "alg": ["HS256"]}, "alg that is no string"),
        ({"kty": "oct", "k": part(SECRET)}, "no alg"),
        ({**OCT, "k": None}, "lacks a number"),
        ({**OCT, "k": part(SECRET) + "="}, "no canonical base64url"),
        ({**OCT, "k": part(SECRET)[:-1] + "B"}, "no canonical base64url"),
        ({**OCT, "k": " " + part(SECRET)}, "no canonical base64url"),
        ({**OCT, "k": ""}, "no canonical base64url"),
        ({**OCT, "k": part(SECRET[:31])}, "has 31 bytes: HS256 needs 32"),
        ({**OCT, "alg": "HS384", "k": part(SECRET[:47])}, "HS384 needs 48"),
        ({**OCT, "alg": "HS512", "k": part(SECRET[:63])}, "HS512 needs 64"),
        ({**OCT, "d": "x"}, "private key"),
        ({**OCT, "k": part(b"-----BEGIN PUBLIC KEY-----" * 3)}, "public key or a cert"),
        ({**OCT, "k": part(b"ssh-rsa " * 9)}, "public key or a cert"),
        ({"kty": "EC", "crv": "secp256k1"}, "crv that is none of"),
        ({"kty": "EC", "crv": "Ed25519", "x": "AA"}, "crv that is none of"),
        ({"kty": "EC", "crv": ["P-256"]}, "crv that is none of"),
        ({"kty": "OKP", "crv": "P-256"}, "crv that is none of"),
        ({"kty": "OKP", "crv": "Ed448"}, "crv that is none of"),
        ({"kty": "OKP"}, "crv that is none of"),
    ],
)
def test_a_malformed_key_is_refused(trusting: Verifier, jwk: Any, text: str) -> None:
    """A key is what the standards say or nothing, in words that name the fault."""
    refused(trusting, jwk, text)


@pytest.mark.parametrize(
    ("algorithm", "alg"),
    [("RS256", None), ("RS256", "ES256"), ("RS256", "HS256"), ("RS256", "RS1"),
     ("ES256", "ES384"), ("ES384", "RS256"), ("EdDSA", "ES256"), ("EdDSA", "Ed448")],
)  # fmt: skip
def test_a_key_of_another_kind_is_refused(
    trusting: Verifier, algorithm: str, alg: str | None
) -> None:
    """A key that does not fit its alg, or an RSA key without any, is refused."""
    members = {} if alg is None else {"alg": alg}
    jwk = {**public_jwk(algorithm), **members}

    refused(trusting, jwk, "no alg, or one that is not")


def test_the_key_of_an_unknown_issuer_is_refused(verifier: Verifier) -> None:
    """Keys belong to issuers that were declared."""
    for issuer in ("https://nobody.test/", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no issuer"):
            verifier.connection.execute(
                "SELECT jwtrole.add_key(%s, %s)", (issuer, json.dumps(OCT))
            )


def test_an_id_is_there_once(trusting: Verifier) -> None:
    """Two keys of one id and algorithm are refused, whatever else they hold."""
    trusting.add_key(ISSUER, public_jwk("ES256", kid="k"))
    for number in (0, 1):
        with pytest.raises(
            psycopg.errors.InvalidParameterValue, match="'k' is there already"
        ):
            trusting.add_key(ISSUER, public_jwk("ES256", number, kid="k"))
    trusting.add_key(ISSUER, public_jwk("ES384", kid="k"))

    tokens = [sign("ES256", kid="k"), sign("ES384", kid="k")]
    assert trusting.verified(tokens) == [claims()] * 2


def test_an_issuer_mixes_no_secrets_with_public_keys(trusting: Verifier) -> None:
    """One issuer's keys are all symmetric or all asymmetric."""
    trusting.add_key(ISSUER, public_jwk("ES256"))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="mixes secrets"):
        trusting.add_key(ISSUER, OCT)
    trusting.trust(ISSUER)
    trusting.add_key(ISSUER, OCT)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="mixes secrets"):
        trusting.add_key(ISSUER, public_jwk("ES256"))


def generation(verifier: Verifier) -> int:
    """Return the issuer's generation."""
    row = verifier.connection.execute(
        "SELECT generation FROM jwtrole.issuer WHERE name = %s", (ISSUER,)
    ).fetchone()
    assert row
    return int(row[0])


def retired(verifier: Verifier, kid: str, issuer: str = ISSUER) -> bool:
    """Retire a key and say whether there was one."""
    row = verifier.connection.execute(
        "SELECT jwtrole.retire_key(%s, %s)", (issuer, kid)
    ).fetchone()
    assert row
    return bool(row[0])


def test_a_retired_key_verifies_nothing(trusting: Verifier) -> None:
    """What a key has signed is refused once it is retired; its points are gone."""
    trusting.add_key(ISSUER, public_jwk("EdDSA", kid="k"))
    token = sign("EdDSA", kid="k")
    assert trusting.verified([token]) == [claims()]
    before = generation(trusting)

    assert retired(trusting, "k")
    assert trusting.verified([token]) == [None]
    assert generation(trusting) == before + 1
    row = trusting.connection.execute(
        "SELECT count(*) FROM jwtrole.point AS o WHERE o.spot >= 1000000"
        " AND NOT EXISTS (SELECT FROM jwtrole.key WHERE number = o.spot / 10000)"
    ).fetchone()
    assert row == (0,)


def test_retiring_what_is_not_there_changes_nothing(trusting: Verifier) -> None:
    """The answer tells, and no ticket ends."""
    before = generation(trusting)

    assert not retired(trusting, "nothing")
    assert not retired(trusting, "nothing", "https://nobody.test/")
    assert generation(trusting) == before


def test_a_new_key_starts_a_new_generation(trusting: Verifier) -> None:
    """Tickets of before end; a refused key changes nothing."""
    before = generation(trusting)
    trusting.add_key(ISSUER, OCT)
    assert generation(trusting) == before + 1

    with pytest.raises(psycopg.errors.InvalidParameterValue):
        trusting.add_key(ISSUER, OCT)
    assert generation(trusting) == before + 1


def test_a_key_without_an_id_is_named_after_itself(trusting: Verifier) -> None:
    """The label is the thumbprint of RFC 7638, and no token can name it."""
    jwk = {
        "kty": "RSA",
        "alg": "RS256",
        "e": "AQAB",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFF"
            "xuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt"
            "7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
            "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-"
            "G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
    }

    assert trusting.add_key(ISSUER, jwk) == (
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )


def test_which_tokens_mean_a_key(trusting: Verifier) -> None:
    """A named key needs its name or none; an unnamed one no name; "any" takes all."""
    named, other, nameless = sign(kid="k"), sign(kid="o"), sign()
    trusting.add_key(ISSUER, OCT)
    assert trusting.verified([named, other, nameless]) == [claims(), None, claims()]

    unnamed = {name: value for name, value in OCT.items() if name != "kid"}
    trusting.trust(ISSUER)
    label = trusting.add_key(ISSUER, unnamed)
    tokens = [named, sign(kid=label), nameless]
    assert trusting.verified(tokens) == [None, None, claims()]

    trusting.trust(ISSUER)
    trusting.connection.execute(
        "SELECT jwtrole.add_key(%s, %s, true)", (ISSUER, json.dumps(OCT))
    )
    assert trusting.verified([named, other, nameless]) == [claims()] * 3


def test_at_most_eight_keys_are_tried(trusting: Verifier) -> None:
    """A token without a kid may mean eight keys; with nine it must name one."""
    for number in range(8):
        secret = bytes([number]) * 32
        trusting.add_key(ISSUER, {**OCT, "k": part(secret), "kid": f"k{number}"})
    last = jwt.encode(claims(), bytes([7]) * 32, "HS256")
    named = jwt.encode(claims(), bytes([7]) * 32, "HS256", headers={"kid": "k7"})
    assert trusting.verified([last, named]) == [claims(), claims()]

    trusting.add_key(ISSUER, {**OCT, "kid": "k8"})
    assert trusting.verified([last, named]) == [None, claims()]


def test_keys_of_one_issuer_are_not_anothers(trusting: Verifier) -> None:
    """A key verifies for its own issuer alone, whatever the kid says."""
    trusting.trust("https://other.test/")
    trusting.add_key("https://other.test/", OCT)

    tokens = [sign(kid="k"), sign(kid="k", iss="https://other.test/")]
    assert trusting.verified(tokens) == [None, claims(iss="https://other.test/")]


def test_curves_of_no_algorithm_are_refused(trusting: Verifier) -> None:
    """A key on a curve that JOSE knows and we do not is refused by both."""
    key = ec.generate_private_key(ec.SECP256K1()).public_key()
    jwk = get_default_algorithms()["ES256K"].to_jwk(key, as_dict=True)

    refused(trusting, jwk, "crv that is none of")
    with pytest.raises(ConfigurationError):
        read_jwk(jwk)


def test_how_long_a_key_takes(
    trusting: Verifier, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Each kind of key is taken; how long that took is in the report (--junitxml)."""
    for algorithm in ASYMMETRIC:
        jwk = public_jwk(algorithm, 1, kid=algorithm, alg=algorithm)
        row = trusting.connection.execute(
            "WITH s AS MATERIALIZED (SELECT clock_timestamp() AS t),"
            " k AS MATERIALIZED (SELECT jwtrole.add_key(%s, %s), s.t FROM s)"
            " SELECT extract(epoch FROM clock_timestamp() - t) FROM k",
            (ISSUER, json.dumps(jwk)),
        ).fetchone()
        assert row
        record_testsuite_property(f"seconds to add {algorithm}", float(row[0]))
