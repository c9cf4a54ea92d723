"""The rare cases of adding points, met on purpose with keys whose secret is known.

Scalars are chosen, and with them the order in which multiples of the base point G and
of the key Q are added: first those of G, from the highest pair of decimal digits down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tests.database.test_signatures import ORDERS
from tests.jwtrole.making import part

if TYPE_CHECKING:
    from tests.database.conftest import Verifier

ISSUER = "curves"
CURVES: dict[str, tuple[Any, int, Any]] = {
    "ES256": (ec.SECP256R1(), 32, hashes.SHA256()),
    "ES384": (ec.SECP384R1(), 48, hashes.SHA384()),
    "ES512": (ec.SECP521R1(), 66, hashes.SHA512()),
}
# Name, the key's secret d, and the multiples u1 of G and u2 of Q = d * G.
CASES = [
    ("equal points", 1, 5, 5),
    ("equal, then more", 1, 205, 205),
    ("equal after a carry", 2, 1000, 500),
    ("opposite, then nothing", -1, 5, 5),
    ("opposite, then more", -1, 200, 203),
    ("opposite twice", -1, 20202, 20209),
    ("opposite of a sum", -7, 707, 101),
    ("infinity, then doubled", -1, 300, 301),
    ("a single point", 3, 0, 7),
    ("only the key's", 1, 0, 12345),
    ("digits of 0", 1, 1000000, 1000001),
    ("one and one", 1, 1, 1),
    ("order less one", -1, -1, -2),
    ("half the order", 2, 99, -50),
]


def key_of(algorithm: str, secret: int) -> ec.EllipticCurvePublicKey:
    """Return the public key of a secret."""
    number = secret % ORDERS[algorithm]
    return ec.derive_private_key(number, CURVES[algorithm][0]).public_key()


def add(verifier: Verifier, algorithm: str, secret: int) -> None:
    """Have the issuer's one key be that of a secret."""
    curve, size, _ = CURVES[algorithm]
    numbers = key_of(algorithm, secret).public_numbers()
    crv = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[curve.name]
    x, y = (part(n.to_bytes(size, "big")) for n in (numbers.x, numbers.y))
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, {"kty": "EC", "crv": crv, "x": x, "y": y})


def crafted(algorithm: str, secret: int, u1: int, u2: int) -> tuple[bytes, int, int]:
    """Return a digest and a signature that make the verifier add u1 * G + u2 * Q."""
    n = ORDERS[algorithm]
    total = (u1 + u2 * secret) % n
    r = 12345 if total == 0 else key_of(algorithm, total).public_numbers().x % n
    s = r * pow(u2, -1, n) % n
    digest = u1 * s % n
    return digest.to_bytes(CURVES[algorithm][1], "big"), r, s


def answered(verifier: Verifier, algorithm: str, digest: bytes, raw: bytes) -> bool:
    """Return what the database says of a digest and a signature."""
    row = verifier.connection.execute(
        "SELECT jwtrole._ecdsa(k, %s, %s) FROM jwtrole.key AS k WHERE issuer = %s",
        (digest, raw, ISSUER),
    ).fetchone()
    assert row
    return bool(row[0])


@pytest.mark.parametrize("algorithm", CURVES)
def test_every_case_of_addition(verifier: Verifier, algorithm: str) -> None:
    """Equal and opposite points and infinity on the way give the right sum at last."""
    size = CURVES[algorithm][1]
    secrets = sorted({secret for _, secret, _, _ in CASES})
    wrong = []
    for secret in secrets:
        add(verifier, algorithm, secret)
        for name, d, u1, u2 in CASES:
            if d != secret:
                continue
            digest, r, s = crafted(algorithm, d, u1, u2)
            valid = (u1 + u2 * d) % ORDERS[algorithm] != 0
            raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
            other = (r + 1).to_bytes(size, "big") + s.to_bytes(size, "big")
            if answered(verifier, algorithm, digest, raw) is not valid:
                wrong.append(name)
            if answered(verifier, algorithm, digest, other):
                wrong.append(f"{name}, wrong")

    assert wrong == []


def openssl(algorithm: str, secret: int, digest: bytes, r: int, s: int) -> bool:
    """Return what OpenSSL says of the same."""
    prehashed = ec.ECDSA(utils.Prehashed(CURVES[algorithm][2]))
    try:
        key_of(algorithm, secret).verify(
            utils.encode_dss_signature(r, s), digest, prehashed
        )
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("algorithm", ["ES256", "ES384"])
def test_the_cases_are_what_openssl_says(algorithm: str) -> None:
    """What the crafted signatures should give is no invention of ours."""
    for name, secret, u1, u2 in CASES:
        found = crafted(algorithm, secret, u1, u2)
        valid = (u1 + u2 * secret) % ORDERS[algorithm] != 0

        assert openssl(algorithm, secret, *found) is valid, name


@pytest.mark.parametrize("algorithm", CURVES)
def test_impossible_numbers_are_refused(verifier: Verifier, algorithm: str) -> None:
    """0, the order and beyond are no r and no s; -s is as good as s."""
    n, size = ORDERS[algorithm], CURVES[algorithm][1]
    add(verifier, algorithm, 1)
    digest, r, s = crafted(algorithm, 1, 3, 4)
    answers = [
        answered(
            verifier,
            algorithm,
            digest,
            a.to_bytes(size, "big") + b.to_bytes(size, "big"),
        )
        for a, b in ((r, s), (r, n - s), (0, s), (n, s), (r, 0), (r, n), (n - r, s))
    ]

    assert answers == [True, True, False, False, False, False, False]


def plus(p: int, one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """Add two points of a curve with a = -3, neither infinity nor opposite."""
    if one == two:
        slope = (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, p)
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, p)
    x = (slope * slope - one[0] - two[0]) % p
    return x, (slope * (one[0] - x) - one[1]) % p


def times(p: int, factor: int, point: tuple[int, int]) -> tuple[int, int]:
    """Multiply a point by a factor of 1 or more."""
    found = point
    for bit in bin(factor)[3:]:
        found = plus(p, found, found)
        if bit == "1":
            found = plus(p, found, point)
    return found


def test_an_x_beyond_the_order(verifier: Verifier) -> None:
    """Where x lies between order and prime, r is x less the order, and is taken."""
    n, p = ORDERS["ES256"], 2**256 - 2**224 + 2**192 + 2**96 - 1
    gx, gy = (getattr(key_of("ES256", 1).public_numbers(), name) for name in ("x", "y"))
    b = (gy * gy - gx**3 + 3 * gx) % p
    # A point whose x is just above the order, and the key that has it as the sum.
    x = next(x for x in range(n, p) if pow(x**3 - 3 * x + b, (p - 1) // 2, p) == 1)
    beyond = (x, pow(x**3 - 3 * x + b, (p + 1) // 4, p))
    u1, u2 = 2024, 77
    difference = plus(p, beyond, times(p, n - u1, (gx, gy)))
    qx, qy = times(p, pow(u2, -1, n), difference)
    r = x - n
    s = r * pow(u2, -1, n) % n
    digest = (u1 * s % n).to_bytes(32, "big")
    ec.EllipticCurvePublicNumbers(qx, qy, ec.SECP256R1()).public_key().verify(
        utils.encode_dss_signature(r, s),
        digest,
        ec.ECDSA(utils.Prehashed(hashes.SHA256())),
    )
    verifier.trust(ISSUER)
    jwk = {"kty": "EC", "crv": "P-256", "x": part(qx.to_bytes(32, "big"))}
    verifier.add_key(ISSUER, {**jwk, "y": part(qy.to_bytes(32, "big"))})
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")

    assert answered(verifier, "ES256", digest, raw)
