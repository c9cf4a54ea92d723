"""Which adapters there are, and how each is opened on a database made for it."""

from __future__ import annotations

import importlib
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from jwtrole import Identity, JWTRole
from tests import postgres, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter

_SQLALCHEMY = "tests.behaviour.sqlalchemy_adapter"
_DJANGO = "tests.behaviour.django_adapter"

# The four adapters, SQLAlchemy's with each driver they have.
APPLICATION = {
    "sqlalchemy-psycopg": (_SQLALCHEMY, "SQLAlchemyAdapter", "psycopg"),
    "sqlalchemy-psycopg2": (_SQLALCHEMY, "SQLAlchemyAdapter", "psycopg2"),
    "sqlalchemy-async-psycopg": (_SQLALCHEMY, "SQLAlchemyAsyncAdapter", "psycopg"),
    "sqlalchemy-async-asyncpg": (_SQLALCHEMY, "SQLAlchemyAsyncAdapter", "asyncpg"),
    "django": (_DJANGO, "DjangoAdapter", None),
    "django-async": (_DJANGO, "DjangoAsyncAdapter", None),
}
# The same where the database verifies the tokens.
DATABASE = {f"{name}-database": found for name, found in APPLICATION.items()}
ADAPTERS = APPLICATION | DATABASE


class People(NamedTuple):
    """Be the identities of the specification, two tenants and two roles."""

    alice: Identity
    bob: Identity
    boss: Identity


def configuration(
    issuer: ThrowawayIssuer, which: str, anonymous: str | None
) -> JWTRole:
    """Return what an adapter has tokens verified by."""
    return JWTRole(
        issuers=[issuer.issuer],
        roles=list(postgres.ROLES),
        anonymous=anonymous,
        trust="database" if which in DATABASE else "application",
    )


def _kind(which: str) -> Any:
    module, name, _ = ADAPTERS[which]
    return getattr(importlib.import_module(module), name)


@contextmanager
def made(
    server: postgres.Server,
    worker: str,
    which: str,
    issuer: ThrowawayIssuer,
    anonymous: str | None,
) -> Iterator[str]:
    """Make a database with an adapter's table in it, for the length of a block."""
    database = f"behaviour_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(database, schema=False)
    try:
        _kind(which).make_tables(server, database)
        if which in DATABASE:
            trusting.upgrade(server, database)
            trusting.trust(server, database, issuer, anonymous=anonymous)
        yield database
    finally:
        server.drop_database(database)


@contextmanager
def opened(
    server: postgres.Server, database: str, which: str, auth: JWTRole, **given: Any
) -> Iterator[Adapter]:
    """Open an adapter; what its connections are told beyond the place may be given."""
    driver = ADAPTERS[which][2]
    extra = (driver,) if driver else ()
    adapter = _kind(which)(server, database, auth, *extra, **given)
    try:
        yield adapter
    finally:
        adapter.close()
