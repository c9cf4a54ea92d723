"""Issuers with keys of every kind, their tokens, and what verifies them in Python."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwtrole import Issuer, JWTRole
from tests.benchmarks.measuring import Reading
from tests.postgres import ANONYMOUS, ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["APP_NAME", "TENANT", "Signer", "Verification", "configuration", "signers"]

APP_NAME = "bench"
TENANT = uuid.UUID(int=1)

_AUDIENCE = "billing"
_LIFETIME = 3600

_KEYS: dict[str, Callable[[], Any]] = {
    "HS256": lambda: b"a shared secret of this run only" * 2,
    "RS256-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RS256-4096": lambda: rsa.generate_private_key(65537, 4096),
    "PS256-2048": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass
class Signer:
    """Be an issuer with one key.

    Args:
        name: Its algorithm and, where there are several, the bits of its key.
        private: What it signs with.
    """

    name: str
    private: Any

    @property
    def algorithm(self) -> str:
        """Return what its tokens are signed with."""
        return self.name.partition("-")[0]

    @property
    def public(self) -> Any:
        """Return what its tokens are verified with."""
        shared = isinstance(self.private, bytes)
        return self.private if shared else self.private.public_key()

    @property
    def url(self) -> str:
        """Return its ``iss`` claim."""
        return f"https://{self.name.lower()}.test/"

    @property
    def issuer(self) -> Issuer:
        """Return it as an issuer to trust."""
        algorithm = get_default_algorithms()[self.algorithm]
        jwk = algorithm.to_jwk(self.public, as_dict=True)
        jwk = {**jwk, "kid": self.name, "alg": self.algorithm}
        jwk.pop("key_ops", None)
        return Issuer(
            self.url,
            audience=_AUDIENCE,
            jwks={"keys": [jwk]},
            algorithms=[self.algorithm],
        )

    @cached_property
    def token(self) -> str:
        """Return a token with the claims that identity providers give."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + _LIFETIME,
            "sub": str(uuid.UUID(int=7)),
            "jti": str(uuid.UUID(int=8)),
            "email": "ada@example.com",
            "scope": "openid profile email",
            "role": ROLES[0],
            "tenant_id": str(TENANT),
        }
        return jwt.encode(
            claims, self.private, algorithm=self.algorithm, headers={"kid": self.name}
        )

    def decoded(self) -> None:
        """Verify the token with PyJWT and nothing else."""
        jwt.decode(
            self.token,
            self.public_once,
            algorithms=[self.algorithm],
            audience=_AUDIENCE,
            issuer=self.url,
        )

    @cached_property
    def public_once(self) -> Any:
        """Return the public key, made once."""
        return self.public


def signers() -> list[Signer]:
    """Return an issuer for each algorithm and size of key, with keys made now."""
    return [Signer(name, make()) for name, make in _KEYS.items()]


def configuration(issuers: Sequence[Signer], trust: str) -> JWTRole:
    """Return what trusts them all and remembers no token."""
    return JWTRole(
        [one.issuer for one in issuers],
        list(ROLES),
        anonymous=ANONYMOUS,
        trust=trust,
        app_name=APP_NAME,
        cache_size=0,
    )


@dataclass
class Verification:
    """Measure what verifying a token takes in Python.

    Args:
        name: What it is called.
        run: What verifies it.
        batch: How often one reading does.
    """

    name: str
    run: Callable[[], object]
    batch: int = 5
    rows: int = 0
    note: str = ""

    def measure(self) -> Reading:
        """Verify a batch, by the processor time of this thread."""
        began, spent = time.perf_counter_ns(), time.thread_time_ns()
        for _ in range(self.batch):
            self.run()
        spent, wall = time.thread_time_ns() - spent, time.perf_counter_ns() - began
        return Reading(spent / 1000 / self.batch, wall / 1000 / self.batch, 0)
