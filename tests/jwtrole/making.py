"""Keys and tokens for the tests, well-made and by hand."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import get_default_algorithms

from jwtrole.keys import ALGORITHMS
from jwtrole.tokens import Issuer, JWTRole

ISSUER = "https://issuer.test/"
AUDIENCE = "billing"
#: The time at which the tests' tokens are looked at.
NOW = 1_700_000_000
#: Long enough for every HS algorithm.
SECRET = bytes(range(64))

ASYMMETRIC = tuple(name for name in ALGORITHMS if not name.startswith("HS"))

_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(algorithm: str, number: int = 0) -> Any:
    """Return a key pair, the same for the same number."""
    return _made(algorithm if algorithm[:2] not in {"RS", "PS"} else "RSA", number)


@functools.cache
def _made(kind: str, _number: int) -> Any:
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(algorithm: str, number: int = 0, **members: Any) -> dict[str, Any]:
    """Return the public half as a JWK with only the members a key must have."""
    key = private_key(algorithm, number).public_key()
    found = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    found.pop("key_ops", None)
    return {**found, **members}


def public_pem(key: Any) -> bytes:
    """Return the public half of a key pair as PEM."""
    return key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key: Any) -> bytes:
    """Return a key pair as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; a change to ``None`` leaves the claim out."""
    found = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": NOW + 600,
        "iat": NOW,
        "sub": "alice",
        "role": "member",
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def sign(
    algorithm: str = "HS256", key: Any = None, kid: str | None = None, **changes: Any
) -> str:
    """Return a well-made token, signed with a key of the right kind unless given."""
    if key is None:
        hmac_key = algorithm.startswith("HS")
        key = SECRET if hmac_key else private_key(algorithm)
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def part(data: object) -> str:
    """Return bytes, or an object as JSON, as one part of a compact token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: object = None, payload: object = None) -> str:
    """Return a token rightly signed with the secret, whatever stands in it."""
    found = {"alg": "HS256"} if header is None else header
    signed = f"{part(found)}.{part(claims() if payload is None else payload)}"
    return f"{signed}.{part(hmac.digest(SECRET, signed.encode(), hashlib.sha256))}"


def with_header(**members: Any) -> str:
    """Return a token rightly signed with the secret and these header members."""
    return by_hand({"alg": "HS256", **members})


def with_claims(**changes: Any) -> str:
    """Return a token rightly signed with the secret and these claims."""
    return by_hand(payload=claims(**changes))


def secret_issuer(**settings: Any) -> Issuer:
    """Return the issuer that shares the secret."""
    found = {"audience": AUDIENCE, "secret": SECRET, "algorithms": ["HS256"]}
    return Issuer(ISSUER, **{**found, **settings})


def make_auth(*issuers: Issuer, **settings: Any) -> JWTRole:
    """Return what trusts the issuers, by default the one that shares the secret."""
    found = {"roles": ["member", "manager"], "clock": lambda: float(NOW)}
    trusted = list(issuers) or [secret_issuer()]
    return JWTRole(trusted, **{**found, **settings})
