"""Grants on what is no table, declared on a MetaData."""

from __future__ import annotations

from sqlalchemy import MetaData

from jwtrole.errors import ConfigurationError
from jwtrole.grants import GrantOn
from sqlalchemy_jwtrole import create

__all__ = ["declare_on", "declared_on"]

#: Where a MetaData keeps them.
_INFO = "jwtrole.on"


def declare_on(metadata: MetaData, *grants: GrantOn) -> None:
    """Declare what roles are granted on sequences, functions, schemas, and by default.

    ``create_all`` grants it, and from here on autogenerate compares: what a role that
    the metadata names has on such an object, and no longer has here, is revoked. Called
    with no grant at all it declares that there is none.

    Args:
        metadata: Whose tables are the database's.
        grants: One or several; further calls add to them.

    Raises:
        ConfigurationError: It is no ``GrantOn``, or on no MetaData.
    """
    if not isinstance(metadata, MetaData):
        msg = f"declare_on takes a MetaData first, as in Base.metadata, not {metadata}."
        raise ConfigurationError(msg)
    for grant in grants:
        if not isinstance(grant, GrantOn):
            msg = (
                f"declare_on takes GrantOn, not {type(grant).__name__}: what is "
                "granted on a table stands among its arguments."
            )
            raise ConfigurationError(msg)
    if _INFO not in metadata.info:
        metadata.info[_INFO] = []
        create.listen_metadata(metadata, lambda: _protection(metadata))
    metadata.info[_INFO] += grants


def declared_on(metadata: MetaData) -> list[GrantOn] | None:
    """Return what is declared, or ``None`` where nobody said anything of it."""
    found: list[GrantOn] | None = metadata.info.get(_INFO)
    return found


def _protection(metadata: MetaData) -> create.Protection:
    found: list[GrantOn] = metadata.info[_INFO]
    statements = [sql for grant in found for sql in grant.grant()]
    return create.Protection(statements, {grant.to for grant in found})
