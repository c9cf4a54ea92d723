"""Conditions on one table, each written for both ORMs, and the tables they are on.

``thing`` is protected by whatever policy a test gives it; ``open_thing`` has the same
rows and no row security, so that a filter can be asked for them.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from sqlalchemy_jwtrole import RawPredicate, claim

if TYPE_CHECKING:
    from collections.abc import Callable

ROLE = "member"
TENANTS = (uuid.UUID(int=1), uuid.UUID(int=2))
SUBJECTS = ("ann", "b'ob\\")
TEXTS = ("a", "50%", "50 off", "it's", "back\\slash", "_", 'say "no"', ":b", "ä€", "")
TIMES = tuple(
    dt.datetime(2026, 1, day, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    for day in (1, 2)
    for hours in (-5, 0, 2)
)

METADATA = sa.MetaData()


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.Uuid),
        sa.Column("owner", sa.Text),
        sa.Column("level", sa.Integer),
        sa.Column("body", sa.Text),
        sa.Column("flag", sa.Boolean),
        sa.Column("tags", postgresql.ARRAY(sa.Text)),
        sa.Column("data", postgresql.JSONB),
        sa.Column("price", sa.Numeric),
        sa.Column("made", sa.DateTime(timezone=True)),
    ]


THING = sa.Table("thing", METADATA, *_columns())
OPEN = sa.Table("open_thing", METADATA, *_columns())
MEMBER = sa.Table(
    "membership",
    METADATA,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("tenant", sa.Uuid),
    sa.Column("who", sa.Text),
)


@cache
def models() -> SimpleNamespace:
    """Return Django's models of the same tables, in a registry of their own."""
    # The models need settings, which pytest-django fills in late.
    from django.apps.registry import Apps
    from django.contrib.postgres.fields import ArrayField
    from django.db import models as m
    from django.db.migrations.state import AppConfigStub

    registry = Apps([AppConfigStub("things")])

    def make(table: str, **fields: Any) -> Any:
        meta = type(
            "Meta", (), {"app_label": "things", "apps": registry, "db_table": table}
        )
        name = table.title().replace("_", "")
        return type(name, (m.Model,), {"__module__": __name__, "Meta": meta, **fields})

    def fields() -> dict[str, Any]:
        return {
            "id": m.IntegerField(primary_key=True),
            "tenant": m.UUIDField(null=True),
            "owner": m.TextField(null=True),
            "level": m.IntegerField(null=True),
            "body": m.TextField(null=True),
            "flag": m.BooleanField(null=True),
            "tags": ArrayField(m.TextField(), null=True),
            "data": m.JSONField(null=True),
            "price": m.DecimalField(max_digits=9, decimal_places=2, null=True),
            "made": m.DateTimeField(null=True),
        }

    return SimpleNamespace(
        thing=make("thing", **fields()),
        open=make("open_thing", **fields()),
        member=make("membership", tenant=m.UUIDField(), who=m.TextField()),
    )


@dataclass(frozen=True)
class Condition:
    """Be a condition in both ORMs.

    Args:
        text: How it is shown.
        q: Makes Django's expression.
        sql: Takes a table's columns and returns SQLAlchemy's.
        negates: Whether it holds a NOT, which Django takes for another with NULL.
    """

    text: str
    q: Callable[[], Any]
    sql: Callable[[Any], Any]
    negates: bool = False

    def __repr__(self) -> str:
        return self.text


def _compares(column: str, name: str, kind: str, how: str) -> Condition:
    """Return a comparison of a column with a claim."""
    sql_type = {"UUID": sa.Uuid, "Text": sa.Text, "Integer": sa.Integer}[kind]

    def q() -> Any:
        from django.db import models as m

        from django_jwtrole import Claim

        wanted = Claim(name, getattr(m, f"{kind}Field")())
        return _q(**{f"{column}__{how}": wanted})

    def sql(t: Any) -> Any:
        wanted = claim(name, sql_type)
        return t[column] <= wanted if how == "lte" else t[column] == wanted

    return Condition(f"{column} {how} claim {name}", q, sql)


#: Whether the row is of the acting tenant: a strict comparison.
TENANT = _compares("tenant", "tenant", "UUID", "exact")
_CLAIMS = st.sampled_from(
    [
        TENANT,
        _compares("owner", "sub", "Text", "exact"),
        _compares("level", "level", "Integer", "lte"),
        _compares("level", "level", "Integer", "exact"),
    ]
)


def _q(*conditions: Any, **lookups: Any) -> Any:
    from django.db.models import Q

    return Q(*conditions, **lookups)


_LEVELS: dict[str, Callable[[Any, int], Any]] = {
    "lt": lambda c, n: c < n,
    "gte": lambda c, n: c >= n,
    "exact": lambda c, n: c == n,
}
_MATCHES: dict[str, Callable[[Any, str], Any]] = {
    "contains": lambda c, text: c.contains(text, autoescape=True),
    "startswith": lambda c, text: c.startswith(text, autoescape=True),
    "exact": lambda c, text: c == text,
    "iexact": lambda c, text: sa.func.upper(c) == sa.func.upper(text),
}


def _levels() -> st.SearchStrategy[Condition]:
    return st.builds(
        lambda how, n: Condition(
            f"level {how} {n}",
            lambda: _q(**{f"level__{how}": n}),
            lambda t: _LEVELS[how](t.level, n),
        ),
        st.sampled_from(sorted(_LEVELS)),
        st.integers(-2, 4),
    )


def _bodies() -> st.SearchStrategy[Condition]:
    return st.builds(
        lambda how, text: Condition(
            f"body {how} {text!r}",
            lambda: _q(**{f"body__{how}": text}),
            lambda t: _MATCHES[how](t.body, text),
        ),
        st.sampled_from(sorted(_MATCHES)),
        st.sampled_from(TEXTS),
    )


def _lists() -> st.SearchStrategy[Condition]:
    texts = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3)
    return st.one_of(
        texts.map(
            lambda given: Condition(
                f"body in {given}",
                lambda: _q(body__in=given),
                lambda t: t.body.in_(given),
            )
        ),
        texts.map(
            lambda given: Condition(
                f"tags contain {given}",
                lambda: _q(tags__contains=given),
                lambda t: t.tags.contains(given),
            )
        ),
        texts.map(
            lambda given: Condition(
                f"tags overlap {given}",
                lambda: _q(tags__overlap=given),
                lambda t: t.tags.overlap(given),
            )
        ),
    )


def _documents() -> st.SearchStrategy[Condition]:
    def has(text: str) -> Condition:
        return Condition(
            f"data holds {text!r}",
            lambda: _q(data__contains={"k": text}),
            lambda t: t.data.contains({"k": text}),
        )

    def reads(text: str) -> Condition:
        def q() -> Any:
            from django.db.models.fields.json import KT
            from django.db.models.lookups import Exact

            return _q(Exact(KT("data__k"), text))

        return Condition(
            f"data's k is {text!r}", q, lambda t: t.data["k"].astext == text
        )

    return st.sampled_from(TEXTS).flatmap(lambda x: st.sampled_from([has(x), reads(x)]))


def _ranges() -> st.SearchStrategy[Condition]:
    prices = st.decimals(0, 3, places=2)
    return st.one_of(
        st.builds(
            lambda low, high: Condition(
                f"price between {low} and {high}",
                lambda: _q(price__range=(low, high)),
                lambda t: t.price.between(low, high),
            ),
            prices,
            prices,
        ),
        st.sampled_from(TIMES).map(
            lambda time: Condition(
                f"made before {time}",
                lambda: _q(made__lt=time),
                lambda t: t.made < time,
            )
        ),
    )


def _member_q(**who: Any) -> Any:
    from django.db.models import OuterRef

    from django_jwtrole import Related

    return _q(Related("things.Membership", _q(tenant=OuterRef("tenant"), **who)))


def _my_member_q() -> Any:
    from django_jwtrole import Claim

    return _member_q(who=Claim("sub"))


def _raw_q(text: str) -> Any:
    from django_jwtrole import RawPredicate as Raw

    return _q(Raw(text))


def raw(text: str) -> Condition:
    """Return a condition that is SQL text."""
    return Condition(text, lambda: _raw_q(text), lambda _: RawPredicate(text))


#: Whether the acting subject is a member of the row's tenant.
MEMBERSHIP = Condition(
    "a member",
    _my_member_q,
    lambda t: sa.exists().where(
        MEMBER.c.tenant == t.tenant, MEMBER.c.who == claim("sub")
    ),
)
#: Whether the row's tenant has any member.
MEMBERS = Condition(
    "has members",
    _member_q,
    lambda t: sa.exists().where(MEMBER.c.tenant == t.tenant),
)
_FIXED = st.sampled_from(
    [
        Condition("flag", lambda: _q(flag=True), lambda t: t.flag.is_(True)),
        Condition("no body", lambda: _q(body__isnull=True), lambda t: t.body.is_(None)),
        raw("body LIKE '50%' OR body = ':b'"),
        raw("level % 2 = 0"),
        raw(r"body ~ E'^\\w\\\\s' OR owner = (SELECT jwtrole.claim('sub'))"),
    ]
)


def either(one: Condition, other: Condition) -> Condition:
    """Return a condition that holds where one of two does."""
    return Condition(
        f"({one} or {other})",
        lambda: one.q() | other.q(),
        lambda t: sa.or_(one.sql(t), other.sql(t)),
        one.negates or other.negates,
    )


def both(one: Condition, other: Condition) -> Condition:
    """Return a condition that holds where two do."""
    return Condition(
        f"({one} and {other})",
        lambda: one.q() & other.q(),
        lambda t: sa.and_(one.sql(t), other.sql(t)),
        one.negates or other.negates,
    )


def never(one: Condition) -> Condition:
    """Return a condition that holds where another does not."""
    return Condition(
        f"not {one}", lambda: ~one.q(), lambda t: sa.not_(one.sql(t)), negates=True
    )


CONDITIONS = st.recursive(
    st.one_of(
        _CLAIMS,
        _levels(),
        _bodies(),
        _lists(),
        _documents(),
        _ranges(),
        _FIXED,
        st.sampled_from([MEMBERSHIP, MEMBERS]),
    ),
    lambda inner: st.one_of(
        st.builds(either, inner, inner),
        st.builds(both, inner, inner),
        st.builds(never, inner),
    ),
    max_leaves=4,
)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "tenant": st.sampled_from([None, *TENANTS]),
            "owner": st.sampled_from([None, *SUBJECTS]),
            "level": st.none() | st.integers(-2, 4),
            "body": st.sampled_from([None, *TEXTS]),
            "flag": st.none() | st.booleans(),
            "tags": st.none() | st.lists(st.sampled_from(TEXTS), max_size=3),
            "data": st.sampled_from([None, {}, *({"k": text} for text in TEXTS)]),
            "price": st.none() | st.decimals(0, 3, places=2).map(Decimal),
            "made": st.sampled_from([None, *TIMES]),
        }
    ),
    min_size=3,
    max_size=10,
)
MEMBERSHIPS = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from(SUBJECTS)),
    min_size=1,
    max_size=3,
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "sub": st.sampled_from(SUBJECTS),
        "tenant": st.sampled_from(TENANTS).map(str),
        "level": st.integers(-2, 4),
    },
)
