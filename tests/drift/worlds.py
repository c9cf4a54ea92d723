"""One schema, declared in each ORM, and how each looks for drift in it.

Tables, policies and grants have the same names in both, so that what is done by hand
to the one is done to the other. The order of what is declared is no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from django_jwtrole import comparison
from sqlalchemy_jwtrole import Grant, Policy, claim, drift
from tests import postgres
from tests.django_project import aliases

if TYPE_CHECKING:
    from jwtrole.difference import Difference

ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")

metadata = sa.MetaData()
sa.Table(
    "invoice",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    Policy(
        "billing_invoice_tenant",
        using=lambda t: t.tenant_id == claim("tenant_id", sa.Uuid),
        to=postgres.ROLES,
    ),
    *(Grant(role, *ALL) for role in postgres.ROLES),
)
sa.Table(
    "billing_note",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("author", sa.Uuid, nullable=False),
    sa.Column("text_body", sa.Text, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    Policy(
        "note_own", using=lambda t: t.author == claim("sub", sa.Uuid), to=["member"]
    ),
    Grant("member", "SELECT", "INSERT", "UPDATE(text_body)"),
)


class World(Protocol):
    """Be one ORM and its database."""

    def __init__(self, server: postgres.Server, database: str) -> None: ...

    def make(self) -> None:
        """Make all that is declared, as the owner."""
        ...

    def find(self) -> list[Difference]:
        """Return what differs, as the owner."""
        ...


class SQLAlchemyWorld:
    """Make the tables with ``create_all``."""

    def __init__(self, server: postgres.Server, database: str) -> None:
        self._engine = sa.create_engine(
            server.url("psycopg", postgres.OWNER, database), poolclass=sa.NullPool
        )

    def make(self) -> None:
        """Make all that is declared, as the owner."""
        metadata.create_all(self._engine)

    def find(self) -> list[Difference]:
        """Return what differs, as the owner."""
        with self._engine.connect() as connection:
            return drift(connection, metadata)


class DjangoWorld:
    """Make the tables with ``migrate``."""

    def __init__(self, server: postgres.Server, database: str) -> None:
        self._place = (server, database)

    def make(self) -> None:
        """Make all that is declared, as the owner."""
        aliases.migrate(*self._place)

    def find(self) -> list[Difference]:
        """Return what differs, as the owner."""
        with aliases.owning(*self._place) as alias:
            return comparison.drift(alias)


WORLDS = {"sqlalchemy": SQLAlchemyWorld, "django": DjangoWorld}
