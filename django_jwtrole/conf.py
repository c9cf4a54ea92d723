"""The setting ``JWTROLE``: one dictionary, validated once, made into core objects."""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections

from jwtrole.errors import ConfigurationError
from jwtrole.fixed_roles import every_role, name_of, reach
from jwtrole.identity import RoleMap
from jwtrole.tokens import Issuer, JWTRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jwtrole.fixed_roles import Role

__all__ = ["Conf", "auth", "conf", "is_protected", "protected_aliases"]

_KEYS = (
    "ANONYMOUS",
    "APP_NAME",
    "CONTRIB",
    "ISSUERS",
    "OWNER",
    "ROLES",
    "ROLE_CLAIM",
    "TRUST",
)

_ISSUER_KEYS = (
    "algorithms",
    "audience",
    "issuer",
    "jwks",
    "jwks_uri",
    "key",
    "leeway",
    "secret",
)


@dataclass(frozen=True, slots=True)
class Conf:
    """Be the setting ``JWTROLE`` without its issuers.

    Args:
        owner: ``OWNER``: alias of the role that owns the tables; management commands
            run there, and nothing is put on.
        roles: ``ROLES``: the fixed roles a token may name.
        anonymous: ``ANONYMOUS``: the role without a token, or ``None``.
        fixed_roles: every role by name, the anonymous one and inherited ones as well.
        contrib: ``CONTRIB``: alias on which the models of Django's own apps are read
            and written, or ``None``; nothing is put on there either.
    """

    owner: str
    roles: tuple[str, ...]
    anonymous: str | None
    fixed_roles: Mapping[str, Role]
    contrib: str | None

    def is_protected(self, alias: str) -> bool:
        """Tell whether statements on an alias run as whoever is acting."""
        return alias not in {self.owner, self.contrib}

    def reach(self, role: str) -> frozenset[str]:
        """Return the roles whose grants and policies are a role's."""
        return reach(self.fixed_roles, role)


def _given() -> Mapping[str, Any]:
    given = getattr(settings, "JWTROLE", None)
    if not isinstance(given, dict):
        msg = (
            "settings.JWTROLE is missing or no dictionary: set at least OWNER, "
            "ISSUERS and ROLES in it."
        )
        raise ConfigurationError(msg)
    _known("JWTROLE", given, _KEYS)
    for key in ("OWNER", "ISSUERS", "ROLES"):
        if not given.get(key):
            msg = f"JWTROLE[{key!r}] is missing or empty: set it."
            raise ConfigurationError(msg)
    return given


def _known(where: str, given: Iterable[str], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            msg = f"{where}[{key!r}] is no setting: did you mean {near!r}?"
            raise ConfigurationError(msg)


def _alias(given: Mapping[str, Any], key: str) -> str | None:
    alias = given.get(key)
    if alias is not None and alias not in settings.DATABASES:
        msg = (
            f"JWTROLE[{key!r}] is {alias!r}, which is no alias in DATABASES; there "
            f"are {', '.join(map(repr, settings.DATABASES))}."
        )
        raise ConfigurationError(msg)
    return alias


@functools.cache
def conf() -> Conf:
    """Return the setting ``JWTROLE``, read and validated once.

    Raises:
        ConfigurationError: A key that is unknown or missing, a value that cannot work.
    """
    given = _given()
    anonymous = given.get("ANONYMOUS")
    without_token = [] if anonymous is None else [anonymous]
    role_map = RoleMap(given["ROLES"], given.get("ROLE_CLAIM", "role"))
    return Conf(
        owner=_alias(given, "OWNER") or "",
        roles=role_map.roles,
        anonymous=None if anonymous is None else name_of(anonymous),
        fixed_roles=every_role([*role_map.declared, *without_token]),
        contrib=_alias(given, "CONTRIB"),
    )


def _issuer(position: int, given: object) -> Issuer:
    where = f"JWTROLE['ISSUERS'][{position}]"
    if not isinstance(given, dict) or "issuer" not in given:
        msg = f"{where} is a dictionary with at least the key 'issuer'."
        raise ConfigurationError(msg)
    _known(where, given, _ISSUER_KEYS)
    arguments = dict(given)
    try:
        return Issuer(arguments.pop("issuer"), **arguments)
    except TypeError as error:
        msg = f"{where} lacks what an issuer needs: {error}."
        raise ConfigurationError(msg) from None


@functools.cache
def auth() -> JWTRole:
    """Return what verifies this project's tokens, made once from the settings.

    Raises:
        ConfigurationError: A key that is unknown or missing, a value that cannot work.
    """
    conf()  # for what is wrong with the rest
    given = _given()
    return JWTRole(
        issuers=[_issuer(i, issuer) for i, issuer in enumerate(given["ISSUERS"])],
        roles=given["ROLES"],
        role_claim=given.get("ROLE_CLAIM", "role"),
        anonymous=given.get("ANONYMOUS"),
        app_name=given.get("APP_NAME", "jwtrole"),
        trust=given.get("TRUST", "database"),
    )


def protected_aliases() -> tuple[str, ...]:
    """Return the aliases of our engine whose statements run as whoever is acting."""
    return tuple(alias for alias in connections if is_protected(alias))


def is_protected(alias: str) -> bool:
    """Tell whether statements on an alias run as whoever is acting."""
    ours = getattr(connections[alias], "jwtrole_engine", False)
    return ours and conf().is_protected(alias)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"JWTROLE", "DATABASES"}:
        conf.cache_clear()
        auth.cache_clear()


setting_changed.connect(_forget, dispatch_uid="jwtrole.conf")
