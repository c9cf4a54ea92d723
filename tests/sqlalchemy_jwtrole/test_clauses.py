"""What may not stand in a policy, and what is never taken for a claim."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

from jwtrole.dialect import Dialect
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Policy, RawPredicate, claim
from sqlalchemy_jwtrole.clauses import clause
from sqlalchemy_jwtrole.policy import DIALECT, declare

SEALED = "(SELECT jwtrole.sealed()) AND ("


class Mood(enum.Enum):
    FINE = 1


METADATA = sa.MetaData()
NOTE = sa.Table(
    "note",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent", sa.Integer),
    sa.Column("who", sa.Uuid),
    sa.Column("body", sa.Text),
    sa.Column("data", pg.JSONB),
    sa.Column("whos", pg.ARRAY(sa.Uuid)),
    sa.Column("mood", sa.Enum(Mood, name="mood")),
    sa.Column("word", sa.Enum(Mood, name="word", native_enum=False)),
)
MEMBER = sa.Table("member", METADATA, sa.Column("who", sa.Uuid))
NUMBERED = sa.Table("member_1", METADATA, sa.Column("who", sa.Uuid))
TWIN = sa.Table("note", METADATA, sa.Column("who", sa.Uuid), schema="other")
C = NOTE.c
WHO = claim("sub", sa.Uuid)


def policy(expression: Any, **given: Any) -> Policy:
    """Return a policy with an expression."""
    return Policy(**{"name": "p", "using": expression, "to": ["member"], **given})


@pytest.mark.parametrize(
    "expression",
    [
        RawPredicate("who = (SELECT jwtrole.claim('sub')::uuid)"),
        sa.and_(C.who == WHO, RawPredicate("true")),
        sa.and_(C.who == WHO, sa.or_(C.id == 1, RawPredicate("true"))),
        sa.exists().where(MEMBER.c.who == C.who, MEMBER.c.who == WHO),
    ],
)
def test_sql_text_counts_for_no_comparison(expression: Any) -> None:
    """Whatever a text says of a claim, the policy asks for an identity."""
    assert clause(expression, NOTE).startswith(SEALED)


@pytest.mark.parametrize("sql", ["", "true) OR (true", "true -- yes", "a = 'x"])
def test_sql_text_stays_within_itself(sql: str) -> None:
    """A text that could reach past its end is refused where it is written."""
    with pytest.raises(ConfigurationError):
        RawPredicate(sql)


def test_sql_text_can_be_selected() -> None:
    """In a query, too, percent signs and colons mean themselves, with any driver."""
    query = sa.select(RawPredicate("'50%' LIKE ':a%'"))
    for dialect, sent in (("psycopg", "'50%%' LIKE ':a%%'"), ("asyncpg", "'50%' LIKE")):
        engine = sa.create_mock_engine(f"postgresql+{dialect}://", lambda *_: None)
        assert sent in str(query.compile(dialect=engine.dialect))


class Base(orm.DeclarativeBase):
    metadata = METADATA


class Note(Base):
    __table__ = NOTE


@pytest.mark.parametrize(
    "expression",
    [
        sa.exists().where(TWIN.c.who == C.who),
        sa.exists().where(MEMBER.alias("note").c.who == C.who),
        sa.select(NOTE.c.id).where(NOTE.c.id == 1).correlate(None).exists(),
        sa.exists(sa.select(sa.func.unnest(C.whos).table_valued("x", name="note"))),
        sa.exists().where(sa.select(MEMBER.c.who).subquery("note").c.who == C.who),
    ],
)
def test_a_second_table_of_the_name_is_refused(expression: Any) -> None:
    """Where columns would mean the subquery's own table nothing is compiled."""
    with pytest.raises(ConfigurationError, match=r"called 'note'.*\.alias\("):
        clause(expression, NOTE)


def test_a_name_that_is_made_up_is_looked_at_too() -> None:
    """An alias without a name may be called like the policy's table."""
    nameless = MEMBER.alias()
    expression = sa.exists().where(nameless.c.who == NUMBERED.c.who)

    with pytest.raises(ConfigurationError, match="called 'member_1'"):
        clause(expression, NUMBERED)
    assert "member_1" in clause(sa.exists().where(nameless.c.who == C.who), NOTE)


@pytest.mark.parametrize("other", [NOTE.alias("other"), orm.aliased(Note, name="o")])
def test_a_policy_that_reads_its_own_table_to_read_it_is_refused(other: Any) -> None:
    """What PostgreSQL would refuse as endless with each query is refused at once."""
    columns = getattr(other, "c", other)
    mine = sa.exists().where(columns.parent == C.id)
    for command in ("ALL", "SELECT"):
        with pytest.raises(ConfigurationError, match=r"'p' on 'note'.*recursion"):
            policy(mine, command=command).compiled(NOTE)

    assert policy(mine, command="DELETE").compiled(NOTE).using
    assert policy(C.who == WHO, check=mine).compiled(NOTE).check


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (
            C.who == claim("sub"),
            r"note.who \(uuid\).*as text: write claim\('sub', Uuid",
        ),
        (claim("sub") != C.who, r"claim\('sub', Uuid\)"),
        (C.id <= claim("level"), r"\(integer\).*claim\('level', Integer\)"),
        (C.body == WHO, r"\(text\).*as uuid: write claim\('sub', Text\)"),
        (C.who.in_([claim("a"), claim("b")]), r"claim\('a', Uuid\)"),
        (C.id.between(claim("low"), 5), r"claim\('low', Integer\)"),
        (C.who.is_distinct_from(claim("sub")), r"claim\('sub', Uuid\)"),
        (C.data["k"] == claim("k"), r"column\['key'\].astext == claim\('k'\)"),
        (claim("sub") == sa.any_(C.whos), r"claim\('sub', Uuid\)"),
        (C.mood == claim("mood"), r"\(mood\).*claim\('mood', Enum\)"),
        (sa.exists().where(MEMBER.c.who == claim("sub")), r"member.who \(uuid\)"),
        (sa.or_(C.id == 1, C.who == claim("sub")), r"claim\('sub', Uuid\)"),
    ],
)
def test_a_claim_of_another_type_is_refused(expression: Any, complaint: str) -> None:
    """A comparison that PostgreSQL has not is an error that writes the cast."""
    with pytest.raises(ConfigurationError, match=rf"'p' on 'note'.*{complaint}"):
        policy(expression).compiled(NOTE)


@pytest.mark.parametrize(
    "expression",
    [
        C.who == WHO,
        C.body == claim("sub"),
        C.word == claim("word"),
        C.mood == claim("mood", sa.Enum(Mood, name="mood")),
        C.id == claim("n", sa.BigInteger),
        sa.any_(C.whos) == WHO,
        claim("sub") == sa.any_(sa.func.some_array(C.whos)),
        sa.func.unheard_of(C.who) == claim("sub"),
        C.body.contains(claim("sub")),
        C.data["k"].astext == claim("k"),
        sa.literal_column("body") == claim("sub"),
    ],
)
def test_a_claim_of_the_same_type_is_compared(expression: Any) -> None:
    """Nothing is refused that PostgreSQL can compare, or that nobody knows."""
    assert "jwtrole." in clause(expression, NOTE)


def test_a_missing_column_is_named() -> None:
    """A lambda that asks for no column of the table is an error with those it has."""
    wrong = policy(lambda t: t.author == WHO)
    with pytest.raises(ConfigurationError, match=r"'p' on 'note': author.*id, parent"):
        wrong.compiled(NOTE)
    with pytest.raises(ConfigurationError, match=r"'p' on 'note': 'author'"):
        policy(lambda t: t["author"] == WHO).compiled(NOTE)


@pytest.mark.parametrize("name", ["n" * 64, "", "nul\0"])
def test_a_name_that_is_not_kept_is_refused(name: str) -> None:
    """A name that PostgreSQL would cut is an error when the table is declared."""
    with pytest.raises(ConfigurationError, match="A policy on 'note'"):
        declare(NOTE, policy(True, name=name))


def test_a_metadata_may_be_for_another_engine() -> None:
    """Claims, seal and modes are written as the engine's dialect has them."""
    sharded = Dialect(name="Sharded", sub_selects=False, restrictive=False)
    metadata = sa.MetaData(info={DIALECT: sharded})
    table = sa.Table("t", metadata, sa.Column("n", sa.Integer))
    made = policy(lambda t: t.n == claim("n", sa.Integer), check=lambda t: t.n > 1)

    assert made.compiled(table).using == "t.n = jwtrole.claim('n')::integer"
    assert made.compiled(table).check == "jwtrole.sealed() AND (t.n > 1)"
    with pytest.raises(ConfigurationError, match="'p' on 't': Sharded keeps no RESTR"):
        policy(True, permissive=False).compiled(table)
