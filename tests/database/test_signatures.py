"""Signatures: PyJWT and the database agree on what is signed and on what is not."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import random
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import get_default_algorithms

from jwtrole import compact
from jwtrole.errors import TokenError
from jwtrole.strict import decode_part
from jwtrole.tokens import Issuer
from tests.jwtrole.making import (
    AUDIENCE,
    ISSUER,
    SECRET,
    claims,
    part,
    private_key,
    public_pem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database.conftest import Verifier

TOKENS = 200
KEYS = [
    *[(f"HS{bits}", 0) for bits in (256, 384, 512)],
    *[(f"{family}256", size) for family in ("RS", "PS") for size in (2048, 3072, 4096)],
    # Moduli whose bits fill no whole number of bytes, or need one byte more.
    *[(f"{family}384", 2050) for family in ("RS", "PS")],
    *[(f"{family}512", 2049) for family in ("RS", "PS")],
    *[(name, 0) for name in ("ES256", "ES384", "ES512", "EdDSA")],
]
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf"
        "581a0db248b0a77aecec196accc52973",
        16,
    ),
    "ES512": int(
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa"
        "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        16,
    ),
    "EdDSA": 2**252 + 27742317777372353535851937790883648493,
}

_rsa: dict[int, Any] = {}


def key_for(algorithm: str, size: int) -> Any:
    """Return a key to sign with; one RSA key for each size serves all algorithms."""
    if algorithm.startswith("HS"):
        return SECRET
    if not size:
        return private_key(algorithm)
    if size not in _rsa:
        _rsa[size] = rsa.generate_private_key(public_exponent=65537, key_size=size)
    return _rsa[size]


def jwk_for(algorithm: str, size: int) -> dict[str, Any]:
    """Return what the verifiers are given of it."""
    if algorithm.startswith("HS"):
        return {"kty": "oct", "k": part(SECRET), "alg": algorithm, "kid": "k"}
    public = key_for(algorithm, size).public_key()
    jwk = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    return {**jwk, "alg": algorithm, "kid": "k", "key_ops": ["verify"]}


def oracle(issuer: Issuer, token: str) -> bool:
    """Say whether Python's verifier takes a token."""
    try:
        read = compact.parse(token)
        if read.issuer != issuer.issuer:
            return False
        issuer.check_signature(read)
    except TokenError:
        return False
    return True


def random_token(chance: random.Random, algorithm: str, size: int) -> str:
    """Return a token with claims of random content and length."""
    text = "".join(
        chr(chance.randrange(32, 0x3000)) for _ in range(chance.randrange(60))
    )
    payload = claims(sub=str(chance.random()), text=text, n=chance.randrange(10**18))
    headers = {"kid": "k"} if chance.random() < 0.5 else {}
    return jwt.encode(payload, key_for(algorithm, size), algorithm, headers=headers)


@pytest.fixture(
    params=KEYS, ids=[f"{name}-{size}" if size else name for name, size in KEYS]
)
def key(request: pytest.FixtureRequest, verifier: Verifier) -> tuple[str, int]:
    """Return an algorithm and a key size; the database trusts one such key."""
    algorithm, size = request.param
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, jwk_for(algorithm, size))
    return algorithm, size


def test_every_well_signed_token_is_taken(
    verifier: Verifier, key: tuple[str, int]
) -> None:
    """200 random tokens of a key are accepted and their claims read rightly."""
    chance = random.Random(f"{key}")
    tokens = [random_token(chance, *key) for _ in range(TOKENS)]
    found = verifier.verified(tokens)

    assert found == [compact.parse(token).claims for token in tokens]


def tampered(
    tokens: list[str], algorithm: str, size: int, number: int
) -> Iterator[tuple[str, str]]:
    """Return a token after each kind of tampering, with its name."""
    token, other = tokens[number], tokens[number - 1]
    header, payload, signature = token.split(".")
    raw = decode_part(signature)
    signed = f"{header}.{payload}"
    bit = 1 << number % 8
    at = number % len(raw)

    def signed_with(data: bytes) -> str:
        return f"{signed}.{part(data)}" if data else f"{signed}."

    named = {"alg": algorithm, "kid": "k", "typ": "JWT"}
    flipped = bytearray(raw)
    flipped[at] ^= bit
    yield "bit flipped", signed_with(bytes(flipped))
    yield "claims changed", f"{header}.{part(claims(role='manager'))}.{signature}"
    yield "header changed", f"{part({**named, 'x': 1})}.{payload}.{signature}"
    yield "claims of another", f"{header}.{other.split('.')[1]}.{signature}"
    yield "signature of another", f"{signed}.{other.split('.')[2]}"
    yield "alg none", f"{part({'alg': 'none'})}.{payload}.{signature}"
    yield "alg none, no signature", f"{part({'alg': 'none'})}.{payload}."
    yield "another kid", f"{part({**named, 'kid': 'other'})}.{payload}.{signature}"
    yield "shortened", signed_with(raw[:-1])
    yield "lengthened", signed_with(raw + b"\0")
    yield "zero in front", signed_with(b"\0" + raw)
    yield "no signature", signed_with(b"")
    yield "all zeros", signed_with(bytes(len(raw)))
    yield "all ones", signed_with(b"\xff" * len(raw))
    yield "one", signed_with(bytes(len(raw) - 1) + b"\1")
    yield "padded", f"{token}="
    yield "line end", f"{token}\n"
    yield "blank", f" {token}"
    yield "fourth part", f"{token}.{signature}"
    yield "stray bits", token[:-1] + chr(ord(token[-1]) + 1)
    yield from confused(algorithm, size, payload)
    yield from moved(algorithm, size, raw, signed_with)


def confused(algorithm: str, size: int, payload: str) -> Iterator[tuple[str, str]]:
    """Sign with what is public as if it were a secret, or with another hash."""
    if algorithm.startswith("HS"):
        secret, others = SECRET, {"HS256", "HS384", "HS512"} - {algorithm}
    else:
        secret, others = public_pem(key_for(algorithm, size)), {"HS256", "HS512"}
    for name in sorted(others):
        signed = f"{part({'alg': name, 'kid': 'k'})}.{payload}"
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[name]
        mac = hmac.digest(secret, signed.encode(), digest)
        yield f"as {name}", f"{signed}.{part(mac)}"


def moved(
    algorithm: str, size: int, raw: bytes, signed_with: Any
) -> Iterator[tuple[str, str]]:
    """Write the same number in another way, or an impossible one."""
    if size:
        n = key_for(algorithm, size).public_key().public_numbers().n
        for name, value in (("s + n", int.from_bytes(raw, "big") + n), ("n", n)):
            if value < 1 << 8 * len(raw):
                yield name, signed_with(value.to_bytes(len(raw), "big"))
    elif algorithm == "EdDSA":
        s = int.from_bytes(raw[32:], "little") + ORDERS["EdDSA"]
        yield "S + L", signed_with(raw[:32] + s.to_bytes(32, "little"))
        yield "other sign", signed_with(raw[:31] + bytes([raw[31] ^ 128]) + raw[32:])
    elif algorithm in ORDERS:
        half = len(raw) // 2
        r, s = int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        order = ORDERS[algorithm]
        pairs = [(0, s), (r, 0), (order, s), (r, order), (s, r), (r + order, s)]
        for a, b in [*pairs, (r, s + order)]:
            if max(a, b) < 1 << 8 * half:
                data = a.to_bytes(half, "big") + b.to_bytes(half, "big")
                yield "numbers moved", signed_with(data)


def test_every_tampered_token_is_refused(
    verifier: Verifier, key: tuple[str, int]
) -> None:
    """Over 20 kinds of tampering, on many tokens: refused here and by Python."""
    chance = random.Random(f"tampered {key}")
    tokens = [random_token(chance, *key) for _ in range(24)]
    pairs = list(
        itertools.chain.from_iterable(
            tampered(tokens, *key, number) for number in range(len(tokens))
        )
    )
    kinds = {kind for kind, _ in pairs}
    bad = [(kind, token) for kind, token in pairs if token not in tokens]
    issuer = Issuer(
        ISSUER, audience=AUDIENCE, jwks={"keys": [jwk_for(*key)]}, algorithms=[key[0]]
    )
    found = verifier.verified([token for _, token in bad])
    taken = [kind for (kind, _), got in zip(bad, found, strict=True) if got is not None]

    assert len(kinds) > 20
    assert len(bad) == len(pairs)
    assert taken == []
    assert [kind for kind, token in bad if oracle(issuer, token)] == []


def test_the_negated_s_of_ecdsa_is_taken_by_both(verifier: Verifier) -> None:
    """ECDSA has two signatures for one: neither verifier is stricter than the other."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, jwk_for("ES256", 0))
    token = jwt.encode(claims(), key_for("ES256", 0), "ES256", headers={"kid": "k"})
    signed, _, signature = token.rpartition(".")
    raw = decode_part(signature)
    s = ORDERS["ES256"] - int.from_bytes(raw[32:], "big")
    twin = f"{signed}.{part(raw[:32] + s.to_bytes(32, 'big'))}"
    issuer = Issuer(ISSUER, audience=AUDIENCE, jwks={"keys": [jwk_for("ES256", 0)]})

    assert oracle(issuer, twin)
    assert verifier.verified([twin]) == [claims()]


@pytest.mark.parametrize("size", [32, 63, 64, 65, 128, 129, 200])
def test_a_secret_of_any_length_is_used_rightly(verifier: Verifier, size: int) -> None:
    """Secrets up to, at and beyond the block of the hash give the same MAC."""
    secret = bytes(range(7, 7 + size))
    for bits in (256, 384, 512):
        if size * 8 >= bits:
            verifier.trust(ISSUER)
            verifier.add_key(
                ISSUER, {"kty": "oct", "k": part(secret), "alg": f"HS{bits}"}
            )
            mac = hmac.digest(secret, b"message", getattr(hashlib, f"sha{bits}"))

            assert verifier.signed_by(
                ISSUER, [(b"message", mac), (b"massage", mac), (b"message", b"")]
            ) == [True, False, False]
