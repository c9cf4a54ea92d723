"""What mixins open, alone and together, in both ORMs, on real rows."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jwtrole import JWTRole
from tests import postgres, trusting
from tests.behaviour import mixtures
from tests.behaviour.mixtures import BLUE, MIXTURES, RED, VALUES, Mixture
from tests.sqlalchemy_jwtrole.attached import Attached

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from jwtrole.identity import Identity
    from jwtrole.testing import ThrowawayIssuer

#: Who there is: two tenants, two roles, two subjects, and one who belongs nowhere.
PEOPLE: list[dict[str, Any]] = [
    {"sub": str(mixtures.ANN), "role": "member", "tenant_id": str(RED)},
    {"sub": str(mixtures.ANN), "role": "manager", "tenant_id": str(RED)},
    {"sub": str(mixtures.BOB), "role": "member", "tenant_id": str(BLUE)},
    {"sub": str(mixtures.BOB), "role": "member", "tenant_id": str(RED)},
    {"sub": str(RED), "role": "member", "tenant_id": str(mixtures.ANN)},
]
NOBODY: dict[str, Any] = {"sub": None, "role": "anon", "tenant_id": None}
MAKERS = {
    "sqlalchemy": mixtures.make_with_sqlalchemy,
    "django": mixtures.make_with_django,
}


def _rows(one: Mixture) -> list[dict[str, Any]]:
    """Return a row for each way that the columns of the mixins can be filled."""
    every = itertools.product(*(VALUES[name] for name in one.columns))
    return [
        {"id": number, **dict(zip(one.columns, values, strict=True))}
        for number, values in enumerate(every)
    ]


class World:
    """Be a database that verifies tokens, its tables filled."""

    def __init__(
        self, server: postgres.Server, name: str, issuer: ThrowawayIssuer
    ) -> None:
        roles = list(postgres.ROLES)
        self.auth = JWTRole([issuer.issuer], roles, anonymous=postgres.ANONYMOUS)
        self.issuer = issuer
        self.engine = Attached(server, name, "psycopg", self.auth)
        self.admin: psycopg.Connection = server.connect("postgres", name)
        for one in MIXTURES:
            for row in _rows(one):
                self.admin.execute(_insert(one, row).encode())
        for pair in mixtures.MEMBERSHIPS:
            self.admin.execute(
                "INSERT INTO membership (organisation_id, member_id) VALUES (%s, %s)",
                pair,
            )

    def identity(self, claims: dict[str, Any]) -> Identity | None:
        """Return somebody, verified from a token; nobody without a subject."""
        if claims["sub"] is None:
            return None
        return self.issuer.identity(self.auth, **claims)

    def run(self, claims: dict[str, Any], *statements: str) -> list[Any]:
        """Run statements in a transaction that is undone; the last one's first column.

        What is refused for lack of privileges or by row security is ``["refused"]``.
        """

        def work(conn: sa.Connection) -> list[Any]:
            for statement in statements[:-1]:
                conn.exec_driver_sql(statement)
            return [row[0] for row in conn.exec_driver_sql(statements[-1])]

        try:
            return sorted(self.engine.run(self.identity(claims), work))
        except sa.exc.DBAPIError as error:
            # Reading a claim that was sealed for another role is JW006.
            if getattr(error.orig, "sqlstate", None) not in {"42501", "JW006"}:
                raise
            return ["refused"]

    def close(self) -> None:
        """Give the connections back."""
        self.engine.close()
        self.admin.close()


def _insert(one: Mixture, row: dict[str, Any]) -> str:
    values = ", ".join(f"'{value}'" for value in row.values())
    return f"INSERT INTO {one} ({', '.join(row)}) VALUES ({values}) RETURNING 'done'"


@pytest.fixture(scope="module", params=MAKERS)
def world(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[World]:
    """Return a database whose tables one ORM made, then the other."""
    name = f"mixins_{worker}_{request.param}"
    server.create_database(name)
    MAKERS[request.param](server, name)
    trusting.upgrade(server, name)
    trusting.trust(server, name, issuer, anonymous=postgres.ANONYMOUS)
    with contextlib.closing(World(server, name, issuer)) as found:
        yield found
    server.drop_database(name)


every_mixture = pytest.mark.parametrize("one", MIXTURES, ids=str)


@every_mixture
def test_everybody_sees_what_the_mixins_say(world: World, one: Mixture) -> None:
    """Each person reads the rows that Python finds, and nobody without a token more."""
    for who in [*PEOPLE, NOBODY]:
        expected = [row["id"] for row in _rows(one) if one.reads(who, row)]
        seen = world.run(who, f"SELECT id FROM {one}")
        assert seen == expected or (seen == ["refused"] and not expected), who


@every_mixture
def test_everybody_writes_what_the_mixins_say(world: World, one: Mixture) -> None:
    """UPDATE and DELETE reach the rows that Python finds, though more are seen."""
    for who in [*PEOPLE, NOBODY]:
        expected = [row["id"] for row in _rows(one) if one.writes(who, row)]
        for change in (f"UPDATE {one} SET body = 'x'", f"DELETE FROM {one}"):
            done = world.run(who, f"{change} RETURNING id")
            assert done == expected or (done == ["refused"] and not expected), who


@every_mixture
def test_rows_of_others_are_not_made(world: World, one: Mixture) -> None:
    """An INSERT is refused unless its row is one that one may write."""
    for who in [*PEOPLE, NOBODY]:
        for row in _rows(one):
            made = world.run(who, _insert(one, {**row, "id": 99}))
            assert made == (["done"] if one.writes(who, row) else ["refused"]), row


@every_mixture
def test_no_row_is_moved_out_of_reach(world: World, one: Mixture) -> None:
    """Giving one's row another tenant, owner or organisation is refused."""
    for who, name in itertools.product(PEOPLE, one.columns):
        for row, value in itertools.product(_rows(one), VALUES[name]):
            if not one.writes(who, row):
                continue
            change = f"UPDATE {one} SET {name} = '{value}' WHERE id = {row['id']}"
            moved = world.run(who, f"{change} RETURNING 'done'")
            may = one.writes(who, {**row, name: value})
            assert moved == (["done"] if may else ["refused"]), row


TENANTS = [one for one in MIXTURES if "Tenant" in one.mixins]


@pytest.mark.parametrize("one", TENANTS, ids=str)
def test_no_mixin_opens_another_tenants_row(world: World, one: Mixture) -> None:
    """A foreign row that one owns, or that is public, stays the other tenant's."""
    alone = Mixture("", tuple(m for m in one.mixins if m != "Tenant"), one.roles)
    ann = PEOPLE[0]
    foreign = [row for row in _rows(one) if row["tenant_id"] == BLUE]
    # The attack is one: without the tenant these would be seen.
    assert one.table == "tenant" or any(alone.reads(ann, row) for row in foreign)
    for row in foreign:
        for statement in (
            f"SELECT id FROM {one} WHERE id = {row['id']}",
            f"UPDATE {one} SET body = 'x' WHERE id = {row['id']} RETURNING id",
            f"DELETE FROM {one} WHERE id = {row['id']} RETURNING id",
        ):
            assert world.run(ann, statement) in ([], ["refused"])
        assert world.run(ann, _insert(one, {**row, "id": 99})) == ["refused"]


@every_mixture
def test_a_mere_switch_of_the_role_opens_nothing(world: World, one: Mixture) -> None:
    """SET ROLE shows no row of the other role, be it a public one, and writes none."""
    for who, role in itertools.product(PEOPLE, (*postgres.ROLES, postgres.ANONYMOUS)):
        if role == who["role"]:
            continue
        switch = f"SET LOCAL ROLE {role}"
        assert world.run(who, switch, f"SELECT id FROM {one}") in ([], ["refused"])
        for row in _rows(one):
            made = world.run(who, switch, _insert(one, {**row, "id": 99}))
            assert made == ["refused"]


def test_public_rows_are_sealed(world: World) -> None:
    """Without the seal a mere SET ROLE would show every public row."""
    member, manager = PEOPLE[:2]
    everything = [row["id"] for row in _rows(MIXTURES[3])]
    switch, read = "SET LOCAL ROLE manager", "SELECT id FROM listed"
    assert world.run(manager, read) == everything
    assert world.run(member, switch, read) == []
    (name,) = world.admin.execute(
        "SELECT polname::text FROM pg_policy WHERE polrelid = 'listed'::regclass"
    ).fetchone() or ("",)
    world.admin.execute(f"ALTER POLICY {name} ON listed USING (true)".encode())
    opened = world.run(member, switch, read)
    sealed = "((SELECT jwtrole.sealed()) AND (true))"
    world.admin.execute(f"ALTER POLICY {name} ON listed USING {sealed}".encode())

    assert opened == everything


@pytest.mark.parametrize("one", TENANTS, ids=str)
def test_tenant_and_owner_come_from_the_token(world: World, one: Mixture) -> None:
    """Rows written without them get those of the token."""
    who = PEOPLE[1]
    given = {"id": 99}
    if "organisation_id" in one.columns:
        given["organisation_id"] = str(mixtures.CLUB)  # type: ignore[assignment]
    filled = {"tenant_id": who["tenant_id"], "owner_id": who["sub"]}
    for name in one.columns:
        if name in filled:
            insert = _insert(one, given).replace("'done'", f"{name}::text")
            assert world.run(who, insert) == [filled[name]]


@every_mixture
def test_both_orms_declare_one_policy_for_each_mixin(
    world: World, one: Mixture
) -> None:
    """The policies' commands and roles are those that the table's mixins ask for."""
    rows = world.admin.execute(
        "SELECT polcmd::text, polroles::regrole[]::text, polpermissive "
        "FROM pg_policy WHERE polrelid = %s::regclass",
        (one.table,),
    ).fetchall()
    commands = sorted(command for command, _, _ in rows)
    shown = "PublicRead" in one.mixins
    deciding = len({"Owner", "Membership"} & {*one.mixins})
    whole = deciding or int("Tenant" in one.mixins)

    assert commands == ["*"] * whole + ["r"] * shown
    assert all(permissive for _, _, permissive in rows)
    assert not any("anon" in roles for command, roles, _ in rows if command == "*")


@pytest.mark.parametrize("one", TENANTS, ids=str)
def test_a_unique_value_tells_nothing_of_another_tenant(
    world: World, one: Mixture
) -> None:
    """What the other tenant has may be had as well, and cannot be asked for."""
    who = PEOPLE[1]
    rows = [{**row, "id": 99, "code": 7} for row in _rows(one)]
    mine = next(row for row in rows if one.writes(who, row))
    theirs = next(row for row in rows if row["tenant_id"] == BLUE)
    take = f"UPDATE {one} SET code = 7 WHERE id = 0 RETURNING 'done'"
    world.admin.execute(
        f"UPDATE {one} SET code = 7 WHERE id = "
        f"(SELECT max(id) FROM {one} WHERE tenant_id = '{BLUE}')".encode()
    )

    assert world.run(who, take) == ["done"]
    assert world.run(who, _insert(one, mine)) == ["done"]
    assert world.run(who, _insert(one, theirs)) == ["refused"]
    with pytest.raises(sa.exc.IntegrityError, match=f"{one}_code"):
        world.run(who, take, _insert(one, mine))
