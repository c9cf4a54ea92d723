"""Who is acting, and how a token's claims become one of a few fixed roles."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

from jwtrole.errors import ConfigurationError, RoleDenied
from jwtrole.fixed_roles import Role, name_of

__all__ = ["Identity", "RoleMap"]

# A sentinel tells one client of its own transactions and is never stored, so that
# a key per process is enough and nobody can compute another's.
_SENTINEL_KEY = secrets.token_bytes(32)

#: Takes the verified claims and answers with the claim value to look up.
RoleCallable = Callable[[Mapping[str, Any]], object]


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({k: _frozen(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


class Identity:
    """Be one verified identity: a role, its claims, and how long it may act.

    Immutable; compares and hashes by what it is, never by when it was made. The token
    is kept for the database to verify and shows in no ``repr``.

    Args:
        role: The PostgreSQL role, one of the fixed ones.
        claims: The token's claims (RFC 7519, section 4); empty for the anonymous role.
        issuer: The trusted issuer, or ``None`` for the anonymous role.
        expires: Last moment to begin a transaction, seconds since the epoch with the
            issuer's leeway added, or ``None`` for never.
        token: The compact token, or ``None``.
    """

    __slots__ = ("__dict__", "_token", "claims", "expires", "issuer", "role")

    role: str
    claims: Mapping[str, Any]
    issuer: str | None
    expires: float | None
    _token: str | None

    def __init__(
        self,
        role: str,
        claims: Mapping[str, Any] = MappingProxyType({}),
        *,
        issuer: str | None = None,
        expires: float | None = None,
        token: str | None = None,
    ) -> None:
        put = functools.partial(object.__setattr__, self)
        put("role", role)
        put("claims", _frozen(claims))
        put("issuer", issuer)
        put("expires", expires)
        put("_token", token)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"An Identity is immutable: {name!r} cannot be set."
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"An Identity is immutable: {name!r} cannot be deleted."
        raise AttributeError(msg)

    @property
    def subject(self) -> str | None:
        """Return the ``sub`` claim (RFC 7519, section 4.1.2), or ``None``."""
        sub = self.claims.get("sub")
        return sub if isinstance(sub, str) else None

    @property
    def token(self) -> str | None:
        """Return the compact token this identity was verified from, or ``None``."""
        return self._token

    @functools.cached_property
    def claims_json(self) -> str:
        """Return the claims as compact JSON (RFC 8259), the form policies read."""
        return json.dumps(_plain(self.claims), separators=(",", ":"), allow_nan=False)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that tell this identity from any other.

        Keyed with a secret of this process: it says nothing about the claims.
        """
        text = f"{self.issuer}\0{self.role}\0{self.claims_json}"
        return hashlib.blake2b(
            text.encode(), digest_size=8, key=_SENTINEL_KEY
        ).hexdigest()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Test frameworks copy what a test class holds; nothing in here can change.
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<Identity role={self.role!r} issuer={self.issuer!r}>"


class RoleMap:
    """Map verified claims to one of the fixed roles.

    Args:
        roles: The roles a token may name, or a mapping of claim value to role; each
            role by name or as a :class:`jwtrole.Role`.
        claim: One literal claim name (``"https://example.com/role"`` is one name), a
            path as a list (``["realm_access", "roles"]``), or a callable that takes
            the claims and returns the value.

    Raises:
        ConfigurationError: No role, a reserved or unusable role name, an empty path.
    """

    def __init__(
        self,
        roles: Sequence[str | Role] | Mapping[str, str | Role],
        claim: str | Sequence[str] | RoleCallable = "role",
    ) -> None:
        if isinstance(roles, str):
            msg = f"roles is a list or a mapping, not the string {roles!r}."
            raise ConfigurationError(msg)
        listed = tuple(roles.values() if isinstance(roles, Mapping) else roles)
        pairs = (
            roles
            if isinstance(roles, Mapping)
            else {name_of(one): one for one in listed}
        )
        if not pairs:
            msg = "roles is empty: name the fixed roles a token may have."
            raise ConfigurationError(msg)
        self._by_value = {}
        for value, role in pairs.items():
            if not isinstance(value, str) or not value:
                msg = f"A claim value in roles is a non-empty string, not {value!r}."
                raise ConfigurationError(msg)
            self._by_value[value] = name_of(role)
        self._declared = listed
        self._claim = claim if callable(claim) else self._path(claim)

    @staticmethod
    def _path(claim: str | Sequence[str]) -> tuple[str, ...]:
        path = (claim,) if isinstance(claim, str) else tuple(claim)
        if not path or not all(isinstance(step, str) and step for step in path):
            msg = f"role_claim is a claim name or a list of names, not {claim!r}."
            raise ConfigurationError(msg)
        return path

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the fixed roles, each once, in the order they were declared."""
        return tuple(dict.fromkeys(self._by_value.values()))

    @property
    def declared(self) -> tuple[str | Role, ...]:
        """Return the roles as they were declared."""
        return self._declared

    @property
    def values(self) -> Mapping[str, str]:
        """Return the claim values and the role each maps to."""
        return MappingProxyType(self._by_value)

    @property
    def path(self) -> tuple[str, ...] | None:
        """Return the path of the role claim, or ``None`` for a callable."""
        return None if callable(self._claim) else self._claim

    def role_of(self, claims: Mapping[str, Any]) -> str:
        """Return the role these claims map to; in an array the first allowed wins.

        Raises:
            RoleDenied: The claim is missing, is no string or array of strings, or
                holds no allowed value.
        """
        found = self._find(claims)
        candidates = found if isinstance(found, list | tuple) else (found,)
        if not all(isinstance(item, str) for item in candidates):
            raise RoleDenied(
                f"The role claim {self._shown()} is no string and no array of "
                "strings: have the issuer put the role's name there.",
                allowed=self.roles,
            )
        for value in candidates:
            if value in self._by_value:
                return self._by_value[value]
        raise RoleDenied(
            f"The role claim {self._shown()} names none of the allowed roles: give "
            "the user one at the issuer, or add it to the configuration.",
            allowed=self.roles,
        )

    def _find(self, claims: Mapping[str, Any]) -> object:
        if callable(self._claim):
            return self._claim(claims)
        found: object = claims
        for step in self._claim:
            if not isinstance(found, Mapping) or step not in found:
                raise RoleDenied(
                    f"The token has no role claim {self._shown()}: have the issuer "
                    "add it, or set role_claim to where the role stands.",
                    allowed=self.roles,
                )
            found = found[step]
        return found

    def _shown(self) -> str:
        if callable(self._claim):
            return "(read by a callable)"
        return repr(self._claim[0] if len(self._claim) == 1 else list(self._claim))
