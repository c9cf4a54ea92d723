"""For tests: an issuer made on the spot, its tokens, and acting as their holders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwtrole.context import acting_as as _acting_as
from jwtrole.errors import ConfigurationError
from jwtrole.tokens import Issuer, JWTRole

if TYPE_CHECKING:
    from jwtrole.identity import Identity

__all__ = ["ThrowawayIssuer", "acting_as"]

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}

_LIFETIME = 600


def _private_key(algorithm: str) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm in _RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    known = ", ".join((*_RSA, *_CURVES, "EdDSA"))
    msg = f"A throw-away issuer signs with {known}, not {algorithm!r}."
    raise ConfigurationError(msg)


class ThrowawayIssuer:
    """Issue tokens with a key that was made for this run and is in nobody's hands.

    Args:
        issuer: Its ``iss`` claim.
        audience: The ``aud`` claim of its tokens.
        algorithm: ``RS256`` and the like, ``PS``, ``ES`` or ``EdDSA``.

    Raises:
        ConfigurationError: An algorithm without a key pair.
    """

    def __init__(
        self,
        issuer: str = "https://issuer.test/",
        audience: str = "tests",
        algorithm: str = "EdDSA",
    ) -> None:
        self.name = issuer
        self.audience = audience
        self.algorithm = algorithm
        self._key = _private_key(algorithm)
        public = get_default_algorithms()[algorithm].to_jwk(
            self._key.public_key(), as_dict=True
        )
        #: Its public keys as a JWK set (RFC 7517, section 5).
        self.jwks: dict[str, Any] = {
            "keys": [{**public, "kid": "throwaway", "use": "sig", "alg": algorithm}]
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Return it as an entry of the Django setting ``JWTROLE["ISSUERS"]``."""
        return {
            "issuer": self.name,
            "audience": self.audience,
            "jwks": self.jwks,
            "algorithms": [self.algorithm],
        }

    @property
    def issuer(self) -> Issuer:
        """Return it as an issuer to trust."""
        return Issuer(
            self.name,
            audience=self.audience,
            jwks=self.jwks,
            algorithms=[self.algorithm],
        )

    def mint(self, **claims: Any) -> str:
        """Return a compact token with these claims.

        ``iss``, ``aud``, ``iat`` (now) and ``exp`` (now and 600 seconds) are there
        unless given; a claim given as ``None`` is left out.
        """
        now = int(time.time())
        payload = {
            "iss": self.name,
            "aud": self.audience,
            "iat": now,
            "exp": now + _LIFETIME,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in payload.items() if value is not None},
            self._key,
            algorithm=self.algorithm,
            headers={"kid": "throwaway"},
        )

    def identity(self, auth: JWTRole, **claims: Any) -> Identity:
        """Mint a token and return the identity ``auth`` makes of it.

        Raises:
            TokenError: ``auth`` does not trust this issuer, or the claims are no good.
            RoleDenied: The claims name no allowed role.
        """
        return auth.verify(self.mint(**claims))


def acting_as(auth: JWTRole, issuer: ThrowawayIssuer, **claims: Any) -> _acting_as:
    """Act as the holder of a token that is minted for the block.

    The way in is the real one: the token is signed, verified and mapped to a role.
    """
    return _acting_as(issuer.identity(auth, **claims))
