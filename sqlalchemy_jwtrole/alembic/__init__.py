"""Alembic: policies, row security and grants in revisions, found by autogenerate.

In ``env.py``::

    from sqlalchemy_jwtrole.alembic import register

    register(login="app_login")
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority

from sqlalchemy_jwtrole.alembic import operations as operations  # registers them
from sqlalchemy_jwtrole.alembic.compare import compare
from sqlalchemy_jwtrole.alembic.defaults import compare_default
from sqlalchemy_jwtrole.alembic.wanted import want

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwtrole.tokens import JWTRole

__all__ = ["register"]


def register(
    *,
    login: str | Sequence[str] = (),
    trust: str | None = None,
    auth: JWTRole | None = None,
) -> None:
    """Have autogenerate compare policies, row security, grants and the schema itself.

    Args:
        login: The role or roles that the application logs in as, which may ask the
            database to verify a token.
        trust: Who is trusted to say who is acting, as for :class:`jwtrole.JWTRole`;
            left out, as ``auth`` says, or the database.
        auth: The application's configuration. What its roles were granted is revoked
            also where the metadata no longer names them.

    Raises:
        ConfigurationError: There is no such mode of trust.
    """
    logins = (login,) if isinstance(login, str) else tuple(login)
    if trust is None:
        trust = "database" if auth is None else auth.trust
    want(trust, logins, () if auth is None else auth.fixed_roles)
    _plugin()


@functools.cache
def _plugin() -> None:
    # Under this name Alembic's default autogenerate_plugins enables it; by any other
    # it would be set up and never run, and tables would come without policies.
    plugin = Plugin("alembic.autogenerate.jwtrole")
    plugin.add_autogenerate_comparator(
        compare, "schema", "jwtrole", qualifier="postgresql",
        priority=DispatchPriority.LAST,
    )  # fmt: skip
    plugin.add_autogenerate_comparator(
        compare_default, "column", "server_default", qualifier="postgresql"
    )
