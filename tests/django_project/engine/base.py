from __future__ import annotations

from typing import TYPE_CHECKING

from django_jwtrole.postgresql import base

if TYPE_CHECKING:
    from jwtrole.tokens import JWTRole

#: What each alias of this engine trusts.
AUTHS: dict[str, JWTRole] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    """Be our engine, with its own roles, open where pytest-django closes the rest."""

    def jwtrole_auth(self) -> JWTRole:
        return AUTHS[self.alias]

    def ensure_connection(self) -> None:
        if self.connection is None:
            with self.wrap_database_errors:
                self.connect()
