"""A value in a policy is that value, whatever the settings it is written under."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Policy, RawPredicate
from sqlalchemy_jwtrole.clauses import clause
from sqlalchemy_jwtrole.create import execute
from tests import postgres
from tests.awkward import CASES, SETTINGS, Mood

if TYPE_CHECKING:
    from collections.abc import Iterator


class Folded(sa.types.TypeDecorator[Any]):
    """Keep a list of words as an array in capitals."""

    impl = pg.ARRAY(sa.Text)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Return the words in capitals."""
        return value and [word.upper() for word in value]


class Written(sa.types.TypeDecorator[Any]):
    """Be JSON, whose literals are made otherwise than its parameters."""

    impl = pg.JSONB
    cache_ok = True

    def process_literal_param(self, value: Any, dialect: Any) -> Any:
        """Return the value in a list."""
        return [value]


METADATA = sa.MetaData()
VALUE = sa.Table(
    "value",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text),
    sa.Column("number", sa.BigInteger),
    sa.Column("price", sa.Numeric),
    sa.Column("ratio", sa.Double),
    sa.Column("flag", sa.Boolean),
    sa.Column("who", sa.Uuid),
    sa.Column("day", sa.Date),
    sa.Column("clock", sa.Time),
    sa.Column("made", sa.DateTime(timezone=True)),
    sa.Column("noon", sa.DateTime),
    sa.Column("span", sa.Interval),
    sa.Column("address", pg.INET),
    sa.Column("card", pg.MACADDR),
    sa.Column("data", pg.JSONB),
    sa.Column("tags", pg.ARRAY(sa.Text)),
    sa.Column("whos", pg.ARRAY(sa.Uuid)),
    sa.Column("grid", pg.ARRAY(sa.Integer, dimensions=2)),
    sa.Column("mood", sa.Enum(Mood, name="mood")),
    sa.Column("moods", pg.ARRAY(sa.Enum(Mood, name="mood", create_type=False))),
    sa.Column("period", pg.INT4RANGE),
    sa.Column("times", pg.TSTZRANGE),
    sa.Column("periods", pg.INT4MULTIRANGE),
    sa.Column("folded", Folded),
    sa.Column("written", Written),
)
C = VALUE.c
OTHER = VALUE.alias("other")


def at(hour: int) -> dt.datetime:
    """Return an hour of a day."""
    return dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC)


SPECIAL: list[tuple[str, Any, Any]] = [
    ("noon", dt.datetime(2026, 3, 4, 5, 6), dt.datetime(2026, 4, 3, 5, 6)),  # noqa: DTZ001
    ("mood", Mood.SLASHED, Mood.FINE),
    ("moods", [Mood.SLASHED, Mood.FINE], [Mood.FINE]),
    ("card", "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    ("grid", [[1, 2], [3, 4]], [[1, 2], [3, 5]]),
    ("tags", ["a", None, "NULL"], ["a", "NULL", None]),
    ("period", pg.Range(1, 5), pg.Range(1, 6)),
    ("period", pg.Range(None, 5, bounds="()"), pg.Range(0, 5, bounds="()")),
    ("period", pg.Range(empty=True), pg.Range(1, 2)),
    ("times", pg.Range(at(1), at(2), bounds="[]"), pg.Range(at(1), at(2))),
    ("periods", [pg.Range(1, 3), pg.Range(5, 7)], [pg.Range(1, 7)]),
    ("folded", ["a\\b", "it's"], ["a"]),
]


@pytest.fixture(params=SETTINGS, ids=["usual", "hostile"])
def owner(
    request: pytest.FixtureRequest, server: postgres.Server, database: str
) -> Iterator[sa.Connection]:
    """Return the owner in a transaction that is undone, the table made."""
    engine = sa.create_engine(server.url("psycopg", postgres.OWNER, database))
    with contextlib.closing(engine.connect()) as conn, conn.begin() as undone:
        METADATA.create_all(conn)
        for name, value in request.param.items():
            conn.exec_driver_sql(f"SET LOCAL {name} = '{value}'")
        yield conn
        undone.rollback()
    engine.dispose()


def opened(conn: sa.Connection, expression: Any) -> list[int]:
    """Make a policy and return the rows for which PostgreSQL's text of it is true."""
    policy = Policy("p", using=expression, to=["PUBLIC"], permissive=False)
    execute(conn, policy.compiled(VALUE).create())
    conn.exec_driver_sql("RESET ALL")
    text = conn.exec_driver_sql(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = 'p'"
    ).scalar_one()
    options = {"no_parameters": True}
    rows = conn.exec_driver_sql(
        f"SELECT id FROM value WHERE {text} ORDER BY id", execution_options=options
    )
    return [row[0] for row in rows]


def insert(conn: sa.Connection, name: str, *values: Any) -> None:
    """Add a row for each value, as parameters."""
    for number, value in enumerate(values):
        conn.execute(VALUE.insert(), {"id": number, name: value})


@pytest.mark.parametrize(("name", "wanted", "other"), [*CASES, *SPECIAL])
def test_a_literal_is_the_value(
    owner: sa.Connection, name: str, wanted: Any, other: Any
) -> None:
    """Of two rows that nearly look alike the policy finds the one, by = and by IN."""
    if name == "address":
        wanted, other = str(wanted), str(other)
    insert(owner, name, wanted, other, None)

    assert opened(owner, C[name] == wanted) == [0]
    execute(owner, ["DROP POLICY p ON value"])
    assert opened(owner, C[name].in_([wanted])) == [0]


@pytest.mark.parametrize("text", ["50%", "_", "back\\slash", "it's: 'a'"])
def test_a_pattern_matches_what_it_says(owner: sa.Connection, text: str) -> None:
    """LIKE with escaped percent signs and backslashes finds the text alone."""
    insert(owner, "body", f"<{text}>", f"<{text.replace(text[-1], 'xy')}>", "<50 off>")

    assert opened(owner, C.body.contains(text, autoescape=True)) == [0]


def test_a_pattern_with_backslashes_is_a_pattern(owner: sa.Connection) -> None:
    """A percent sign and a backslash in a pattern mean what LIKE says they mean."""
    insert(owner, "body", "50% off", "500 off", "5\\%", "50%")

    assert opened(owner, C.body.like("50\\%%")) == [0, 3]


ROWS: list[dict[str, Any]] = [
    {"id": 0, "number": 1, "body": "a", "mood": Mood.FINE, "tags": ["x", "y"]},
    {"id": 1, "number": 2, "body": None, "mood": Mood.SLASHED, "data": {"k": "v"}},
    {"id": 2, "number": None, "body": "b", "data": {"k": "w", "l": [1]}},
    {"id": 3, "number": 4, "body": "a", "period": pg.Range(1, 5)},
]


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        (C.mood.in_([Mood.FINE, Mood.SLASHED]), [0, 1]),
        (C.number.between(2, 4), [1, 3]),
        (C.body.is_distinct_from("a"), [1, 2]),
        (sa.case((C.body.is_(None), C.number > 1), else_=C.number == 4), [1, 3]),
        (C.data["k"].astext == "v", [1]),
        (C.data["l"][0].as_integer() == 1, [2]),
        (C.data.contains({"l": [1]}), [2]),
        (C.data.has_key("l"), [2]),
        (sa.any_(C.tags) == "y", [0]),
        (C.tags.contains(["x"]), [0]),
        (C.period.contains(4), [3]),
        (C.period.overlaps(pg.Range(4, 9)), [3]),
        (sa.tuple_(C.number, C.body).in_([(1, "a"), (4, "a")]), [0, 3]),
        (sa.func.coalesce(C.number, 9) % 2 == 0, [1, 3]),
        (RawPredicate("body LIKE 'a%' AND ':x' <> '%s'"), [0, 3]),
        (sa.not_(RawPredicate("body = 'a'")), [2]),
        (sa.and_(C.number == 4, RawPredicate("true OR false")), [3]),
        (
            C.number
            == sa.select(sa.func.max(OTHER.c.number))
            .where(OTHER.c.body == C.body)
            .scalar_subquery(),
            [3],
        ),
        (sa.exists().where(OTHER.c.body == C.body, OTHER.c.id < C.id), [3]),
        (~sa.exists().where(OTHER.c.number > C.number), [2, 3]),
    ],
)
def test_an_expression_finds_its_rows(
    owner: sa.Connection, expression: Any, rows: list[int]
) -> None:
    """What SQLAlchemy can say of a row is what the policy asks of it."""
    for row in ROWS:
        owner.execute(VALUE.insert(), row)
    policy = Policy(
        "p", check=expression, command="INSERT", to=["PUBLIC"], permissive=False
    )
    execute(owner, policy.compiled(VALUE).create())
    text = owner.exec_driver_sql(
        "SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polname = 'p'"
    ).scalar_one()
    found = owner.exec_driver_sql(
        f"SELECT id FROM value WHERE {text} ORDER BY id",
        execution_options={"no_parameters": True},
    )

    assert [row[0] for row in found] == rows
    query = sa.select(C.id).where(expression).order_by(C.id)
    assert owner.scalars(query).all() == rows


def test_a_types_own_literal_is_used() -> None:
    """A type that writes literals otherwise than parameters is asked for them."""
    text = clause(C.written == "x", VALUE, permissive=False)

    assert text == "value.written = '[\"x\"]'::JSONB"


NAIVE = dt.datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (C.made > NAIVE, "has no time zone and the column has"),
        (C.noon > at(1), "has a time zone, which a column without would drop"),
        (C.price == Decimal("NaN"), "NaN is no literal"),
        (C.ratio == sa.literal(float("nan")), "nan is no literal"),
        (C.tags.contains([b"x"]), "bytes are no literal"),
        (C.body == "a\0b", "text with a NUL"),
        (C.data.contains({"k": float("nan")}), "not JSON compliant"),
        (C.data.contains({"k": {1}}), "not JSON serializable"),
        (C.period == pg.Range(1, float("inf")), "inf is no literal"),
        (C.period == sa.literal(5, pg.INT4RANGE), "int is no Range"),
        (C.number == sa.bindparam("n", callable_=lambda: 1), "called anew each time"),
        (C.made == sa.literal(dt.datetime.now, sa.DateTime), "called anew each time"),
    ],
)
def test_what_has_no_literal_is_refused(expression: Any, complaint: str) -> None:
    """A value that would be another one tomorrow, or elsewhere, is an error."""
    with pytest.raises(ConfigurationError, match=rf"on 'value'.*{complaint}"):
        clause(expression, VALUE)
