"""``sqlalchemy_jwtrole.drift`` on every driver, with what only SQLAlchemy declares."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from jwtrole.difference import Kind
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Grant, Policy, claim, drift
from sqlalchemy_jwtrole.policy import declare
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

metadata = sa.MetaData(schema="deep")
member = sa.Table(
    "member of",
    metadata,
    sa.Column("org", sa.Uuid, primary_key=True),
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("boss", sa.Text),
    Grant("member", "SELECT"),
)
document = sa.Table(
    "document",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org", sa.Uuid),
    sa.Column("Title", sa.String(80)),
    sa.Column("state", sa.Enum("open", "shut", name="state", schema="deep")),
    sa.Column("tags", sa.ARRAY(sa.Text)),
    Policy(
        "mine",
        using=lambda t: sa.exists().where(
            member.c.org == t.org, member.c.person == claim("sub")
        ),
        check=lambda t: t.Title.in_(["50%", "it's", "back\\slash"]),
        to=["member"],
    ),
    Policy(
        "not shut",
        using=lambda t: (t.state == "open") | (sa.literal("x") == sa.any_(t.tags)),
        to=["PUBLIC"],
        permissive=False,
    ),
    Grant("member", "SELECT", "INSERT", "UPDATE(Title)"),
)
alias = document.alias()
declare(
    document,
    Policy(
        "newest",
        using=lambda t: t.id == sa.select(sa.func.max(alias.c.id)).scalar_subquery(),
        command="DELETE",
        to=["manager"],
    ),
)


@pytest.fixture(scope="module")
def made(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database in which everything is as declared."""
    name = f"compared_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    engine = sa.create_engine(server.url("psycopg", postgres.OWNER, name))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA deep")
        metadata.create_all(connection)
    engine.dispose()
    yield name
    server.drop_database(name)


@pytest.fixture(params=["psycopg", "psycopg2"])
def owner(
    request: pytest.FixtureRequest, server: postgres.Server, made: str
) -> Iterator[sa.Connection]:
    """Return the owner's connection, of one driver after the other."""
    engine = sa.create_engine(server.url(request.param, postgres.OWNER, made))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_nothing_is_found_in_what_was_just_made(owner: sa.Connection) -> None:
    """Schemas, subqueries, enums, arrays, odd names and literals are no differences."""
    assert drift(owner, metadata) == []


def test_a_difference_in_a_schema_is_found(owner: sa.Connection) -> None:
    """The table is named with its schema, and so is it in the repair."""
    owner.exec_driver_sql('ALTER POLICY "not shut" ON deep.document USING (true)')
    owner.exec_driver_sql("ALTER TABLE deep.document NO FORCE ROW LEVEL SECURITY")

    found = drift(owner, metadata)

    assert [(one.kind, one.table) for one in found] == [
        (Kind.POLICY_CHANGED, "deep.document"),
        (Kind.ROW_SECURITY_NOT_FORCED, "deep.document"),
    ]
    for one in found:
        for statement in one.repair.splitlines():
            owner.exec_driver_sql(statement.replace("%", "%%"))
    assert drift(owner, metadata) == []


@pytest.mark.asyncio
async def test_it_runs_on_an_asynchronous_connection(
    server: postgres.Server, made: str
) -> None:
    """With ``run_sync`` asyncpg is no other than the rest."""
    engine = create_async_engine(server.url("asyncpg", postgres.OWNER, made))
    async with engine.connect() as connection:
        assert await connection.run_sync(drift, metadata) == []
        await connection.exec_driver_sql("GRANT TRUNCATE ON deep.document TO manager")
        found: Any = await connection.run_sync(drift, metadata)
    await engine.dispose()

    assert [one.kind for one in found] == [Kind.GRANT_SURPLUS]


def test_other_databases_are_refused() -> None:
    """Where there is no row security "no drift" would be a lie."""
    with (
        sa.create_engine("sqlite://", poolclass=sa.NullPool).connect() as connection,
        pytest.raises(ConfigurationError, match="sqlite has no row security"),
    ):
        drift(connection, metadata)
