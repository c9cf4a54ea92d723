"""Who is trusted to issue tokens, and whether a token is really theirs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jwtrole.errors import ConfigurationError, TokenExpired, TokenRejected
from jwtrole.jwks import RemoteKeys
from jwtrole.keys import (
    check_algorithms,
    keys_of_jwks,
    keys_of_key,
    keys_of_secret,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwtrole.compact import Compact
    from jwtrole.keys import Key, KeySet

__all__ = ["Issuer"]

_MAX_LEEWAY = 300
_MAX_LIFETIME = 24 * 60 * 60


class Issuer:
    """Be one trusted issuer of tokens: its name, its keys, who its tokens are for.

    Exactly one of ``jwks_uri``, ``jwks``, ``key`` and ``secret`` says where the keys
    come from.

    Args:
        issuer: The exact ``iss`` of its tokens (RFC 7519, section 4.1.1).
        audience: The ``aud`` values that mean this application; one must be in the
            token (RFC 7519, section 4.1.3).
        jwks_uri: Where it publishes its public keys: https, or http on this machine.
        jwks: Its public keys, or secrets, as a JWK set (RFC 7517, section 5).
        key: Its one public key, as PEM or as a JWK. A key without an id serves tokens
            with any ``kid`` and with none.
        secret: The secret shared with it, for HS256, HS384 and HS512.
        algorithms: What its tokens may be signed with. May be left out where each key
            fits one algorithm alone.
        leeway: Seconds its clock may differ from ours, 0 to 300.
        jwks_lifetime: Seconds that keys from ``jwks_uri`` outlast an outage, at most a
            day. They are fetched again every 300 seconds.
        clock: Seconds that only ever grow, by which keys grow old; for tests.

    Raises:
        ConfigurationError: One of these cannot work.
    """

    __slots__ = ("_keys", "audience", "issuer", "jwks_uri", "leeway")

    def __init__(  # noqa: PLR0913  settings with defaults, by keyword only
        self,
        issuer: str,
        *,
        audience: str | Sequence[str],
        jwks_uri: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        key: str | bytes | Mapping[str, Any] | None = None,
        secret: str | bytes | None = None,
        algorithms: Sequence[str] | None = None,
        leeway: float = 30,
        jwks_lifetime: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: The exact ``iss`` of its tokens.
        self.issuer: str = _text(issuer)
        #: The ``aud`` values that mean this application.
        self.audience: tuple[str, ...] = _audience(audience)
        #: Where its public keys are fetched, or ``None``.
        self.jwks_uri: str | None = jwks_uri
        #: Seconds its clock may differ from ours.
        self.leeway: float = _seconds("leeway", leeway, 0, _MAX_LEEWAY)
        lifetime = _seconds("jwks_lifetime", jwks_lifetime, 1, _MAX_LIFETIME)
        _exactly_one(jwks_uri=jwks_uri, jwks=jwks, key=key, secret=secret)
        known = None if algorithms is None else check_algorithms(algorithms)
        self._keys: KeySet | RemoteKeys
        if jwks is not None:
            self._keys = keys_of_jwks(jwks, known)
        elif key is not None:
            self._keys = keys_of_key(key, known)
        elif secret is not None:
            self._keys = keys_of_secret(secret, known)
        else:
            self._keys = RemoteKeys(
                jwks_uri,
                issuer=self.issuer,
                algorithms=_asymmetric(known),
                lifetime=lifetime,
                clock=clock,
            )

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return what its tokens may be signed with."""
        return self._keys.algorithms

    @property
    def generation(self) -> int:
        """Return a number that changes when its keys change."""
        return self._keys.generation

    def ready(self) -> bool:
        """Say whether its keys may be used without looking for newer ones."""
        return self._keys.ready()

    def current_keys(self) -> tuple[tuple[Key, ...], bool]:
        """Return its keys, fetched where they are published, and whether ids matter.

        Raises:
            KeysUnavailable: The keys cannot be had.
        """
        kept = self._keys.current()
        return kept.keys, kept.by_kid

    def check_signature(self, token: Compact) -> None:
        """Refuse a token that none of this issuer's keys has signed.

        Raises:
            TokenRejected: Its algorithm, key id or signature is not this issuer's.
            KeysUnavailable: The keys cannot be had.
        """
        if token.alg not in self.algorithms:
            raise self._rejected(
                "is not signed with one of the issuer's algorithms: compare its "
                "header's alg with the configured ones",
                token,
            )
        keys = self._keys.find(token.kid, token.alg)
        if not keys:
            raise self._rejected(
                "names a key that the issuer does not have for its algorithm: compare "
                "its header's kid with the issuer's keys",
                token,
            )
        for key in keys:
            if key.verifies(token.alg, token.signing_input, token.signature):
                return
        raise self._rejected("has a wrong signature: get a new one", token)

    def check_claims(self, token: Compact, now: float) -> tuple[float, float]:
        """Refuse a token that is for somebody else or for another time.

        Args:
            token: The token, its signature checked.
            now: Seconds since the epoch.

        Returns:
            From when and until when it is good, the leeway added on both sides.

        Raises:
            TokenRejected: It is for another audience, or not valid yet.
            TokenExpired: Its time is over.
        """
        claims = token.claims
        audience = claims["aud"]
        names = audience if isinstance(audience, list) else [audience]
        if not set(names) & set(self.audience):
            raise self._rejected(
                "is for another audience: have the issuer put one of the configured "
                "names into its aud",
                token,
            )
        begins = max(claims.get("nbf", 0), claims.get("iat", 0)) - self.leeway
        ends = claims["exp"] + self.leeway
        if now < begins:
            raise self._rejected(
                "is not valid yet: compare the clocks of the issuer and of this "
                "machine",
                token,
            )
        if now >= ends:
            msg = "The token has expired: get a new one."
            raise TokenExpired(msg, issuer=self.issuer, kid=token.kid)
        return begins, ends

    def _rejected(self, problem: str, token: Compact) -> TokenRejected:
        return TokenRejected(f"The token {problem}.", issuer=self.issuer, kid=token.kid)

    def __repr__(self) -> str:
        return (
            f"<Issuer {self.issuer!r} audience={self.audience!r} "
            f"algorithms={self.algorithms!r}>"
        )


def _text(issuer: object) -> str:
    if isinstance(issuer, str) and issuer:
        return issuer
    msg = f"issuer is the non-empty iss of its tokens, not {issuer!r}."
    raise ConfigurationError(msg)


def _audience(audience: str | Sequence[str]) -> tuple[str, ...]:
    names = (audience,) if isinstance(audience, str) else tuple(audience)
    if names and all(isinstance(name, str) and name for name in names):
        return names
    msg = f"audience is a name or a list of names of this application, not {names!r}."
    raise ConfigurationError(msg)


def _seconds(name: str, value: float, least: float, most: float) -> float:
    if type(value) in {int, float} and least <= value <= most:
        return value
    msg = f"{name} is a number of seconds from {least} to {most}, not {value!r}."
    raise ConfigurationError(msg)


def _exactly_one(**sources: object) -> None:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        msg = (
            f"An issuer has one source of keys out of {', '.join(sources)}; given: "
            f"{', '.join(given) or 'none'}."
        )
        raise ConfigurationError(msg)


def _asymmetric(algorithms: tuple[str, ...] | None) -> tuple[str, ...]:
    # What is fetched must not choose the algorithm, and a secret is never published.
    if algorithms and not algorithms[0].startswith("HS"):
        return algorithms
    msg = (
        "With jwks_uri, algorithms is a list of the issuer's asymmetric ones, such as "
        f"['RS256'], not {algorithms!r}."
    )
    raise ConfigurationError(msg)
