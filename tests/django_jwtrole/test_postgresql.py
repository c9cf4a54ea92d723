"""The engine: every way to run a statement is protected and costs no flight more."""

from __future__ import annotations

import datetime as dt
import tempfile
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import (
    DataError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    connections,
    transaction,
)
from psycopg import sql

from django_jwtrole.postgresql.base import bare_login
from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError, IdentityChanged, NoIdentity
from jwtrole.identity import Identity
from tests.django_project.aliases import forget, register
from tests.django_project.billing.models import Invoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwtrole.tokens import JWTRole
    from tests import postgres

RED = ["red-1", "red-2"]
NUMBERS = "SELECT number FROM invoice ORDER BY number"
BARE = ("app_login", "none", "")
IN_FORCE = (
    "SELECT current_user::text, current_setting('role'), "
    "coalesce(current_setting('jwtrole.claims', true), '')"
)


def bare(alias: str) -> tuple[Any, ...]:
    """Return what is in force, asked past every hook."""
    with psycopg.Cursor(connections[alias].connection) as cursor:
        return cursor.execute(IN_FORCE).fetchone()


def messages(alias: str, work: Callable[[], Any]) -> list[str]:
    """Return the kinds of messages that the client sent."""
    connections[alias].ensure_connection()
    pgconn = connections[alias].connection.pgconn
    with tempfile.TemporaryFile("w+") as log:
        pgconn.trace(log.fileno())
        work()
        pgconn.untrace()
        log.seek(0)
        lines = [line.split("\t") for line in log]
    return [fields[3].strip() for fields in lines if fields[1] == "F"]


def flights(alias: str, work: Callable[[], Any]) -> int:
    """Return how often the client sent something and waited for the answer."""
    return sum(kind in {"Sync", "Query"} for kind in messages(alias, work))


def numbers(cursor: Any) -> list[str]:
    """Return the first column."""
    return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def acting(alice: Identity) -> Iterator[None]:
    """Act as Alice."""
    with acting_as(alice):
        yield


def test_a_statement_in_autocommit_is_one_flight(alias: str, acting: None) -> None:
    """Outside atomic a query is protected at the price of a stock one: one flight."""
    found: list[str] = []

    def read() -> None:
        rows = Invoice.objects.using(alias).order_by("number")
        found.extend(rows.values_list("number", flat=True))

    assert flights(alias, read) == 1
    assert found == RED
    assert bare(alias) == BARE


def test_nothing_is_sent_after_the_end_of_a_flight(alias: str, acting: None) -> None:
    """What came after Sync would hold another backend of a transaction pooler."""

    def several() -> None:
        with connections[alias].cursor() as cursor:
            cursor.executemany("SELECT %s", [("one",), ("two",)])

    def wrong() -> None:
        with connections[alias].cursor() as cursor, pytest.raises(DataError):
            cursor.execute("SELECT 1 / 0")

    for work in (Invoice.objects.using(alias).count, several, wrong):
        sent = messages(alias, work)
        assert "Flush" not in sent
        assert sent[-1] == "Sync"


def test_a_statement_larger_than_any_buffer_arrives(alias: str, acting: None) -> None:
    """A flight that the network takes in pieces is flown to its end."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT length(%s)", ["x" * 20_000_000])
        assert cursor.fetchone() == (20_000_000,)


def test_a_transaction_costs_a_flight_less(alias: str, acting: None) -> None:
    """BEGIN, preamble and the first statement share a flight; COMMIT is the other."""

    def read() -> None:
        with transaction.atomic(using=alias):
            assert Invoice.objects.using(alias).count() == 2

    assert flights(alias, read) == 2
    assert bare(alias) == BARE


def test_a_transaction_without_a_statement_sends_nothing(
    alias: str, acting: None
) -> None:
    """An atomic block that asks nothing costs nothing."""

    def nothing() -> None:
        with transaction.atomic(using=alias), transaction.atomic(using=alias):
            pass

    # The savepoint of the inner block is a statement; alone, the outer sends none.
    assert flights(alias, transaction.atomic(using=alias)(lambda: None)) == 0
    assert flights(alias, nothing) == 3


def test_nobody_is_refused_before_anything_is_sent(alias: str) -> None:
    """Without an identity nothing reaches the server, in a transaction or not."""

    def refused() -> None:
        with pytest.raises(NoIdentity, match="acting_as"):
            Invoice.objects.using(alias).count()
        with pytest.raises(NoIdentity), transaction.atomic(using=alias):
            Invoice.objects.using(alias).count()

    assert flights(alias, refused) == 0
    assert connections[alias].get_autocommit()


def test_the_bare_login_may_do_nothing(alias: str) -> None:
    """Commands that look at the list of migrations as the login see that alone."""
    with bare_login(), connections[alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_migrations")
        assert cursor.fetchone()[0] > 0
        with pytest.raises(ProgrammingError, match="permission denied"):
            cursor.execute(NUMBERS)


def test_another_identity_inside_a_transaction_is_refused(
    alias: str, acting: None, bob: Identity
) -> None:
    """An open transaction stays with whoever it began with."""
    with transaction.atomic(using=alias):
        assert Invoice.objects.using(alias).count() == 2
        with acting_as(bob), pytest.raises(IdentityChanged):
            Invoice.objects.using(alias).count()
        assert Invoice.objects.using(alias).count() == 2
    with acting_as(bob):
        assert Invoice.objects.using(alias).count() == 1


def test_a_changed_application_name_does_not_let_another_identity_in(
    alias: str, acting: None, bob: Identity
) -> None:
    """SQL that takes the sentinel away leaves the transaction with its identity."""
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(NUMBERS)
        cursor.execute("RESET application_name")
        with acting_as(bob), pytest.raises(IdentityChanged):
            cursor.execute(NUMBERS)


@pytest.mark.parametrize(
    "statement",
    [
        NUMBERS,
        NUMBERS.encode(),
        sql.SQL("SELECT number FROM {} ORDER BY 1").format(sql.Identifier("invoice")),
        NUMBERS + " ;\n",
        f"SELECT 1; {NUMBERS}",
        f"{NUMBERS} -- ;",
    ],
    ids=["text", "bytes", "composed", "semicolon", "two", "comment"],
)
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_every_kind_of_text_is_protected(
    alias: str, acting: None, statement: Any, atomic: bool
) -> None:
    """Strings, bytes, composed and several statements see the identity's rows."""
    with transaction.atomic(using=alias, savepoint=atomic):
        pass
    with connections[alias].cursor() as cursor:
        if atomic:
            with transaction.atomic(using=alias):
                cursor.execute(statement)
        else:
            cursor.execute(statement)
        while cursor.nextset():
            pass
        assert numbers(cursor) == RED
    assert bare(alias) == BARE


def test_driver_level_cursors_are_protected(alias: str, acting: None) -> None:
    """What goes past Django's cursors does not go past the identity."""
    connections[alias].ensure_connection()
    driver = connections[alias].connection

    assert numbers(driver.cursor().execute(NUMBERS)) == RED
    assert numbers(driver.execute(NUMBERS)) == RED
    with driver.transaction(), driver.cursor(name="named") as named:
        named.execute(NUMBERS)
        assert [row[0] for row in named] == RED
        named.scroll(0, mode="absolute")
        assert named.fetchone() == ("red-1",)
        assert named.fetchall() == [("red-2",)]
    assert bare(alias) == BARE


def test_a_transaction_of_the_driver_may_follow_another_identity(
    alias: str, acting: None, bob: Identity
) -> None:
    """The driver's own transaction starts afresh, whoever acted before it."""
    assert Invoice.objects.using(alias).count() == 2
    driver = connections[alias].connection
    with acting_as(bob), driver.transaction():
        assert numbers(driver.execute(NUMBERS)) == ["blue-1"]


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_copy_and_stream_are_protected(alias: str, acting: None, atomic: bool) -> None:
    """COPY and stream() read the identity's rows alone."""
    connections[alias].set_autocommit(not atomic)
    with connections[alias].cursor() as cursor:
        with cursor.copy(f"COPY ({NUMBERS}) TO STDOUT") as copy:
            assert [row[0] for row in copy.rows()] == RED
        assert [row[0] for row in cursor.stream(NUMBERS)] == RED
    connections[alias].rollback()
    connections[alias].set_autocommit(True)
    assert bare(alias) == BARE


def test_an_abandoned_stream_leaves_nothing(alias: str, acting: None) -> None:
    """A stream that is left half-way ends its transaction."""
    with connections[alias].cursor() as cursor:
        rows = cursor.stream(NUMBERS)
        assert next(rows) == ("red-1",)
        rows.close()
    assert bare(alias) == BARE


def test_executemany_is_protected(alias: str, acting: None) -> None:
    """Many rows are written in one flight, with the tenant of the identity."""
    insert = "INSERT INTO invoice (id, number) VALUES (gen_random_uuid(), %s)"

    def write() -> None:
        with connections[alias].cursor() as cursor:
            cursor.executemany(insert, [(f"many-{i}",) for i in range(5)])

    assert flights(alias, write) == 1
    deleted, _ = Invoice.objects.using(alias).filter(number__startswith="many").delete()
    assert deleted == 5


def test_callproc_is_protected(alias: str, acting: None) -> None:
    """A function called by name sees the identity's rows."""
    with connections[alias].cursor() as cursor:
        cursor.callproc("numbers")
        assert numbers(cursor) == RED


@pytest.mark.parametrize("options", [{}, {"server_side_binding": True}])
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_iterator_is_protected(
    server: postgres.Server,
    live: str,
    strict: JWTRole,
    acting: None,
    options: dict[str, Any],
    atomic: bool,
) -> None:
    """Server-side cursors see the identity's rows, in a transaction and after it."""
    alias = register(server, live, strict, OPTIONS=options)
    connections[alias].ensure_connection()
    connections[alias].timezone = dt.timezone(dt.timedelta(hours=2))
    rows = Invoice.objects.using(alias).order_by("number").values_list("number")
    if atomic:
        with transaction.atomic(using=alias):
            found = list(rows.iterator(chunk_size=1))
    else:
        found = list(rows.iterator(chunk_size=1))

    assert [row[0] for row in found] == RED
    assert bare(alias) == BARE
    forget(alias)


def test_a_named_cursor_refuses_executemany(alias: str, acting: None) -> None:
    """What a named cursor cannot do fails with the driver's own error."""
    connections[alias].ensure_connection()
    with (
        pytest.raises(NotSupportedError),
        connections[alias].create_cursor("named") as cursor,
        connections[alias].wrap_database_errors,
    ):
        cursor.executemany(NUMBERS, [()])


def test_errors_keep_their_class(alias: str, acting: None) -> None:
    """The statement's own error arrives as without us, and the next one works."""
    with connections[alias].cursor() as cursor:
        with pytest.raises(DataError) as divided:
            cursor.execute("SELECT 1 / %s", [0])
        with pytest.raises(ProgrammingError, match="syntax error"):
            cursor.execute("SELEC 1")
        with pytest.raises(DataError):
            cursor.execute("SELECT 1; SELECT 1 / 0")
        with pytest.raises(InternalError, match="cannot"):
            cursor.execute("VACUUM")
        with pytest.raises(ProgrammingError, match="permission denied for table"):
            cursor.execute("SELECT 1 FROM django_migrations")
        cursor.execute(NUMBERS)
        assert numbers(cursor) == RED
    assert divided.value.__cause__.sqlstate == "22012"


def test_a_failed_transaction_says_so(alias: str, acting: None) -> None:
    """In a failed transaction the server's own error is heard until rollback."""
    connection = connections[alias]
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        with pytest.raises(DataError), transaction.atomic(using=alias):
            cursor.execute("SELECT 1 / 0")
        cursor.execute(NUMBERS)
        assert numbers(cursor) == RED
        cursor.execute("SAVEPOINT here")
        with pytest.raises(DataError):
            cursor.execute("SELECT 1; SELECT 1 / 0")
        cursor.execute("ROLLBACK TO here")
        with pytest.raises(DataError):
            cursor.execute("SELECT 1 / 0")
        with pytest.raises(InternalError, match="aborted"):
            cursor.execute("SELECT 1")
        cursor.execute("/* all is well */ ROLLBACK TO here")
        cursor.execute(NUMBERS)
        assert numbers(cursor) == RED


@pytest.mark.parametrize("role", ["postgres", "no_such_role"])
@pytest.mark.parametrize("statement", [NUMBERS, f"SELECT 1; {NUMBERS}"])
def test_a_role_that_is_not_granted_is_named(
    alias: str, role: str, statement: str
) -> None:
    """A role the login may not become is a configuration error that names it."""
    with (
        acting_as(Identity(role, {"sub": "x"})),
        pytest.raises(ConfigurationError, match=f"'{role}'.*bootstrap"),
        connections[alias].cursor() as cursor,
    ):
        cursor.execute(statement)
    assert bare(alias) == BARE


def test_raw_transaction_control_works(alias: str, acting: None, bob: Identity) -> None:
    """BEGIN and COMMIT typed by hand bound a protected transaction like any other."""
    with connections[alias].cursor() as cursor:
        cursor.execute("-- by hand\nBEGIN")
        cursor.execute(NUMBERS)
        assert numbers(cursor) == RED
        cursor.execute("COMMIT AND CHAIN")
        with acting_as(bob):
            cursor.execute(NUMBERS)
            assert numbers(cursor) == ["blue-1"]
            cursor.execute("COMMIT")
        cursor.execute(f"BEGIN; {NUMBERS}; COMMIT")
    assert bare(alias) == BARE


def test_a_savepoint_that_undoes_the_identity_is_noticed(
    alias: str, acting: None
) -> None:
    """What is put on inside a savepoint and rolled back is put on again."""
    driver_level = "SAVEPOINT before"
    with connections[alias].cursor() as cursor:
        cursor.execute("BEGIN")
        psycopg.Cursor(connections[alias].connection).execute(driver_level)
        cursor.execute(NUMBERS)
        cursor.execute("ROLLBACK TO before")
        cursor.execute(NUMBERS)
        assert numbers(cursor) == RED
        cursor.execute("ROLLBACK")


def test_the_callers_own_pipeline_is_protected(alias: str, acting: None) -> None:
    """In a pipeline of the caller each statement runs as the identity."""
    connections[alias].ensure_connection()
    driver = connections[alias].connection
    with driver.pipeline():
        first = driver.execute(NUMBERS)
        second = driver.execute(NUMBERS)
        assert (numbers(first), numbers(second)) == (RED, RED)
    assert bare(alias) == BARE


def test_isolation_and_access_mode_reach_begin(
    server: postgres.Server, live: str, strict: JWTRole, acting: None
) -> None:
    """BEGIN carries the isolation level of OPTIONS and the driver's access mode."""
    level = psycopg.IsolationLevel.SERIALIZABLE
    alias = register(server, live, strict, OPTIONS={"isolation_level": level})
    connections[alias].ensure_connection()
    driver = connections[alias].connection
    show = "SELECT {}('transaction_isolation'), {}('transaction_read_only'), {}(%s)"
    show = show.replace("{}", "current_setting")
    seen = []
    for flag in (True, False):
        driver.read_only = driver.deferrable = flag
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(show, ["transaction_deferrable"])
            seen.append(cursor.fetchone())
    forget(alias)

    assert seen == [("serializable", "on", "on"), ("serializable", "off", "off")]


def test_manual_transactions_work(alias: str, acting: None) -> None:
    """With autocommit off the transaction begins with the first statement."""
    connection = connections[alias]
    connection.set_autocommit(False)
    Invoice.objects.using(alias).create(number="gone")
    with pytest.raises(ProgrammingError, match="autocommit"):
        connection.set_autocommit(True)
    connection.rollback()
    connection.set_autocommit(True)

    assert not Invoice.objects.using(alias).filter(number="gone").exists()


def test_connections_begin_with_autocommit_off(
    server: postgres.Server, live: str, strict: JWTRole, acting: None
) -> None:
    """AUTOCOMMIT: False in the settings is honoured, protected all the same."""
    alias = register(server, live, strict, AUTOCOMMIT=False)

    assert Invoice.objects.using(alias).count() == 2
    assert connections[alias].connection.info.transaction_status.name == "INTRANS"
    connections[alias].rollback()
    forget(alias)


def test_transactions_of_django_work(alias: str, acting: None) -> None:
    """on_commit, durable blocks and select_for_update do what they do without us."""
    done: list[str] = []
    with transaction.atomic(using=alias, durable=True):
        row = Invoice.objects.using(alias).select_for_update().get(number="red-1")
        transaction.on_commit(lambda: done.append(row.number), using=alias)
        assert done == []
    assert done == ["red-1"]


def test_the_login_checks_and_configures_its_connection(alias: str) -> None:
    """Health checks and time zones need nobody to act."""
    connection = connections[alias]
    assert not connection.is_usable()
    connection.ensure_connection()

    assert connection.is_usable()
    connection.timezone_name = "Asia/Tokyo"
    assert connection.ensure_timezone()
    del connection.timezone_name
    assert connection.is_usable()
    with connection._unhooked(), connection.cursor() as cursor:
        cursor.executemany("SELECT %s", [(1,), (2,)])
        with cursor.copy("COPY (SELECT current_user) TO STDOUT") as copy:
            assert list(copy.rows()) == [("app_login",)]


def test_a_pool_hands_out_bare_connections(
    server: postgres.Server, live: str, strict: JWTRole, alice: Identity, bob: Identity
) -> None:
    """One pooled connection serves one identity after the other, checked between."""
    alias = register(
        server,
        live,
        strict,
        OPTIONS={"pool": {"min_size": 1, "max_size": 1}},
        CONN_HEALTH_CHECKS=True,
    )
    connection = connections[alias]
    seen = []
    for who in (alice, bob, alice):
        with acting_as(who):
            seen.append(Invoice.objects.using(alias).count())
            pid = connection.connection.info.backend_pid
        connection.close()
        connection.ensure_connection()
        assert connection.connection.info.backend_pid == pid
        assert bare(alias) == BARE
        connection.close()
    forget(alias)

    assert seen == [2, 1, 2]


def test_a_closed_connection_is_said_to_be(alias: str, acting: None) -> None:
    """On a connection that broke the driver's own error is heard."""
    from django.db import OperationalError

    with connections[alias].cursor() as cursor:
        connections[alias].connection.close()
        with pytest.raises(OperationalError, match="closed"):
            cursor.execute(NUMBERS)


def test_the_owner_runs_as_itself(db: None) -> None:
    """The owner's alias has the stock cursors and no identity."""
    connection = connections["default"]
    assert connection.is_protected
    assert not connections["owner"].is_protected


def test_an_engine_without_pipelines_is_refused(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A libpq that knows no pipeline mode is a configuration error."""
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)

    with pytest.raises(ConfigurationError, match="pipeline"):
        connections[alias].connect()
