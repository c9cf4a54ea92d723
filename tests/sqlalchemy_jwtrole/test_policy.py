"""Policies and grants as schema items: their text, and what ``create_all`` makes."""

from __future__ import annotations

import decimal
import enum
import math
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

from jwtrole import install as schema
from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import identifier
from sqlalchemy_jwtrole import Grant, Policy, attach, claim, install
from sqlalchemy_jwtrole.clauses import clause
from sqlalchemy_jwtrole.policy import declare, declared, protected
from tests import postgres
from tests.sqlalchemy_jwtrole.conftest import bare_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole


class Kind(enum.Enum):
    ONE = "o\\ne"


class Shouted(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return it in capitals, with a backslash."""
        return value and value.upper() + "\\"


METADATA = sa.MetaData()
T = sa.Table(
    "t",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("Who", sa.Uuid, key="who"),
    sa.Column("body", sa.Text),
    sa.Column("kind", sa.Enum(Kind, name="kind")),
    sa.Column("loud", Shouted),
    sa.Column("data", postgresql.JSONB),
    sa.Column("price", sa.Numeric),
    sa.Column("ratio", sa.Float),
)
OTHER = sa.Table("other", METADATA, sa.Column("who", sa.Uuid), schema="s p")
c = T.c
WHO = claim("sub", sa.Uuid)
ZERO = uuid.UUID(int=0)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (c.body == "it's", "t.body = 'it''s'"),
        (c.body.like("5%\\_"), "t.body LIKE E'5%\\\\_'"),
        (c.body == ":a %s", "t.body = ':a %s'"),
        (c.kind == Kind.ONE, "t.kind = 'ONE'"),
        (c.loud == "x", "t.loud = E'X\\\\'"),
        (c.who == ZERO, f"t.\"Who\" = '{ZERO}'"),
        (c.price > decimal.Decimal("1.50"), "t.price > 1.50"),
        (c.ratio > 1.5, "t.ratio > 1.5"),
        (c.id % 2 == 0, "t.id % 2 = 0"),
        (c.body.is_(None), "t.body IS NULL"),
        (c.body.in_(["a", "b"]), "t.body IN ('a', 'b')"),
        (c.data.contains({"a": "'"}), "t.data @> '{\"a\": \"''\"}'::JSONB"),
        (sa.text("t.body = '\\:x'"), "t.body = ':x'"),
        (True, "true"),
        (False, "false"),
        (
            sa.exists().where(OTHER.c.who == c.who),
            'EXISTS (SELECT 1 \nFROM "s p".other \nWHERE "other"."who" = t."Who")',
        ),
    ],
)
def test_expressions_become_text(expression: Any, text: str) -> None:
    """Values become literals that read the same under every setting."""
    assert clause(expression, T) == f"(SELECT jwtrole.sealed()) AND ({text})"


@pytest.mark.parametrize(
    "expression",
    [
        c.who == WHO,
        claim("sub", sa.Uuid) == c.who,
        sa.and_(c.body == "x", c.who == WHO),
        sa.and_(c.body == "x", sa.and_(c.id > 1, c.who == WHO)),
        sa.and_(sa.or_(c.id > 1, c.id < 0), c.who == WHO).self_group(),
        sa.and_(sa.exists().where(OTHER.c.who == c.who), c.who == WHO),
    ],
)
def test_a_strict_comparison_needs_no_seal(expression: Any) -> None:
    """Where a column must equal a claim anyway, the clause is left as it is."""
    assert "sealed" not in clause(expression, T)


@pytest.mark.parametrize(
    "expression",
    [
        sa.or_(c.who == WHO, c.body == "x"),
        sa.not_(c.who == WHO),
        c.who != WHO,
        c.who.is_not_distinct_from(WHO),
        claim("a") == claim("b"),
        sa.literal(ZERO) == WHO,
        sa.func.coalesce(c.who, WHO) == WHO,
        sa.and_(sa.text("true OR true"), c.who == WHO),
        sa.and_(c.body == sa.text("'' OR true"), c.who == WHO),
        sa.and_(c.id == sa.literal_column("1 OR true"), c.who == WHO),
        sa.exists().where(OTHER.c.who == WHO),
        sa.and_(c.id > 1, c.body == "x"),
        True,
    ],
)
def test_anything_else_asks_for_the_seal(expression: Any) -> None:
    """Whatever could be true without a claim also asks that somebody is acting."""
    assert clause(expression, T).startswith("(SELECT jwtrole.sealed()) AND (")


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (c.who == OTHER.c.who, "another table outside of any subquery"),
        (c.body == b"x", "bytes are no literal"),
        (c.ratio > math.inf, "inf is no literal"),
        (c.body == sa.bindparam("p"), "'p' has no value"),
        (c.body == sa.literal(object(), sa.JSON), "cannot be written"),
        ("body = 'x'", "declared as text"),
        (object(), "cannot be written"),
        (c.body == sa.literal("101", postgresql.BIT), "BIT"),
        (sa.text("true -- or not"), "a comment"),
        (sa.text("true) OR (true"), "closes nothing"),
        (sa.select(T.c.id == c.id).exists(), "t.id with itself"),
        (sa.exists().where(T.c.id == c.id).correlate(T), "t.id with itself"),
        (sa.select(T).exists(), "called 't'"),
    ],
)
def test_what_cannot_stand_in_a_policy_is_refused(
    expression: Any, complaint: str
) -> None:
    """Second tables, lone parameters and values without a literal are errors."""
    with pytest.raises(ConfigurationError, match=complaint):
        clause(expression, T)


def test_a_policy_takes_expressions_callables_and_columns() -> None:
    """Callables get the table's columns; both clauses are compiled on their own."""
    policy = Policy(
        "p", using=lambda t: t.who == WHO, check=c.body == "x", to=("a",), command="ALL"
    )
    compiled = policy.compiled(T)

    assert compiled.using == "t.\"Who\" = (SELECT jwtrole.claim('sub')::uuid)"
    assert compiled.check == "(SELECT jwtrole.sealed()) AND (t.body = 'x')"
    assert compiled.to == ("a",)


def test_a_restrictive_policy_stands_as_it_is_written() -> None:
    """A policy that only takes away opens nothing and asks for no seal."""
    table = sa.Table("note", sa.MetaData(), sa.Column("hidden", sa.Boolean))
    policy = Policy(
        "shown", using=lambda t: sa.not_(t.hidden), to=["member"], permissive=False
    )

    assert policy.compiled(table).using == "NOT note.hidden"


def test_orm_attributes_stand_for_their_columns() -> None:
    """An expression of mapped attributes compiles like one of columns."""

    class Base(orm.DeclarativeBase):
        metadata = METADATA

    class Mapped(Base):
        __table__ = T

    assert clause(Mapped.who == WHO, T) == clause(c.who == WHO, T)


def test_mistakes_in_declarations_are_found_at_once() -> None:
    """What no table is needed for is checked where it is written."""
    with pytest.raises(ConfigurationError, match="none of ALL"):
        Policy("p", using=True, command="READ", to=["a"])
    with pytest.raises(ConfigurationError, match="list of roles"):
        Policy("p", using=True, to="member")
    with pytest.raises(ConfigurationError, match="check= alone"):
        Policy("p", using=True, command="INSERT", to=["a"])
    with pytest.raises(ConfigurationError, match="TRUNCATE"):
        Grant("a", "TRUNCATE")
    with pytest.raises(ConfigurationError, match="belongs to a table"):
        sa.Column("x", sa.Integer, Grant("a", "SELECT"))
    with pytest.raises(ConfigurationError, match="two policies named 'p'"):
        sa.Table(
            "twice",
            sa.MetaData(),
            sa.Column("id", sa.Integer),
            Policy("p", using=True, to=["a"]),
            Policy("p", using=False, to=["a"]),
        )


def test_one_declaration_may_serve_several_tables() -> None:
    """A mixin's items are declared on each table, Table.info stays empty."""
    metadata = sa.MetaData()
    items = (Policy("p", using=True, to=["a"]), Grant("a", "SELECT"))
    for name in ("one", "two"):
        sa.Table(name, metadata, sa.Column("id", sa.Integer), *items)

    assert [table.name for table, _ in protected(metadata)] == ["one", "two"]
    assert all(not table.info for table in metadata.tables.values())


def test_sequences_are_granted_where_inserts_draw_from_one() -> None:
    """INSERT on a SERIAL table brings its sequence, no other column does."""

    def granted(*arguments: Any, privilege: str = "INSERT", **options: Any) -> bool:
        table = sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("id", sa.Integer, *arguments, primary_key=True, **options),
            Grant("a", privilege),
        )
        return bool(declared(table.metadata)[table].sequences(table))

    assert granted()
    assert granted(privilege="INSERT(id)")
    assert not granted(privilege="SELECT")
    assert not granted(sa.Identity())
    assert not granted(default=1)
    assert not granted(default=1, autoincrement=True)
    assert not granted(autoincrement=False)


@pytest.fixture
def fresh(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database without the schema ``jwtrole``."""
    name = f"policy_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    yield name
    server.drop_database(name)


@pytest.fixture(params=["psycopg", "psycopg2"])
def owner(
    request: pytest.FixtureRequest, server: postgres.Server, fresh: str
) -> Iterator[sa.Engine]:
    """Return the owner's engine of a database of its own."""
    engine = sa.create_engine(server.url(request.param, postgres.OWNER, fresh))
    yield engine
    engine.dispose()


def _two_tables() -> sa.MetaData:
    """Declare a policy on a table that sorts before the one it reads."""
    metadata = sa.MetaData()
    letter = sa.Table(
        "letter",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("box", sa.Integer),
        sa.Column("body", sa.Text),
        Grant("member", "SELECT", "INSERT"),
    )
    box = sa.Table(
        "pigeon_hole",
        metadata,
        sa.Column("id", sa.Integer),
        sa.Column("owner", sa.Text),
        Policy("own", using=lambda t: t.owner == claim("sub"), to=["member"]),
        Grant("member", "SELECT", "INSERT"),
    )
    mine = sa.exists().where(box.c.id == letter.c.box, box.c.owner == claim("sub"))
    hidden = letter.c.body.not_like("50%\\%: %s")
    declare(
        letter,
        Policy("mine", using=mine, to=["member"]),
        Policy("hidden", using=hidden, to=["member"], permissive=False),
    )
    return metadata


def test_create_all_protects_after_all_tables(
    owner: sa.Engine,
    server: postgres.Server,
    fresh: str,
    auth: JWTRole,
    alice: Identity,
    bob: Identity,
) -> None:
    """Schema, tables, then policies that read other tables: rows are guarded."""
    metadata = _two_tables()
    install(owner, auth, login=postgres.LOGIN)
    metadata.create_all(owner)
    metadata.create_all(owner)
    letter, box = metadata.tables["letter"], metadata.tables["pigeon_hole"]
    engine = attach(bare_engine(server, fresh, "psycopg"), auth)
    for number, who in enumerate((alice, bob)):
        with acting_as(who), engine.begin() as conn:
            conn.execute(box.insert(), {"id": number, "owner": who.subject})
            conn.execute(letter.insert(), {"box": number, "body": str(who.subject)})
    with acting_as(alice), engine.connect() as conn:
        assert conn.scalars(sa.select(letter.c.body)).all() == ["alice"]
        with pytest.raises(ProgrammingError, match="row-level security"):
            conn.execute(letter.insert(), {"box": 1, "body": "smuggled"})
        conn.rollback()
        with pytest.raises(ProgrammingError, match="hidden"):
            conn.execute(letter.insert(), {"box": 0, "body": "50 off%: %s"})
    engine.dispose()


def test_a_table_created_alone_is_protected_once(owner: sa.Engine) -> None:
    """Table.create makes schema and policies; with checkfirst it does nothing."""
    box = _two_tables().tables["pigeon_hole"]
    box.create(owner)
    box.create(owner, checkfirst=True)
    with owner.connect() as conn:
        names = conn.scalars(sa.text("SELECT polname::text FROM pg_policy")).all()

    assert names == ["own"]


def test_tables_in_another_schema_are_protected(owner: sa.Engine) -> None:
    """A table of another schema, by quoted names, gets policy, grant and sequence."""
    metadata = sa.MetaData(schema="S p")
    sa.Table(
        "Ta ble",
        metadata,
        sa.Column("Id", sa.Integer, primary_key=True),
        Policy('P "1"', using=lambda t: t.Id > 0, to=["PUBLIC"]),
        Grant("member", "INSERT(Id)"),
        Grant("PUBLIC", "SELECT"),
    )
    with owner.begin() as conn:
        conn.exec_driver_sql(f"CREATE SCHEMA {identifier('S p')}")
        metadata.create_all(conn)
        names = conn.scalars(sa.text("SELECT polname::text FROM pg_policy")).all()

    assert names == ['P "1"']


def test_a_missing_role_names_the_bootstrap(owner: sa.Engine) -> None:
    """Roles are looked for before the first table is made."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer), Grant("ghost", "SELECT"))

    with pytest.raises(ConfigurationError, match=r"'ghost' do not exist.*bootstrap"):
        metadata.create_all(owner)
    assert not sa.inspect(owner).has_table("t")


def test_a_missing_schema_owner_names_the_bootstrap(
    owner: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the schema's owner it cannot be installed, and it is said why."""
    # Taking the real one away would take it from every test of this server.
    monkeypatch.setattr(schema, "OWNER_ROLE", "jwtrole_owner_unmade")

    with pytest.raises(ConfigurationError, match="'jwtrole_owner_unmade' do not"):
        _two_tables().create_all(owner)


def test_other_databases_get_tables_and_one_warning() -> None:
    """Elsewhere the tables are made, without policies, and it is said once."""
    engine = sa.create_engine("sqlite://")
    metadata = _two_tables()
    with pytest.warns(UserWarning, match="sqlite has no row security") as said:
        metadata.create_all(engine)

    assert len(said) == 1
    assert sa.inspect(engine).has_table("letter")
    engine.dispose()


def test_a_mock_engine_prints_the_statements() -> None:
    """What would be sent can be printed without any database."""
    printed: list[str] = []

    def dump(statement: Any, *_: Any, **__: Any) -> None:
        printed.append(str(statement.compile(dialect=engine.dialect)))

    engine = sa.create_mock_engine("postgresql+psycopg://", dump)
    metadata = _two_tables()
    sa.Table("plain", metadata, sa.Column("id", sa.Integer))
    metadata.create_all(engine, checkfirst=False)

    assert 'ALTER TABLE "letter" FORCE ROW LEVEL SECURITY' in printed
    assert any("NOT LIKE E'50%\\\\%: %s'" in statement for statement in printed)
