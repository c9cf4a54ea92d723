"""PostgreSQL spells declared policies; what it will not spell is never unchanged."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from jwtrole import drift
from jwtrole.canonical import spelled
from jwtrole.declared import Declared
from jwtrole.difference import Kind
from jwtrole.policy import Policy, enable_row_security
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from jwtrole.difference import Difference

#: A function that takes the table's rows whole, which a copy's rows are not.
WHOLE = Policy(name="whole", table="odd", to=("member",), using="is_open(odd)")
OPEN = (
    "CREATE FUNCTION is_open(odd) RETURNS boolean LANGUAGE sql AS 'SELECT $1.open'",
    "CREATE FUNCTION is_shut(odd) RETURNS boolean LANGUAGE sql AS 'SELECT $1.shut'",
)


@pytest.fixture
def owner(server: postgres.Server, database: str) -> Iterator[psycopg.Connection]:
    """Return a transaction of the owner that is rolled back."""
    with contextlib.closing(server.connect(postgres.OWNER, database)) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE DOMAIN colour AS text")
        connection.execute(
            'CREATE TABLE odd (open bool, shut bool, "a ""b" colour, tags text[], '
            "n numeric(4, 2), gone int)"
        )
        connection.execute("ALTER TABLE odd DROP COLUMN gone")
        for statement in OPEN:
            connection.execute(statement.encode())
        yield connection
        connection.execute("ROLLBACK")


def asker(connection: psycopg.Connection) -> Callable[[str], list[Any]]:
    """Return what sends a statement and returns its rows."""

    def ask(sql: str) -> list[Any]:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []

    return ask


def protect(connection: psycopg.Connection, *policies: Policy) -> None:
    """Protect the table with policies."""
    for statement in enable_row_security("odd"):
        connection.execute(statement.encode())
    for policy in policies:
        for statement in policy.create():
            connection.execute(statement.encode())


def found(connection: psycopg.Connection, *policies: Policy) -> list[Difference]:
    """Return what differs on the table, whoever asks."""
    ask = asker(connection)
    tables = [Declared(table="odd", protected=True, policies=policies)]
    expected = drift.expect(ask, tables, owner=postgres.OWNER, migrate="migrate")
    return drift.find(ask, tables, expected, is_ours=lambda _: False)


def test_every_type_of_column_is_copied(owner: psycopg.Connection) -> None:
    """Odd names, domains, arrays and precision are there in the copy."""
    policy = Policy(
        name="odd", table="odd", schema="public", to=("no such role",),
        using='"a ""b" = \'%s $$ \\\' AND \'x\'=ANY(tags) AND n<1.5',
    )  # fmt: skip

    text = spelled(asker(owner), [policy])["odd"]

    assert (text.to, text.schema) == (policy.to, policy.schema)
    assert text.using is not None
    assert text.using.startswith('((("a ""b")::text = \'%s $$ \\\'::text) AND ')
    assert spelled(asker(owner), []) == {}


def test_one_that_is_refused_leaves_the_others(owner: psycopg.Connection) -> None:
    """A policy that PostgreSQL refuses is left out, and nothing is left in the way."""
    good = Policy(name="good", table="odd", to=("member",), using="open")
    bad = Policy(name="bad", table="odd", to=("member",), using="nowhere")

    for _ in range(2):
        assert spelled(asker(owner), [bad, good]).keys() == {"good"}
    assert owner.execute("SELECT count(*) FROM pg_policy").fetchone() == (0,)


def test_whole_rows_are_tried_on_the_table(owner: psycopg.Connection) -> None:
    """A function of the table's rows is compared too, by the table's owner."""
    protect(owner, WHOLE)

    assert found(owner, WHOLE) == []
    owner.execute("ALTER POLICY whole ON odd USING (is_shut(odd))")
    [changed] = found(owner, WHOLE)
    assert (changed.kind, changed.object) == (Kind.POLICY_CHANGED, "whole")
    assert "is_shut(odd.*)" in changed.there
    assert "is_open(odd.*)" in changed.declared


@pytest.fixture
def stranger(
    server: postgres.Server, database: str, owner: psycopg.Connection
) -> Iterator[psycopg.Connection]:
    """Return a connection that may read the catalogs alone, the policy being there."""
    protect(owner, WHOLE)
    owner.execute("COMMIT")
    with contextlib.closing(server.connect(postgres.LOGIN, database)) as connection:
        connection.execute("BEGIN")
        yield connection
    owner.execute("DROP TABLE odd CASCADE")
    owner.execute("DROP DOMAIN colour")
    owner.execute("BEGIN")


def test_what_cannot_be_spelled_is_unknown(stranger: psycopg.Connection) -> None:
    """With the recorded hash alone a policy is never said to be unchanged."""
    [unknown] = found(stranger, WHOLE)

    assert unknown.kind is Kind.POLICY_UNKNOWN
    assert "unknown" in str(unknown)
    assert "unchanged" not in str(unknown)
    assert unknown.declared.endswith("USING (is_open(odd))")
    assert "is_open(odd.*)" in unknown.there


@pytest.mark.parametrize("change", [{"using": "is_shut(odd)"}, {"command": "SELECT"}])
def test_another_hash_is_another_policy(
    stranger: psycopg.Connection, change: dict[str, Any]
) -> None:
    """Where PostgreSQL spells nothing, a policy made from another text has changed."""
    given = {"name": "whole", "table": "odd", "to": ("member",), **change}
    [changed] = found(stranger, Policy(**{"using": "is_open(odd)", **given}))

    assert changed.kind is Kind.POLICY_CHANGED


def test_a_recorded_hash_alone_proves_no_command(
    stranger: psycopg.Connection, owner: psycopg.Connection
) -> None:
    """A policy altered to another role is changed though its hash is the declared."""
    owner.execute("ALTER POLICY whole ON odd TO PUBLIC")

    assert [one.kind for one in found(stranger, WHOLE)] == [Kind.POLICY_CHANGED]


def test_a_table_that_is_locked_is_not_waited_for(
    server: postgres.Server, database: str, stranger: psycopg.Connection
) -> None:
    """The last resort, which takes a lock, gives up after a second."""
    with (
        contextlib.closing(server.connect(postgres.OWNER, database)) as writer,
        contextlib.closing(server.connect(postgres.OWNER, database)) as looking,
    ):
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE odd IN ROW EXCLUSIVE MODE")
        looking.execute("BEGIN")
        kinds = [one.kind for one in found(looking, WHOLE)]
        writer.execute("ROLLBACK")

    assert kinds == [Kind.POLICY_UNKNOWN]


def test_a_table_that_declares_no_policy_keeps_those_of_others(
    owner: psycopg.Connection,
) -> None:
    """Where only grants are declared, row security and foreign policies are left."""
    protect(owner)
    owner.execute("CREATE POLICY theirs ON odd")
    owner.execute("CREATE POLICY ours ON odd")
    owner.execute("COMMENT ON POLICY ours ON odd IS 'jwtrole:1:0'")
    ask = asker(owner)
    tables = [Declared(table="odd", schema="public", protected=False)]
    expected = drift.expect(ask, tables, owner=postgres.OWNER, migrate="migrate")

    [ours] = drift.find(ask, tables, expected, is_ours=lambda _: True)

    assert (ours.table, ours.object) == ("public.odd", "ours")


def test_a_missing_restrictive_policy_opens_rows(owner: psycopg.Connection) -> None:
    """What takes rows away is worse to miss than what shows them."""
    given = {"table": "odd", "to": ("member",), "using": "open"}
    shows = Policy(name="shows", **given)  # type: ignore[arg-type]
    hides = Policy(name="hides", permissive=False, **given)  # type: ignore[arg-type]
    protect(owner)

    hidden, shown = found(owner, shows, hides)

    assert (hidden.kind, hidden.object) == (Kind.RESTRICTIVE_POLICY_MISSING, "hides")
    assert (shown.kind, shown.object) == (Kind.PERMISSIVE_POLICY_MISSING, "shows")
    for one in (hidden, shown):
        owner.execute(one.repair.encode())
    assert found(owner, shows, hides) == []
