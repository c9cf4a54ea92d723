"""The reading of one key: a JWK, a public key as PEM, or a shared secret.

RFC 7517 (JWK), RFC 7518 (JWA), RFC 8037 (EdDSA), RFC 7468 (PEM). Private keys are
refused: whoever only verifies has no business with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

from jwtrole.errors import ConfigurationError
from jwtrole.strict import Malformed, decode_part, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

__all__ = ["KIND_OF", "RawKey", "read_jwk", "read_pem", "read_secret"]

#: Each algorithm and the one kind of key it takes (RFC 7518, section 3.1; RFC 8037).
KIND_OF = {
    "HS256": "oct",
    "HS384": "oct",
    "HS512": "oct",
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
}

# RFC 7518, section 3.3; OpenSSL verifies nothing with more than the second.
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 16384
_MAX_RSA_EXPONENT = 2**32

_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_NAME_OF_CURVE = {curve.name: name for name, curve in _CURVES.items()}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RawKey:
    """Be a key that is bound to no issuer yet.

    Args:
        label: What it is called in messages.
        kid: Its id, where it has one.
        alg: The one algorithm it is for, where it says so.
        kind: ``oct``, ``RSA``, ``Ed25519`` or the name of a curve.
        material: The secret's bytes or the public key.
        public: The public key's DER, empty for a secret.
    """

    label: str
    kid: str | None
    alg: str | None
    kind: str
    material: Any
    public: bytes


def read_secret(secret: object) -> RawKey:
    """Read a shared secret; a string stands for its UTF-8 bytes.

    Raises:
        ConfigurationError: It is no string or bytes, or looks like a public key.
    """
    data = _bytes("secret", secret)
    return RawKey("The secret", None, None, "oct", _no_key(data), b"")


def read_pem(pem: object) -> RawKey:
    """Read a public key in PEM form (RFC 7468, section 13).

    Raises:
        ConfigurationError: It is no public key, or one of a kind no algorithm takes.
    """
    data = _bytes("key", pem)
    if b"PRIVATE KEY-----" in data:
        msg = "key is a private key: give its public half and keep this one away."
        raise ConfigurationError(msg)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        msg = "key is no public key in PEM form (-----BEGIN PUBLIC KEY-----)."
    else:
        try:
            return _raw(key, "The key", None, None)
        except Malformed as wrong:
            msg = f"The key {wrong}: give another one."
    raise ConfigurationError(msg)


def read_jwk(jwk: object) -> RawKey:
    """Read a JWK (RFC 7517, section 4).

    Raises:
        ConfigurationError: It is private, for another use, too short, of an unknown
            kind, or malformed.
    """
    if not isinstance(jwk, Mapping):
        msg = f"A JWK is an object, not {type(jwk).__name__} (RFC 7517, section 4)."
        raise ConfigurationError(msg)
    label = "The JWK without a kid"
    try:
        kid = key_id(jwk["kid"]) if "kid" in jwk else None
        label = label if kid is None else f"The JWK {kid!r}"
        _check_use(jwk)
        return _read(jwk, label, kid, _alg(jwk))
    except Malformed as wrong:
        msg = f"{label} {wrong}: give another one, or leave it out."
    raise ConfigurationError(msg)


def _check_use(jwk: Mapping[str, Any]) -> None:
    if jwk.get("use", "sig") != "sig":
        msg = "is not for signatures: its 'use' is not 'sig' (RFC 7517, section 4.2)"
        raise Malformed(msg)
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list | tuple) or "verify" not in operations:
        msg = "is not for verifying: its 'key_ops' has no 'verify' (RFC 7517, 4.3)"
        raise Malformed(msg)


def _alg(jwk: Mapping[str, Any]) -> str | None:
    alg = jwk.get("alg")
    if alg is None or (isinstance(alg, str) and alg in KIND_OF):
        return alg
    msg = f"has an 'alg' that is none of {', '.join(KIND_OF)}"
    raise Malformed(msg)


def _read(
    jwk: Mapping[str, Any], label: str, kid: str | None, alg: str | None
) -> RawKey:
    kty = jwk.get("kty")
    if kty == "oct":
        return RawKey(label, kid, alg, "oct", _no_key(_part(jwk, "k")), b"")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        msg = "is a private key: keep it away and give its public half"
        raise Malformed(msg)
    try:
        key = _public(jwk)
    except Malformed:
        raise
    except ValueError:
        key = None
    if key is None:
        msg = "holds numbers that make no key"
        raise Malformed(msg)
    return _raw(key, label, kid, alg)


def _public(jwk: Mapping[str, Any]) -> PublicKeyTypes:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            return rsa.RSAPublicNumbers(_int(jwk, "e"), _int(jwk, "n")).public_key()
        case "EC", str(crv) if crv in _CURVES:
            return _point(jwk, _CURVES[crv])
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_part(jwk, "x"))
    msg = "is of an unknown kind: 'kty' is RSA, EC with P-256, P-384, P-521, or OKP"
    raise Malformed(f"{msg} with Ed25519")


def _point(jwk: Mapping[str, Any], curve: ec.EllipticCurve) -> PublicKeyTypes:
    size = (curve.key_size + 7) // 8
    if not len(_part(jwk, "x")) == len(_part(jwk, "y")) == size:
        msg = f"has coordinates of another length than {size} bytes (RFC 7518, 6.2.1)"
        raise Malformed(msg)
    numbers = ec.EllipticCurvePublicNumbers(_int(jwk, "x"), _int(jwk, "y"), curve)
    return numbers.public_key()


def _part(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        msg = f"has no string {name!r}"
        raise Malformed(msg)
    return decode_part(value)


def _int(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_part(jwk, name), "big")


def _raw(key: PublicKeyTypes, label: str, kid: str | None, alg: str | None) -> RawKey:
    if isinstance(key, rsa.RSAPublicKey):
        kind = "RSA"
        _check_rsa(key)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = _NAME_OF_CURVE.get(key.curve.name, "")
    else:
        kind = "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else ""
    if not kind:
        msg = f"is neither RSA nor Ed25519 nor on one of {', '.join(_CURVES)}"
        raise Malformed(msg)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return RawKey(label, kid, alg, kind, key, der)


def _check_rsa(key: rsa.RSAPublicKey) -> None:
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        msg = f"has {key.key_size} bits: RSA takes {_MIN_RSA_BITS} or more"
        raise Malformed(msg)
    if key.public_numbers().e > _MAX_RSA_EXPONENT:
        msg = "has an exponent over 32 bits, which makes each verification slow"
        raise Malformed(msg)


def _bytes(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, str):
            return value.encode()
        problem = type(value).__name__
    except UnicodeEncodeError:
        problem = "a string that UTF-8 cannot hold"
    msg = f"{name} is a string or bytes, not {problem}."
    raise ConfigurationError(msg)


def _no_key(secret: bytes) -> bytes:
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        msg = "The secret is a public key or a certificate: pass it as key."
    raise ConfigurationError(msg)
