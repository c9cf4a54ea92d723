"""A policy opens the rows that the filter it was written as selects, in both ORMs."""

from __future__ import annotations

import abc
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings

from jwtrole import JWTRole, policy
from jwtrole.context import acting_as
from sqlalchemy_jwtrole.policy import Policy
from tests import postgres, trusting
from tests.behaviour import conditions
from tests.behaviour.conditions import (
    MEMBERS,
    MEMBERSHIP,
    METADATA,
    OPEN,
    TENANTS,
    THING,
    Condition,
    both,
    either,
    never,
    raw,
)
from tests.sqlalchemy_jwtrole.attached import Attached

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from jwtrole.identity import Identity
    from jwtrole.testing import ThrowawayIssuer


class Orm(abc.ABC):
    """Write a condition as a policy, and as a filter, with one of the two."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @abc.abstractmethod
    def policy(
        self, using: Condition, check: Condition | None = None, to: str = "member"
    ) -> str:
        """Return the statement that makes the policy."""

    @abc.abstractmethod
    def filtered(self, who: Identity, one: Condition) -> list[int]:
        """Return the rows of the open table that the filter selects."""

    @abc.abstractmethod
    def seen(self, who: Identity, *before: str) -> list[int]:
        """Return the rows of the protected table, after other statements."""

    @abc.abstractmethod
    def done(self, who: Identity, *statements: str) -> None:
        """Run statements in a transaction that is undone."""


class Place:
    """Be a database that verifies tokens, with the tables, and its owner."""

    def __init__(
        self, server: postgres.Server, name: str, auth: JWTRole, issuer: ThrowawayIssuer
    ) -> None:
        self.server, self.name, self.auth, self.issuer = server, name, auth, issuer
        self.owner = server.connect(postgres.OWNER, name)
        self.admin: psycopg.Connection = server.connect("postgres", name)
        for statement in policy.enable_row_security("thing"):
            self.owner.execute(statement.encode())
        for role in postgres.ROLES:
            self.owner.execute(
                f"GRANT SELECT, INSERT ON thing, open_thing, membership TO {role}"
                "; ".encode()
            )

    def fill(self, rows: list[dict[str, Any]], members: list[Any]) -> None:
        """Replace the rows of all tables."""
        from psycopg.types.json import Jsonb

        with self.admin.transaction():
            self.admin.execute("TRUNCATE thing, open_thing, membership")
            for number, row in enumerate(rows):
                data = row["data"]
                found = {
                    **row,
                    "id": number,
                    "data": None if data is None else Jsonb(data),
                }
                names = ", ".join(found)
                marks = ", ".join(f"%({name})s" for name in found)
                for table in ("thing", "open_thing"):
                    query = f"INSERT INTO {table} ({names}) VALUES ({marks})"
                    self.admin.execute(query.encode(), found)
            for tenant, who in members:
                self.admin.execute(
                    "INSERT INTO membership (tenant, who) VALUES (%s, %s)",
                    (tenant, who),
                )

    def protect(self, *statements: str) -> None:
        """Replace the policies of the protected table."""
        with self.owner.transaction():
            names = self.owner.execute(
                "SELECT polname::text FROM pg_policy WHERE polrelid = 'thing'::regclass"
            ).fetchall()
            for (name,) in names:
                self.owner.execute(f"DROP POLICY {name} ON thing".encode())
            for statement in statements:
                self.owner.execute(statement.encode())

    def close(self) -> None:
        """Give the connections back."""
        self.owner.close()
        self.admin.close()


class SQLAlchemy(Orm):
    """Do it with SQLAlchemy."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._engine = Attached(place.server, place.name, "psycopg", place.auth)

    def policy(
        self, using: Condition, check: Condition | None = None, to: str = "member"
    ) -> str:
        """Return the statement that makes the policy."""
        other = check.sql if check else None
        made = Policy("p", using=using.sql, check=other, to=[to])
        return made.compiled(THING).create()[0]

    def filtered(self, who: Identity, one: Condition) -> list[int]:
        """Return the rows of the open table that the filter selects."""
        query = sa.select(OPEN.c.id).where(one.sql(OPEN.c)).order_by(OPEN.c.id)
        return self._engine.run(who, lambda conn: list(conn.scalars(query)))

    def seen(self, who: Identity, *before: str) -> list[int]:
        """Return the rows of the protected table, after other statements."""

        def work(conn: sa.Connection) -> list[int]:
            for statement in before:
                conn.exec_driver_sql(statement)
            return list(conn.scalars(sa.select(THING.c.id).order_by(THING.c.id)))

        return self._engine.run(who, work)

    def done(self, who: Identity, *statements: str) -> None:
        """Run statements in a transaction that is undone."""

        def work(conn: sa.Connection) -> None:
            for statement in statements:
                conn.exec_driver_sql(statement)

        self._engine.run(who, work)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.close()


class Django(Orm):
    """Do it with Django."""

    def __init__(self, place: Place) -> None:
        from tests.django_project.aliases import register

        super().__init__(place)
        self._models = conditions.models()
        self._alias = register(place.server, place.name, place.auth)

    def policy(
        self, using: Condition, check: Condition | None = None, to: str = "member"
    ) -> str:
        """Return the statement that makes the policy."""
        from django.db import connections

        from django_jwtrole import Policy as Declared

        other = check.q() if check else None
        made = Declared(name="p", using=using.q(), check=other, to=[to])
        editor: Any = SimpleNamespace(connection=connections[self._alias])
        statement = made.create_sql(self._models.thing, editor)
        return str(statement).split(";\n", maxsplit=1)[0]

    def filtered(self, who: Identity, one: Condition) -> list[int]:
        """Return the rows of the open table that the filter selects."""
        rows = self._models.open.objects.using(self._alias).filter(one.q())
        with acting_as(who):
            return list(rows.order_by("id").values_list("id", flat=True))

    def seen(self, who: Identity, *before: str) -> list[int]:
        """Return the rows of the protected table, after other statements."""
        from django.db import connections, transaction

        rows = self._models.thing.objects.using(self._alias).order_by("id")
        with acting_as(who), transaction.atomic(self._alias):
            with connections[self._alias].cursor() as cursor:
                for statement in before:
                    cursor.execute(statement)
            found = list(rows.values_list("id", flat=True))
            transaction.set_rollback(True, using=self._alias)
            return found

    def done(self, who: Identity, *statements: str) -> None:
        """Run statements in a transaction that is undone."""
        from django.db import connections, transaction

        with acting_as(who), transaction.atomic(self._alias):
            with connections[self._alias].cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            transaction.set_rollback(True, using=self._alias)

    def close(self) -> None:
        """Give the connections back."""
        from tests.django_project.aliases import forget

        forget(self._alias)


@pytest.fixture(scope="module")
def place(
    server: postgres.Server, worker: str, issuer: ThrowawayIssuer
) -> Iterator[Place]:
    """Return the database."""
    name = f"policies_{worker}"
    server.create_database(name)
    owner = sa.create_engine(server.url("psycopg", postgres.OWNER, name))
    METADATA.create_all(owner)
    owner.dispose()
    trusting.upgrade(server, name)
    trusting.trust(server, name, issuer)
    auth = JWTRole([issuer.issuer], list(postgres.ROLES), trust="database")
    with contextlib.closing(Place(server, name, auth, issuer)) as found:
        yield found
    server.drop_database(name)


@pytest.fixture(scope="module")
def orms(place: Place) -> Iterator[list[Orm]]:
    """Return both ORMs on it."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(kind(place)))  # type: ignore[type-var]
            for kind in (SQLAlchemy, Django)
        ]


TENANT = conditions.TENANT
EMPTY = dict.fromkeys(column.name for column in THING.c if column.name != "id")
SOME_ROWS: list[dict[str, Any]] = [
    {**EMPTY, "tenant": tenant, "flag": True} for tenant in TENANTS
]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    conditions.CONDITIONS,
    conditions.ROWS,
    conditions.MEMBERSHIPS,
    conditions.CLAIMS,
)
@example(MEMBERSHIP, SOME_ROWS, [(TENANTS[0], "ann")], {"sub": "ann"})
@example(never(MEMBERS), SOME_ROWS, [(TENANTS[0], "ann")], {})
@example(either(TENANT, MEMBERS), SOME_ROWS, [], {"tenant": str(TENANTS[1])})
def test_a_policy_opens_what_its_filter_selects(
    place: Place,
    orms: list[Orm],
    one: Condition,
    rows: list[dict[str, Any]],
    members: list[Any],
    claims: dict[str, Any],
) -> None:
    """Random rows, claims and expressions: policy and filter agree, so do the ORMs."""
    place.fill(rows, members)
    who = place.issuer.identity(place.auth, **{"role": "member", **claims})
    found = []
    for orm in orms:
        place.protect(orm.policy(one))
        found.append(orm.filtered(who, one))
        assert orm.seen(who) == found[-1]

    assert one.negates or found[0] == found[1]


EVERYTHING = raw("true")
SWITCHED = "SET LOCAL ROLE manager"
SEAL = "(SELECT jwtrole.sealed()) AND "
INSERT = f"INSERT INTO thing (id, tenant) VALUES (99, '{TENANTS[1]}')"
#: USING, WITH CHECK, and whether rows would be seen but for the seal: where a claim is
#: read before anything else, that is an error already.
OPENING: list[tuple[Condition, Condition | None, bool]] = [
    (either(TENANT, raw("flag")), None, False),
    (either(raw("flag"), TENANT), None, True),
    (EVERYTHING, None, True),
    (both(raw("flag"), EVERYTHING), None, True),
    (MEMBERSHIP, None, False),
    (MEMBERS, None, True),
    (either(MEMBERS, MEMBERSHIP), None, True),
    (raw("tenant = (SELECT jwtrole.claim('tenant')::uuid) OR flag"), None, False),
    (raw("flag OR tenant = (SELECT jwtrole.claim('tenant')::uuid)"), None, True),
    (TENANT, EVERYTHING, False),
]


@pytest.fixture
def shared(place: Place) -> Iterator[None]:
    """Fill the tables with rows that a manager sees, and a member's membership."""
    place.fill(SOME_ROWS, [(tenant, "ann") for tenant in TENANTS])
    yield
    place.protect()


def attempt(orm: Orm, who: Identity, *before: str) -> list[int]:
    """Return the rows that are seen, none where the database refuses."""
    try:
        return orm.seen(who, *before)
    except Exception as error:
        if not refusal(error):
            raise
        return []


def refusal(error: BaseException | None) -> bool:
    """Tell whether a policy, or the lack of an identity, is behind an error."""
    while error is not None:
        for one in (error, getattr(error, "orig", None)):
            if getattr(one, "sqlstate", None) in {"JW006", "42501"}:
                return True
        error = error.__cause__
    return False


@pytest.mark.parametrize(("using", "check", "opens"), OPENING, ids=str)
def test_who_merely_switches_to_a_role_gets_nothing_of_it(
    place: Place,
    orms: list[Orm],
    shared: None,
    using: Condition,
    check: Condition | None,
    opens: bool,
) -> None:
    """No OR, no text, no membership and no WITH CHECK (true) opens by SET ROLE."""
    claims = {"sub": "ann", "tenant": str(TENANTS[0])}
    member = place.issuer.identity(place.auth, role="member", **claims)
    manager = place.issuer.identity(place.auth, role="manager", **claims)
    for orm in orms:
        statement = orm.policy(using, check, to="manager")
        place.protect(statement)
        assert attempt(orm, member, SWITCHED) == []
        with pytest.raises(Exception) as caught:  # noqa: PT011
            orm.done(member, SWITCHED, INSERT)
        assert refusal(caught.value)
        assert orm.seen(manager)
        # Without the seal it would open: the attack is one.
        assert SEAL in statement
        place.protect(statement.replace(SEAL, ""))
        assert bool(attempt(orm, member, SWITCHED)) is opens
        if check is not None:
            orm.done(member, SWITCHED, INSERT)
