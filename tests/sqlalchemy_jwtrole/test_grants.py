"""Roles that inherit, their settings, and grants on what is no table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from jwtrole import JWTRole, acting_as
from jwtrole.errors import ConfigurationError
from jwtrole.testing import ThrowawayIssuer
from sqlalchemy_jwtrole import Grant, GrantOn, Policy, attach, claim, declare_on
from sqlalchemy_jwtrole.alembic import register
from sqlalchemy_jwtrole.policy import declare
from tests import postgres
from tests.family import LIMITS, Family, family
from tests.sqlalchemy_jwtrole import revisions
from tests.sqlalchemy_jwtrole.conftest import ASYNC_DRIVERS, DRIVERS
from tests.sqlalchemy_jwtrole.revisions import GRANT, OWN, Revision, make_note

if TYPE_CHECKING:
    from collections.abc import Iterator

register()

empty = revisions.empty
owner = revisions.owner

ALL = (
    GrantOn("sequence", "ticket", "member", ["USAGE"]),
    GrantOn("function", "total(integer)", "member", ["EXECUTE"]),
    GrantOn("schema", "shop", "manager", ["USAGE"]),
    GrantOn("default tables", "shop", "manager", ["SELECT"]),
    GrantOn("default sequences", "shop", "manager", ["USAGE"]),
    GrantOn("default functions", "shop", "manager", ["EXECUTE"]),
)
OBJECTS = (
    "CREATE SEQUENCE ticket",
    "CREATE FUNCTION total(a int) RETURNS int RETURN 1",
    "CREATE FUNCTION total(a int, b text) RETURNS int RETURN 1",
    "CREATE SCHEMA shop",
)


@pytest.fixture(params=["application", "database"])
def trust(request: pytest.FixtureRequest) -> str:
    """Return one mode after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def issuer() -> ThrowawayIssuer:
    """Return the issuer everybody trusts here."""
    return ThrowawayIssuer()


@pytest.fixture
def kin(
    server: postgres.Server, issuer: ThrowawayIssuer, trust: str
) -> Iterator[Family]:
    """Return roles that inherit, on a database of their own with notes in it."""
    with family(server) as found:
        found.install(found.auth(issuer, trust))
        found.make_notes()
        yield found


@pytest.mark.filterwarnings("ignore::jwtrole.TrustWarning")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_member_acts_with_what_a_reader_has(
    driver: str, kin: Family, issuer: ThrowawayIssuer, trust: str
) -> None:
    """It reads by the inherited policy, writes by its own, within its limits."""
    auth = kin.auth(issuer, trust)
    url = kin.server.url(driver, kin.login, kin.database)
    engine = attach(sa.create_engine(url, pool_size=1, max_overflow=0), auth)
    ann = issuer.identity(auth, sub="ann", role=kin.member)
    for _ in range(2):
        with acting_as(ann), engine.connect() as conn:
            assert conn.scalars(sa.text("SELECT body FROM note")).all() != []
            written = conn.scalars(
                sa.text("UPDATE note SET body = 'c' RETURNING author")
            ).all()
            assert written == ["ann"]
            assert _limits(conn) == list(LIMITS.values())
            with pytest.raises(sa.exc.DBAPIError, match="statement timeout"):
                conn.execute(sa.text("SELECT pg_sleep(5)"))
    meg = issuer.identity(auth, sub="meg", role=kin.manager)
    with acting_as(meg), engine.connect() as conn:
        assert _limits(conn) == ["0", ""]
    engine.dispose()


def _limits(conn: Any) -> list[str]:
    query = ", ".join(f"current_setting('{name}', true)" for name in LIMITS)
    row = conn.execute(sa.text(f"SELECT {query}")).one()
    return [value or "" for value in row]


@pytest.mark.filterwarnings("ignore::jwtrole.TrustWarning")
@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
def test_limits_hold_for_async_engines(
    driver: str, kin: Family, issuer: ThrowawayIssuer, trust: str
) -> None:
    """A first statement that runs away is ended as well."""
    auth = kin.auth(issuer, trust)
    ann = issuer.identity(auth, sub="ann", role=kin.member)

    async def run() -> None:
        url = kin.server.url(driver, kin.login, kin.database)
        engine = attach(create_async_engine(url), auth)
        with acting_as(ann):
            for _ in range(2):
                async with engine.connect() as conn:
                    with pytest.raises(sa.exc.DBAPIError, match="statement timeout"):
                        await conn.execute(sa.text("SELECT pg_sleep(5)"))
        await engine.dispose()

    asyncio.run(run())


# create_all


def _metadata(*grants: GrantOn) -> sa.MetaData:
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    declare_on(metadata, *grants)
    return metadata


def _make(conn: sa.Connection, *statements: str) -> None:
    for statement in statements or OBJECTS:
        conn.execute(sa.text(statement))
    conn.commit()


def _may(conn: sa.Connection) -> list[bool]:
    """Tell which of the privileges there are, in the order of their declaration."""
    row = conn.execute(
        sa.text(
            "SELECT has_sequence_privilege('member', 'ticket', 'USAGE'),"
            " EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE"
            " p.oid = 'total(int)'::regprocedure AND a.grantee = 'member'::regrole),"
            " has_schema_privilege('manager', 'shop', 'USAGE'),"
            " (SELECT count(*) = 3 FROM pg_default_acl, aclexplode(defaclacl) a"
            " WHERE a.grantee = 'manager'::regrole)"
        )
    ).one()
    conn.commit()
    return list(row)


def test_create_all_grants_it(owner: sa.Connection) -> None:
    """Whatever is declared is granted with the tables; a second time it stays."""
    _make(owner)
    metadata = _metadata(*ALL)
    metadata.create_all(owner)
    metadata.create_all(owner)
    owner.commit()

    assert _may(owner) == [True] * 4


def test_create_all_without_anything_to_create_grants_nothing(
    owner: sa.Connection,
) -> None:
    """A start-up that merely looks needs no right to grant."""
    _make(owner)
    _metadata().create_all(owner)
    _metadata(*ALL).create_all(owner)

    assert _may(owner) == [False] * 4


def test_a_missing_role_is_said_before_anything_is_created(
    owner: sa.Connection,
) -> None:
    """The message is the line that makes it."""
    metadata = _metadata(GrantOn("schema", "shop", "no such role", ["USAGE"]))

    with pytest.raises(ConfigurationError) as caught:
        metadata.create_all(owner)

    assert (
        f"`jwtrole bootstrap --owner {postgres.OWNER} --login LOGIN --role "
        "'no such role' --apply --dsn DSN`" in str(caught.value)
    )
    assert not sa.inspect(owner).has_table("note")


def test_only_grants_on_other_things_are_declared_so() -> None:
    """What is on a table stands with the table, and a base is no metadata."""
    with pytest.raises(ConfigurationError, match=r"as in Base\.metadata"):
        declare_on(object(), *ALL)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="among its arguments"):
        declare_on(sa.MetaData(), GRANT)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*has no row security")
def test_other_databases_are_left_alone() -> None:
    """SQLite has no roles, and its tables are created."""
    engine = sa.create_engine("sqlite://")
    _metadata(*ALL).create_all(engine)

    assert sa.inspect(engine).has_table("note")
    engine.dispose()


def test_a_mock_connection_shows_it() -> None:
    """What create_all would send can be printed."""
    sent: list[str] = []
    url = "postgresql+psycopg://"
    mock = sa.create_mock_engine(
        url, lambda sql, *_, **__: sent.append(str(sql.compile(dialect=mock.dialect)))
    )
    _metadata(*ALL).create_all(mock, checkfirst=False)

    assert ALL[0].grant()[0] in sent


# Autogenerate


def test_it_is_found_granted_revoked_and_granted_again(owner: sa.Connection) -> None:
    """Nothing is left to say after, and downgrade is the way back, both times."""
    _make(owner)
    declared, empty = _metadata(*ALL), _metadata()
    first = Revision(owner, declared)
    assert first.verbs.count("grant_on") == len(ALL)
    first.upgrade()
    assert _may(owner) == [True] * 4
    assert Revision(owner, declared).up == ""

    second = Revision(owner, empty)
    # Nothing names the manager any more: what it has is not known to be ours.
    assert second.verbs == ["revoke_on"] * 2
    second.upgrade()
    assert _may(owner) == [False, False, True, True]
    second.downgrade()
    assert _may(owner) == [True] * 4
    first.downgrade()
    assert _may(owner) == [False] * 4


def test_roles_that_are_named_nowhere_are_looked_at_with_the_configuration(
    owner: sa.Connection, issuer: ThrowawayIssuer, request: pytest.FixtureRequest
) -> None:
    """register(auth=...) has what a forgotten role has revoked, tables included."""
    _make(owner)
    metadata = _metadata(*ALL)
    declare(metadata.tables["note"], Grant("manager", "SELECT"))
    Revision(owner, metadata).upgrade()
    request.addfinalizer(register)
    register(auth=JWTRole([issuer.issuer], list(postgres.ROLES)))
    revision = Revision(owner, _metadata())

    assert sorted(revision.verbs) == ["revoke"] + ["revoke_on"] * len(ALL)
    revision.upgrade()
    assert _may(owner) == [False] * 4
    assert Revision(owner, _metadata()).up == ""


def test_without_a_word_of_it_nothing_is_compared(owner: sa.Connection) -> None:
    """A project that grants such things by hand keeps them."""
    _make(owner, *OBJECTS, "GRANT USAGE ON SEQUENCE ticket TO member")
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    Revision(owner, metadata).upgrade()

    assert Revision(owner, metadata).up == ""
    assert Revision(owner, _metadata()).verbs == ["revoke_on"]


def test_what_others_were_granted_is_left_alone(owner: sa.Connection) -> None:
    """A role that nothing names, and what PostgreSQL gives everybody, stay."""
    _make(
        owner, *OBJECTS, "GRANT USAGE ON SEQUENCE ticket TO anon",
        "GRANT USAGE ON SCHEMA shop TO anon, PUBLIC",
        "GRANT EXECUTE ON FUNCTION total(int) TO anon, PUBLIC",
    )  # fmt: skip
    metadata = sa.MetaData()
    everybody = Policy(
        "note_all", using=lambda t: t.author == claim("sub", sa.Uuid), to=["PUBLIC"]
    )
    make_note(metadata, everybody)
    declare_on(metadata)
    revision = Revision(owner, metadata)

    assert "revoke_on" not in revision.verbs


@pytest.mark.parametrize("written", ["total(int)", "total(INT)", "total( int4 )"])
def test_a_function_is_found_by_whatever_name_its_types_have(
    owner: sa.Connection, written: str
) -> None:
    """PostgreSQL says which function is meant, and in which schema."""
    _make(owner)
    metadata = _metadata(
        GrantOn("function", written, "member", ["EXECUTE"], schema="public"),
        GrantOn("sequence", "ticket", "member", ["USAGE"], schema="public"),
    )
    Revision(owner, metadata).upgrade()

    assert Revision(owner, metadata).up == ""


def test_a_sequence_of_a_column_is_the_tables(owner: sa.Connection) -> None:
    """Its use comes with INSERT: two declarations of one thing would fight."""
    _make(owner, "CREATE TABLE bill (id serial)")
    metadata = _metadata(GrantOn("sequence", "bill_id_seq", "member", ["USAGE"]))

    with pytest.raises(ConfigurationError, match="belongs to a column"):
        Revision(owner, metadata)


def test_what_the_revision_creates_itself_is_granted(owner: sa.Connection) -> None:
    """A function that is not there yet is granted as it is written."""
    metadata = _metadata(GrantOn("function", "late(int)", "member", ["EXECUTE"]))
    revision = Revision(owner, metadata)
    _make(owner, "CREATE FUNCTION late(a int) RETURNS int RETURN 1")
    revision.upgrade()

    assert Revision(owner, metadata).up == ""


# Grants on tables


def test_the_grant_of_a_dropped_column_goes_and_comes_back(
    owner: sa.Connection,
) -> None:
    """It is revoked before the column goes; the way back grants it on the new one."""

    def note(*columns: sa.Column[Any], on: str) -> sa.MetaData:
        metadata = sa.MetaData()
        make_note(metadata, *columns, OWN, Grant("member", "SELECT", on))
        return metadata

    both = note(sa.Column("title", sa.Text), on="UPDATE(body, title)")
    Revision(owner, both).upgrade()
    revision = Revision(owner, note(on="UPDATE(body)"))
    assert revision.verbs.index("revoke") < revision.verbs.index("drop_column")
    revision.upgrade()
    assert Revision(owner, note(on="UPDATE(body)")).up == ""
    revision.downgrade()

    assert Revision(owner, both).up == ""


def test_a_grant_on_a_column_that_is_not_there_is_refused() -> None:
    """It is an error before anything is written, with the column's name."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, Grant("member", "UPDATE(boddy)"))

    with pytest.raises(ConfigurationError, match="'note' has no column 'boddy'"):
        metadata.create_all(sa.create_mock_engine("postgresql+psycopg://", print))
