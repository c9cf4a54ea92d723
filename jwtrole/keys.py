"""The keys of one issuer, each bound to the algorithms it may verify.

A key carries its algorithms with it, and one issuer's algorithms are all symmetric or
all asymmetric: no header can have a public key used as a secret (RFC 8725, section
2.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import get_default_algorithms

from jwtrole.errors import ConfigurationError, TokenRejected
from jwtrole.jwk import KIND_OF, RawKey, read_jwk, read_pem, read_secret

__all__ = [
    "ALGORITHMS",
    "Key",
    "KeySet",
    "check_algorithms",
    "keys_of_jwks",
    "keys_of_key",
    "keys_of_secret",
    "usable_keys",
]

#: The algorithms a token may be signed with.
ALGORITHMS = tuple(KIND_OF)

# RFC 7518, section 3.2: a secret is at least as long as the hash, in bytes.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# A token without a kid costs one verification for each key.
_MAX_CANDIDATES = 8

_VERIFIERS = get_default_algorithms()


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """Be one key and the algorithms it verifies.

    Args:
        kid: The key's id, where it has one.
        algorithms: What it verifies.
        public: The public key's DER, by which two keys are told apart.
        material: The key itself.
    """

    kid: str | None
    algorithms: tuple[str, ...]
    public: bytes
    material: Any = field(compare=False)

    def verifies(self, alg: str, signed: bytes, signature: bytes) -> bool:
        """Say whether this key made the signature, with this algorithm."""
        if alg not in self.algorithms:
            return False
        return bool(_VERIFIERS[alg].verify(signed, self.material, signature))

    def __repr__(self) -> str:
        return f"<Key kid={self.kid!r} algorithms={self.algorithms!r}>"


@dataclass(frozen=True, slots=True)
class KeySet:
    """Be keys that are at hand.

    Args:
        keys: The keys.
        algorithms: The algorithms of the issuer.
        by_kid: Whether a token's ``kid`` selects the key. A key that was configured
            alone and without an id has nothing to be compared with.
    """

    keys: tuple[Key, ...]
    algorithms: tuple[str, ...]
    by_kid: bool = True

    @property
    def generation(self) -> int:
        """Return 0: keys at hand do not change."""
        return 0

    def ready(self) -> bool:
        """Say that there are no newer keys to look for."""
        return True

    def current(self) -> KeySet:
        """Return itself: there is nothing to fetch."""
        return self

    def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys with exactly this id, or all of ``alg`` without an id.

        Raises:
            TokenRejected: They are more than are ever tried for one token.
        """
        any_kid = kid is None or not self.by_kid
        found = tuple(
            key
            for key in self.keys
            if alg in key.algorithms and (any_kid or key.kid == kid)
        )
        if len(found) > _MAX_CANDIDATES:
            msg = (
                f"{len(found)} keys could have signed the token and at most "
                f"{_MAX_CANDIDATES} are tried: have the issuer give each key a 'kid' "
                "of its own and name it in each token."
            )
            raise TokenRejected(msg, kid=kid)
        return found


def check_algorithms(algorithms: Sequence[str]) -> tuple[str, ...]:
    """Return the algorithms, each known, none twice, all of one family.

    Raises:
        ConfigurationError: One is unknown, there is none, or the families are mixed.
    """
    names = () if isinstance(algorithms, str) else tuple(algorithms)
    if not names or not all(name in ALGORITHMS for name in names):
        msg = f"algorithms is a list of {', '.join(ALGORITHMS)}, not {algorithms!r}."
        raise ConfigurationError(msg)
    if len({KIND_OF[name] == "oct" for name in names}) > 1:
        msg = (
            f"algorithms {names!r} mixes secrets (HS...) with public keys, so that "
            "anybody could sign with the public key: make two issuers of it."
        )
        raise ConfigurationError(msg)
    return tuple(dict.fromkeys(names))


def keys_of_jwks(jwks: Mapping[str, Any], algorithms: tuple[str, ...] | None) -> KeySet:
    """Return the keys of a JWK set (RFC 7517, section 5), each of them usable.

    Raises:
        ConfigurationError: One is not, or there is none.
    """
    raws = [read_jwk(jwk) for jwk in _members(jwks)]
    if not raws:
        msg = "jwks holds no key: put the issuer's public keys into it."
        raise ConfigurationError(msg)
    return _bound(raws, algorithms)


def keys_of_key(
    key: str | bytes | Mapping[str, Any], algorithms: tuple[str, ...] | None
) -> KeySet:
    """Return one key: a JWK, or a public key as PEM.

    Raises:
        ConfigurationError: It is neither, private, too short or of another curve.
    """
    raw = read_jwk(key) if isinstance(key, Mapping) else read_pem(key)
    return _bound([raw], algorithms, by_kid=raw.kid is not None)


def keys_of_secret(secret: str | bytes, algorithms: tuple[str, ...] | None) -> KeySet:
    """Return a shared secret as the one key.

    Raises:
        ConfigurationError: It is shorter than the hash, or is a public key.
    """
    return _bound([read_secret(secret)], algorithms, by_kid=False)


def usable_keys(jwks: Mapping[str, Any], algorithms: tuple[str, ...]) -> KeySet:
    """Return those keys of a fetched JWK set that are public and fit the algorithms.

    A set may well hold keys for other uses: they are left out and never tried.

    Raises:
        ConfigurationError: It is no JWK set.
    """
    keys: list[Key] = []
    for jwk in _members(jwks):
        try:
            keys.append(_bind(read_jwk(jwk), algorithms))
        except ConfigurationError:
            continue
    # Some issuers shuffle: the same keys must compare equal.
    keys.sort(key=lambda key: (key.kid or "", key.public))
    return KeySet(tuple(keys), algorithms)


def _members(jwks: Mapping[str, Any]) -> Sequence[Any]:
    members = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(members, list | tuple):
        msg = "A JWK set is an object with an array 'keys' (RFC 7517, section 5)."
        raise ConfigurationError(msg)
    return members


def _bound(
    raws: list[RawKey], algorithms: tuple[str, ...] | None, *, by_kid: bool = True
) -> KeySet:
    known = algorithms or check_algorithms([_derived(raw) for raw in raws])
    return KeySet(tuple(_bind(raw, known) for raw in raws), known, by_kid)


def _derived(raw: RawKey) -> str:
    fitting = [alg for alg, kind in KIND_OF.items() if kind == raw.kind]
    if raw.alg is None and len(fitting) > 1:
        msg = f"{raw.label} fits {', '.join(fitting)}: name the ones in algorithms."
        raise ConfigurationError(msg)
    return raw.alg or fitting[0]


def _bind(raw: RawKey, algorithms: tuple[str, ...]) -> Key:
    fitting = tuple(
        alg for alg in algorithms if KIND_OF[alg] == raw.kind and raw.alg in {None, alg}
    )
    if not fitting:
        own = "" if raw.alg is None else f" with alg {raw.alg}"
        msg = (
            f"{raw.label} ({raw.kind}{own}) fits none of the issuer's algorithms "
            f"{', '.join(algorithms)}: correct one or the other."
        )
        raise ConfigurationError(msg)
    needed = max(_SECRET_BYTES.get(alg, 0) for alg in fitting)
    if needed and len(raw.material) < needed:
        msg = (
            f"{raw.label} has {len(raw.material)} bytes and {', '.join(fitting)} "
            f"needs {needed} (RFC 7518, section 3.2): have a random one of 64 made."
        )
        raise ConfigurationError(msg)
    return Key(raw.kid, fitting, raw.public, raw.material)
