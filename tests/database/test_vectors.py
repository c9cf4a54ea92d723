"""Signatures that others have published, valid and invalid."""

from __future__ import annotations

import importlib.resources
import itertools
import re
from typing import TYPE_CHECKING, Any

import jwt
import psycopg
import pytest

from jwtrole.strict import decode_part
from tests.database.rfc import EXAMPLES
from tests.jwtrole.making import part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from tests.database.conftest import Verifier

ISSUER = "vectors"
PACKAGE = importlib.resources.files("cryptography_vectors")
HASHES = {"SHA256": "256", "SHA384": "384", "SHA512": "512"}
CURVES = {"P-256": 32, "P-384": 48, "P-521": 66}


def vectors(path: str) -> Traversable:
    """Return a file of the package's vectors for signatures."""
    return PACKAGE / "asymmetric" / path


def records(path: str) -> Iterator[dict[str, str]]:
    """Read a file of NIST's CAVP: each record with the values that stand above it."""
    above: dict[str, str] = {}
    record: dict[str, str] = {}
    for line in [*vectors(path).read_text().splitlines(), ""]:
        section = re.fullmatch(r"\[(.*)\]", line.strip())
        if section:
            above = {"section": section[1].replace(" ", "")}
        name, equals, value = line.partition("=")
        if equals and not section:
            record[name.strip()] = value.strip()
        elif not line.strip() and record:
            above.update({k: v for k, v in record.items() if k == "n"})
            yield {**above, **record}
            record = {}


def number(digits: str, size: int | None = None) -> str:
    """Return a hexadecimal number as a JWK has it."""
    value = int(digits, 16)
    return part(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def disagreements(verifier: Verifier, jwk: dict[str, Any], tests: list[Any]) -> int:
    """Add a key and count the answers to (message, signature, valid) that are wrong."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, jwk)
    found = verifier.signed_by(ISSUER, [(m, s) for m, s, _ in tests])
    assert len(found) == len(tests)
    return sum(
        got is not valid for got, (_, _, valid) in zip(found, tests, strict=True)
    )


@pytest.mark.parametrize(
    ("algorithm", "jwk", "token"),
    [row[1:] for row in EXAMPLES],
    ids=[row[0] for row in EXAMPLES],
)
def test_the_examples_of_the_standards(
    verifier: Verifier, algorithm: str, jwk: dict[str, str], token: str
) -> None:
    """What the RFCs have signed is taken, and no longer with one bit changed."""
    signed, _, signature = token.rpartition(".")
    raw = decode_part(signature)
    flipped = bytes([*raw[:-1], raw[-1] ^ 1])
    key = jwt.PyJWK(jwk, algorithm)

    assert key.Algorithm.verify(signed.encode(), key.key, raw)
    assert (
        disagreements(
            verifier,
            {**jwk, "alg": algorithm},
            [
                (signed.encode(), raw, True),
                (signed.encode(), flipped, False),
                (signed.encode() + b"A", raw, False),
            ],
        )
        == 0
    )


@pytest.mark.parametrize(
    ("family", "path"),
    [
        ("RS", "RSA/FIPS_186-2/SigVer15_186-3.rsp"),
        ("RS", "RSA/SigVer15EMTest.txt"),
        ("PS", "RSA/FIPS_186-2/SigVerPSS_186-3.rsp"),
    ],
)
def test_rsa_signatures_of_nist(verifier: Verifier, family: str, path: str) -> None:
    """All RSA vectors with our hashes, sizes and exponent get the published answer.

    For PSS PyJWT is asked, as it takes salts of one length only.
    """
    wanted = [
        record
        for record in records(path)
        if record.get("SHAAlg") in HASHES
        and "S" in record
        and int(record["e"], 16) == 65537
        and 2048 <= int(record["n"], 16).bit_length() <= 4096
    ]
    wrong = count = 0
    taken = set()
    for (modulus, name), group in itertools.groupby(
        wanted, lambda record: (record["n"], record["SHAAlg"])
    ):
        algorithm = family + HASHES[name]
        jwk = {"kty": "RSA", "alg": algorithm, "n": number(modulus), "e": "AQAB"}
        key = jwt.PyJWK(jwk, algorithm)
        tests = []
        for record in group:
            message, raw = bytes.fromhex(record["Msg"]), bytes.fromhex(record["S"])
            valid = key.Algorithm.verify(message, key.key, raw)
            assert family == "PS" or valid is record["Result"].startswith("P")
            tests.append((message, raw, valid))
            taken.add(valid)
        count += len(tests)
        wrong += disagreements(verifier, jwk, tests)

    assert (wrong, count >= 18, False in taken) == (0, True, True)


@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa_signatures_of_nist(verifier: Verifier, curve: str) -> None:
    """The ECDSA vectors of each curve with its hash get the published answer.

    Each has a key of its own; of P-521, whose keys take longest, the first six do.
    """
    size = CURVES[curve]
    name = {"P-256": "SHA-256", "P-384": "SHA-384", "P-521": "SHA-512"}[curve]
    answers: list[bool] = []
    wrong, most = 0, 6 if curve == "P-521" else 15
    for record in records("ECDSA/FIPS_186-3/SigVer.rsp"):
        if record["section"] == f"{curve},{name}" and len(answers) < most:
            jwk = {
                "kty": "EC",
                "crv": curve,
                "x": number(record["Qx"], size),
                "y": number(record["Qy"], size),
            }
            raw = b"".join(int(record[n], 16).to_bytes(size, "big") for n in ("R", "S"))
            valid = record["Result"].startswith("P")
            answers.append(valid)
            test = (bytes.fromhex(record["Msg"]), raw, valid)
            wrong += disagreements(verifier, jwk, [test])

    assert (wrong, len(answers), set(answers)) == (0, most, {True, False})


def test_public_keys_of_nist(verifier: Verifier) -> None:
    """A key is refused where NIST says that it is out of range or off the curve."""
    wrong: list[dict[str, str]] = []
    answers: list[bool] = []
    for record in records("ECDSA/FIPS_186-3/PKV.rsp"):
        size = CURVES.get(record["section"])
        x, y = int(record["Qx"], 16), int(record["Qy"], 16)
        if size is None or max(x, y) >= 1 << 8 * size:
            continue
        jwk = {
            "kty": "EC",
            "crv": record["section"],
            "x": number(record["Qx"], size),
            "y": number(record["Qy"], size),
        }
        verifier.trust(ISSUER)
        try:
            verifier.add_key(ISSUER, jwk)
        except psycopg.errors.InvalidParameterValue:
            answers.append(False)
        else:
            answers.append(True)
        if answers[-1] is not record["Result"].startswith("P"):
            wrong.append(record)

    assert (wrong, set(answers)) == ([], {True, False})


def test_ed25519_signatures(verifier: Verifier) -> None:
    """The vectors of Ed25519's authors are taken, and not with one bit changed."""
    lines = vectors("Ed25519/sign.input").read_text().splitlines()
    wrong = 0
    chosen = [*lines[:6], *lines[7::100]]
    for at, line in enumerate(chosen):
        _, public, message, signature = (
            bytes.fromhex(text) for text in line.split(":")[:4]
        )
        raw = signature[:64]
        flipped = bytearray(raw)
        flipped[at % 64] ^= 1 << at % 8
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(public)}
        tests = [(message, raw, True), (message, bytes(flipped), False)]
        wrong += disagreements(verifier, jwk, tests)

    assert (wrong, len(chosen)) == (0, 17)


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_macs_of_rfc_4231(verifier: Verifier, bits: int) -> None:
    """The MACs whose keys are long enough for us are taken, and no others with them."""
    text = (PACKAGE / "HMAC" / f"rfc-4231-sha{bits}.txt").read_text()
    text = re.sub(r"(?m)^#.*\n", "", text)
    found = re.findall(r"Key = (\w+)\nMsg = (\w+)\nMD = (\w+)", text)
    tests = [[bytes.fromhex(value) for value in one] for one in found]
    long = [one for one in tests if len(one[0]) * 8 >= bits]
    wrong = 0
    for key, message, mac in long:
        jwk = {"kty": "oct", "alg": f"HS{bits}", "k": part(key)}
        pairs = [(message, mac, True), (message, mac[::-1], False)]
        wrong += disagreements(verifier, jwk, pairs)

    assert (wrong, len(long)) == (0, 2)
