"""Claims as SQL expressions and as column defaults."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from jwtrole.context import acting_as
from sqlalchemy_jwtrole import claim
from sqlalchemy_jwtrole.expressions import ClaimDefault
from tests.sqlalchemy_jwtrole.conftest import RED, note

if TYPE_CHECKING:
    from jwtrole.identity import Identity


def _sql(expression: sa.ColumnElement[object]) -> str:
    return str(expression.compile(dialect=postgresql.dialect()))


def test_a_claim_is_read_once_and_cast_inside() -> None:
    """The sub-select holds call and cast, in PostgreSQL's own type names."""
    assert _sql(claim("sub")) == "(SELECT jwtrole.claim('sub'))"
    assert _sql(claim("t", sa.Uuid)) == "(SELECT jwtrole.claim('t')::uuid)"
    assert _sql(claim("n", sa.Integer())) == "(SELECT jwtrole.claim('n')::integer)"
    assert (
        _sql(claim("p", sa.Double)) == "(SELECT jwtrole.claim('p')::double precision)"
    )
    assert (
        _sql(claim("q'", sa.Enum("a", name="Mixed Case")))
        == "(SELECT jwtrole.claim('q''')::\"Mixed Case\")"
    )


@pytest.mark.parametrize(
    ("kind", "cast"),
    [
        (sa.String(5), "::varchar"),
        (sa.CHAR(5), ""),
        (sa.Numeric(5, 2), "::numeric"),
        (postgresql.BIT(5), "::bit varying"),
        (postgresql.BIT(5, varying=True), "::bit varying"),
        (postgresql.ARRAY(sa.String(5)), "::VARCHAR[]"),
        (sa.String(5, collation="C"), '::VARCHAR COLLATE "C"'),
        (postgresql.ENUM("a", name="mood(5)"), '::"mood(5)"'),
    ],
)
def test_a_claim_is_never_cut_to_a_length(
    kind: sa.types.TypeEngine[object], cast: str
) -> None:
    """No length is part of the cast, or one claim would pass for another."""
    assert _sql(claim("sub", kind)) == f"(SELECT jwtrole.claim('sub'){cast})"


def test_a_longer_claim_is_no_shorter_one(engine: sa.Engine, alice: Identity) -> None:
    """PostgreSQL agrees: what begins like a claim does not equal it."""
    same = sa.select(
        claim("sub", sa.String(2)) == "al", claim("sub", sa.CHAR(2)) == "al"
    )
    with acting_as(alice), engine.connect() as conn:
        assert conn.execute(same).one() == (False, False)


def test_claims_are_told_apart_by_the_cache() -> None:
    """Name and type are part of the key that compiled statements are cached by."""

    def key(expression: sa.ColumnElement[object]) -> object:
        found = sa.select(note.c.id).where(expression == 1)._generate_cache_key()
        assert found is not None
        return found.key

    assert key(claim("a")) == key(claim("a"))
    assert key(claim("a")) != key(claim("b"))
    assert key(claim("a")) != key(claim("a", sa.Integer))


def test_claims_work_in_queries(engine: sa.Engine, alice: Identity) -> None:
    """A query compares with claims and reads them as Python values."""
    mine = sa.select(note.c.body).where(note.c.tenant_id == claim("tenant_id", sa.Uuid))
    read = sa.select(claim("tenant_id", sa.Uuid), claim("sub"), claim("missing"))
    with acting_as(alice), engine.connect() as conn:
        for _ in range(2):
            assert len(conn.scalars(mine).all()) == 2
            assert conn.execute(read).one() == (RED, "alice", None)
            assert isinstance(conn.scalar(read), uuid.UUID)


def test_a_default_is_null_elsewhere() -> None:
    """On PostgreSQL the default is the claim, without a sub-select; elsewhere NULL."""
    default = sa.DefaultClause(ClaimDefault("tenant_id", sa.Uuid()))
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Uuid, default))
    create = CreateTable(table)

    assert "DEFAULT jwtrole.claim('tenant_id')::uuid" in str(
        create.compile(dialect=postgresql.dialect())
    )
    assert "DEFAULT NULL" in str(create.compile(dialect=sqlite.dialect()))
