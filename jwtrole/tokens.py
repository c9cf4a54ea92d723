"""From a token to an identity: trusted issuers, verified claims, one allowed role."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from jwtrole import compact
from jwtrole.errors import ConfigurationError, UnknownIssuer
from jwtrole.fixed_roles import every_role, name_of, reach
from jwtrole.identity import Identity, RoleCallable, RoleMap
from jwtrole.issuers import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwtrole.fixed_roles import Role

__all__ = ["Issuer", "JWTRole"]

_TRUST = ("database", "application")


class _Verified(NamedTuple):
    identity: Identity
    issuer: Issuer
    begins: float
    ends: float


class _Cache:
    """Keep the tokens verified last, by their hash, until any issuer's keys change."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._generations: tuple[int, ...] = ()
        self._found: OrderedDict[bytes, _Verified] = OrderedDict()

    def get(self, digest: bytes, generations: tuple[int, ...]) -> _Verified | None:
        with self._lock:
            if generations != self._generations:
                self._found.clear()
                self._generations = generations
            found = self._found.get(digest)
            if found is not None:
                self._found.move_to_end(digest)
            return found

    def put(
        self, digest: bytes, verified: _Verified, generations: tuple[int, ...]
    ) -> None:
        with self._lock:
            # The keys may have changed while this token was being verified.
            if generations == self._generations:
                self._found[digest] = verified
            if len(self._found) > self._size:
                self._found.popitem(last=False)


class JWTRole:
    """Be what an application trusts: its issuers, its roles, and who is anonymous.

    Safe to share between threads and tasks; make one and keep it.

    Args:
        issuers: Who may issue tokens, each name once.
        roles: The roles a token may name, or a mapping of claim value to role; each
            role by name, or as a :class:`Role` with what it inherits and its limits.
        role_claim: Where the role stands: a claim's literal name, a path as a list, or
            a callable that takes the claims. In an array the first allowed role wins.
        anonymous: The role without a token, or ``None`` to refuse statements then.
        trust: Who is trusted to say who is acting: the ``"database"``, which verifies
            each token itself, or the ``"application"``, which then must be proof
            against injected SQL.
        app_name: What the application calls itself in PostgreSQL's activity view.
        cache_size: How many verified tokens are remembered; 0 for none.
        clock: Seconds since the epoch; for tests.

    Raises:
        ConfigurationError: One of these cannot work.
    """

    def __init__(  # noqa: PLR0913  settings with defaults
        self,
        issuers: Sequence[Issuer],
        roles: Sequence[str | Role] | Mapping[str, str | Role],
        role_claim: str | Sequence[str] | RoleCallable = "role",
        *,
        anonymous: str | Role | None = None,
        trust: str = "database",
        app_name: str = "jwtrole",
        cache_size: int = 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if trust not in _TRUST:
            msg = f"trust is one of {', '.join(_TRUST)}, not {trust!r}."
            raise ConfigurationError(msg)
        if not isinstance(app_name, str) or not app_name:
            msg = f"app_name is a non-empty string, not {app_name!r}."
            raise ConfigurationError(msg)
        if type(cache_size) is not int or cache_size < 0:
            msg = f"cache_size is a number of tokens, 0 or more, not {cache_size!r}."
            raise ConfigurationError(msg)
        self._issuers = _by_name(issuers)
        self._role_map = RoleMap(roles, role_claim)
        if trust == "database" and self._role_map.path is None:
            msg = (
                "role_claim is a callable, which the database cannot call: name the "
                "claim or its path, or set trust='application'."
            )
            raise ConfigurationError(msg)
        self._anonymous = None if anonymous is None else Identity(name_of(anonymous))
        self._fixed_roles = every_role(
            [*self._role_map.declared, *([] if anonymous is None else [anonymous])]
        )
        self._settings = {
            name: role.settings
            for name, role in self._fixed_roles.items()
            if role.settings
        }
        self._trust = trust
        self._app_name = app_name
        self._cache = _Cache(cache_size)
        self._clock = clock

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """Return the trusted issuers."""
        return tuple(self._issuers.values())

    @property
    def role_map(self) -> RoleMap:
        """Return how claims become a role."""
        return self._role_map

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles a token may name, each once."""
        return self._role_map.roles

    @property
    def fixed_roles(self) -> Mapping[str, Role]:
        """Return every role by name, the anonymous one and inherited ones as well."""
        return MappingProxyType(self._fixed_roles)

    @property
    def settings(self) -> Mapping[str, Mapping[str, str]]:
        """Return the settings of each role that has some."""
        return self._settings

    def reach(self, role: str) -> frozenset[str]:
        """Return the roles whose grants and policies are a role's: itself, inherited.

        Args:
            role: A role's name; one that is not declared reaches itself alone.
        """
        return reach(self._fixed_roles, role)

    @property
    def anonymous(self) -> Identity | None:
        """Return the identity without a token, or ``None`` where there is none."""
        return self._anonymous

    @property
    def trust(self) -> str:
        """Return who is trusted to say who is acting."""
        return self._trust

    @property
    def app_name(self) -> str:
        """Return what the application calls itself."""
        return self._app_name

    def verify(self, token: str) -> Identity:
        """Return the identity a token proves.

        A token that was verified before is answered from memory while its time lasts
        and no issuer's keys have changed. May fetch an issuer's keys, which takes up
        to five seconds.

        Args:
            token: A compact JSON Web Token (RFC 7519), without ``Bearer``.

        Raises:
            TokenExpired: Its time is over.
            UnknownIssuer: None of the trusted issuers issued it.
            TokenRejected: Its form, signature or claims are wrong.
            RoleDenied: It names none of the allowed roles.
            KeysUnavailable: Its issuer's keys cannot be had now.
        """
        digest = hashlib.sha256(compact.encode(token)).digest()
        generations = self._generations()
        found = self._remembered(digest, generations)
        if found is None:
            verified = self._verified(token)
            self._cache.put(digest, verified, generations)
            found = verified.identity
        return found

    async def verify_async(self, token: str) -> Identity:
        """Return the identity a token proves, without blocking the event loop.

        As :meth:`verify`; what is not answered from memory is done in a thread.
        """
        digest = hashlib.sha256(compact.encode(token)).digest()
        found = self._remembered(digest, self._generations())
        if found is None:
            found = await asyncio.to_thread(self.verify, token)
        return found

    def _generations(self) -> tuple[int, ...]:
        return tuple(issuer.generation for issuer in self._issuers.values())

    def _remembered(
        self, digest: bytes, generations: tuple[int, ...]
    ) -> Identity | None:
        found = self._cache.get(digest, generations)
        if found is None or not found.issuer.ready():
            return None
        good = found.begins <= self._clock() < found.ends
        return found.identity if good else None

    def _verified(self, token: str) -> _Verified:
        read = compact.parse(token)
        issuer = self._issuers.get(read.issuer)
        if issuer is None:
            msg = (
                "None of the trusted issuers issued the token: compare its iss, "
                "character by character, with the configured ones."
            )
            raise UnknownIssuer(msg, kid=read.kid)
        issuer.check_signature(read)
        begins, ends = issuer.check_claims(read, self._clock())
        role = self._role_map.role_of(read.claims)
        identity = Identity(
            role, read.claims, issuer=issuer.issuer, expires=ends, token=token
        )
        return _Verified(identity, issuer, begins, ends)

    def __repr__(self) -> str:
        names = ", ".join(self._issuers)
        return f"<JWTRole issuers={names} roles={', '.join(self.roles)}>"


def _by_name(issuers: Sequence[Issuer]) -> dict[str, Issuer]:
    if not isinstance(issuers, list | tuple) or not all(
        isinstance(issuer, Issuer) for issuer in issuers
    ):
        msg = f"issuers is a list of Issuer, not {type(issuers).__name__}."
        raise ConfigurationError(msg)
    found = {issuer.issuer: issuer for issuer in issuers}
    if not found or len(found) != len(issuers):
        msg = "issuers names none, or one twice: give each issuer once."
        raise ConfigurationError(msg)
    return found
