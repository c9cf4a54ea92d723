"""The issuer of tests, and test databases that trust it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.conf import settings

from django_jwtrole.conf import auth
from jwtrole import install, sync
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import JWTRole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["issuer", "trust"]


@functools.cache
def issuer() -> ThrowawayIssuer:
    """Return the issuer of this run, its key in nobody's hands."""
    return ThrowawayIssuer(audience="django-tests")


def trust(owner: BaseDatabaseWrapper, logins: Iterable[str]) -> None:
    """Have a test database verify tokens of :func:`issuer` for the logins of tests.

    Those of the issuers in ``JWTROLE`` whose keys stand there as well; nothing is
    fetched. Nothing happens where the application is trusted.

    Args:
        owner: The owner's connection.
        logins: The roles that tests log in as.
    """
    if auth().trust != "database":
        return
    with owner.cursor() as cursor:
        # A copy of another test database has a seal that was made for that one.
        cursor.execute("SELECT jwtrole.rotate_seal(), jwtrole.version()")
        _, version = cursor.fetchone()
        for login in logins:
            for sql in install.release(version).grants(login):
                cursor.execute(sql)
        for statement in sync.statements(_with_known_keys()):
            cursor.execute(statement.with_percent(), statement.parameters)


def _with_known_keys() -> JWTRole:
    given: dict[str, Any] = settings.JWTROLE
    known = [one for one in auth().issuers if one.jwks_uri is None]
    others = [one for one in known if one.issuer != issuer().name]
    return JWTRole(
        issuers=[*others, issuer().issuer],
        roles=given["ROLES"],
        role_claim=given.get("ROLE_CLAIM", "role"),
        anonymous=given.get("ANONYMOUS"),
    )
