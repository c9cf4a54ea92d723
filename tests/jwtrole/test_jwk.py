"""The reading of one key."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from jwtrole.errors import ConfigurationError
from jwtrole.jwk import KIND_OF, read_jwk, read_pem, read_secret
from tests.jwtrole.making import (
    ASYMMETRIC,
    SECRET,
    part,
    private_key,
    private_pem,
    public_jwk,
    public_pem,
)


def refused(jwk: Any, match: str) -> None:
    """Read a JWK that must be refused."""
    with pytest.raises(ConfigurationError, match=match):
        read_jwk(jwk)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_jwk_is_read(algorithm: str) -> None:
    """A JWK becomes the same public key as its PEM."""
    jwk = public_jwk(algorithm, kid="k1", use="sig", alg=algorithm)
    found = read_jwk(jwk)
    assert (found.kid, found.alg, found.kind) == ("k1", algorithm, KIND_OF[algorithm])
    pem = read_pem(public_pem(private_key(algorithm)))
    assert (pem.kind, pem.public) == (found.kind, found.public)
    assert (pem.kid, pem.alg) == (None, None)


def test_a_secret_jwk_is_read() -> None:
    """A symmetric key may be written as a JWK."""
    found = read_jwk({"kty": "oct", "k": part(SECRET), "alg": "HS256"})
    assert (found.kind, found.material, found.public) == ("oct", SECRET, b"")


def test_a_key_for_verifying_is_read() -> None:
    """`use` and `key_ops` may say that it verifies signatures."""
    assert read_jwk(public_jwk("EdDSA", use="sig", key_ops=["verify"])).kind
    assert read_jwk(public_jwk("EdDSA", key_ops=("sign", "verify"))).kind


@pytest.mark.parametrize("jwk", [None, [], "key", 7])
def test_a_jwk_is_an_object(jwk: object) -> None:
    """JSON of another type is no key."""
    refused(jwk, "A JWK is an object")


@pytest.mark.parametrize("use", ["enc", "", None, ["sig"]])
def test_a_key_for_another_use_is_refused(use: object) -> None:
    """A key for encryption verifies nothing."""
    refused(public_jwk("RS256", use=use), "'use' is not 'sig'")


@pytest.mark.parametrize("operations", [["sign"], [], "verify", None, ["wrapKey"]])
def test_a_key_for_other_operations_is_refused(operations: object) -> None:
    """A key whose operations leave out verifying verifies nothing."""
    refused(public_jwk("RS256", key_ops=operations), "'key_ops'")


@pytest.mark.parametrize("alg", ["none", "RSA-OAEP", "ES256K", "RS1", "", 7, ["RS256"]])
def test_a_key_for_another_algorithm_is_refused(alg: object) -> None:
    """An `alg` that is none of ours makes the key useless."""
    refused(public_jwk("RS256", alg=alg), "'alg' that is none of")


@pytest.mark.parametrize("kid", ["", 7, None, "a\nb", "x" * 257])
def test_a_kid_is_a_short_printable_string(kid: object) -> None:
    """A key id of another kind could be named by no token."""
    refused(public_jwk("RS256", kid=kid), "without a kid has a 'kid'")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_private_jwk_is_refused(algorithm: str) -> None:
    """Who verifies has no use for a private key."""
    verifier = get_default_algorithms()[algorithm]
    jwk = verifier.to_jwk(private_key(algorithm), as_dict=True)
    jwk.pop("key_ops", None)
    refused(jwk, "is a private key")


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth"])
def test_one_private_member_is_enough(member: str) -> None:
    """A JWK with any private member is a private one."""
    refused(public_jwk("RS256", **{member: "AQAB"}), "is a private key")


def test_an_rsa_key_under_2048_bits_is_refused() -> None:
    """RSA takes 2048 bits or more (RFC 7518, section 3.3)."""
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    jwk = get_default_algorithms()["RS256"].to_jwk(small.public_key(), as_dict=True)
    refused({**jwk, "kid": "k1"}, "The JWK 'k1' has 1024 bits: RSA takes 2048")
    with pytest.raises(ConfigurationError, match="has 1024 bits"):
        read_pem(public_pem(small))


def test_an_rsa_key_of_one_bit_less_is_refused() -> None:
    """The limit is exact."""
    number = (1 << 2046) + 1
    jwk = {"kty": "RSA", "n": part(number.to_bytes(256, "big")), "e": "AQAB"}
    refused(jwk, "has 2047 bits")


def test_an_rsa_key_that_nothing_verifies_is_refused() -> None:
    """A monstrous modulus costs time and verifies nothing."""
    number = (1 << 16384) + 1
    refused(
        {"kty": "RSA", "n": part(number.to_bytes(2049, "big")), "e": "AQAB"}, "bits"
    )


def test_a_large_rsa_exponent_is_refused() -> None:
    """A large exponent would make each verification slow."""
    exponent = part((2**32 + 1).to_bytes(5, "big"))
    refused({**public_jwk("RS256"), "e": exponent}, "exponent over 32 bits")


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("RS256", {"e": "AQAC"}),
        ("RS256", {"e": "AA"}),
        ("ES256", {"x": part(bytes(32)), "y": part(bytes(32))}),
        ("EdDSA", {"x": part(bytes(31))}),
    ],
)
def test_numbers_that_are_no_key_are_refused(
    algorithm: str, changes: dict[str, Any]
) -> None:
    """An even exponent, a point off the curve or a short key is no key."""
    refused({**public_jwk(algorithm), **changes}, "numbers that make no key")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_coordinates_have_the_curves_length(algorithm: str) -> None:
    """Coordinates are neither shortened nor lengthened (RFC 7518, section 6.2.1.2)."""
    jwk = public_jwk(algorithm)
    refused({**jwk, "x": part(bytes(31))}, "another length")
    refused({**jwk, "y": part(bytes(67))}, "another length")
    refused({**jwk, "x": part(bytes(31)), "y": part(bytes(31))}, "another length")


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": None},
        {"kty": "EC"},
        {"kty": ["RSA"]},
        {"kty": "EC", "crv": "secp256k1"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": "Ed448"},
        {"kty": "OKP", "crv": "X25519"},
    ],
)
def test_an_unknown_kind_is_refused(changes: dict[str, Any]) -> None:
    """Other curves and kinds have no algorithm here."""
    refused({**public_jwk("RS256"), **changes}, "unknown kind")


@pytest.mark.parametrize("value", [None, 7, "", "AQAB=", "AQ AB", "AQA+"])
def test_numbers_are_canonical_base64url(value: object) -> None:
    """A number is read as strictly as a token."""
    refused({**public_jwk("RS256"), "e": value}, "no string 'e'|canonical base64url")


def test_a_secret_is_bytes_or_text() -> None:
    """A text stands for its UTF-8 bytes."""
    assert read_secret("\u00e4" * 20).material == ("\u00e4" * 20).encode()
    assert read_secret(SECRET).material == SECRET


@pytest.mark.parametrize("value", [None, 7, ["x"], bytearray(64)])
def test_a_secret_is_nothing_else(value: object) -> None:
    """Another type is refused by name, not by value."""
    with pytest.raises(ConfigurationError, match="secret is a string or bytes"):
        read_secret(value)


def test_a_secret_that_is_no_utf_8_is_refused_unshown() -> None:
    """A text from a broken environment variable shows up nowhere."""
    with pytest.raises(ConfigurationError, match="UTF-8 cannot hold") as caught:
        read_secret("hunter2\udc80")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_as_a_secret_is_refused(algorithm: str) -> None:
    """What everybody knows is no secret: the door of the HS/RS confusion."""
    pem = public_pem(private_key(algorithm))
    with pytest.raises(ConfigurationError, match="is a public key"):
        read_secret(pem)
    refused({"kty": "oct", "k": part(pem)}, "is a public key")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_private_pem_is_refused(algorithm: str) -> None:
    """A private key is refused before it is even parsed."""
    pem = private_pem(private_key(algorithm))
    with pytest.raises(ConfigurationError, match="is a private key"):
        read_pem(pem)
    with pytest.raises(ConfigurationError, match="is a private key"):
        read_pem(pem.decode())


@pytest.mark.parametrize("pem", ["", "hunter2", b"-----BEGIN PUBLIC KEY-----", "{}"])
def test_what_is_no_pem_is_refused(pem: str | bytes) -> None:
    """Anything else is refused, and not repeated."""
    with pytest.raises(ConfigurationError, match="no public key in PEM") as caught:
        read_pem(pem)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("pem", [None, 7, ["x"]])
def test_a_pem_is_text(pem: object) -> None:
    """Another type is refused."""
    with pytest.raises(ConfigurationError, match="key is a string or bytes"):
        read_pem(pem)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
)
def test_a_pem_of_another_kind_is_refused(key: Any) -> None:
    """Other curves and kinds have no algorithm here."""
    with pytest.raises(ConfigurationError, match="neither RSA nor Ed25519"):
        read_pem(public_pem(key))


def test_a_certificate_is_no_public_key() -> None:
    """A certificate says more than a key, and nobody would check it."""
    key = private_key("EdDSA")
    name = x509.Name([])
    day = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, day, day + dt.timedelta(days=1)
    )
    pem = builder.sign(key, None).public_bytes(Encoding.PEM)
    with pytest.raises(ConfigurationError, match="no public key in PEM"):
        read_pem(pem)
    with pytest.raises(ConfigurationError, match="certificate"):
        read_secret(pem)


def test_an_rsa_pem_of_its_own_form_is_read() -> None:
    """`BEGIN RSA PUBLIC KEY` is a public key as well."""
    key = private_key("RS256").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert read_pem(pem).kind == "RSA"
