"""Every statement runs as whoever is acting, or it is not sent."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import (
    DBAPIError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    ResourceClosedError,
)

from jwtrole.context import acting_as
from jwtrole.errors import (
    ConfigurationError,
    IdentityChanged,
    NoIdentity,
    TokenExpired,
)
from jwtrole.identity import Identity
from jwtrole.tokens import JWTRole
from sqlalchemy_jwtrole import attach
from tests.sqlalchemy_jwtrole.conftest import BLUE, bare_engine, note, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres

BODIES = sa.select(note.c.body).order_by(note.c.body)
RED_BODIES = ["red-1", "red-2"]
WHO = sa.text("SELECT current_user::text, jwtrole.subject()")


class Base(orm.DeclarativeBase):
    pass


class Note(Base):
    __table__ = note


def test_core_and_session_read_own_rows(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """Core connections and sessions see the rows of who is acting and no others."""
    with acting_as(alice), engine.connect() as conn:
        assert conn.scalars(BODIES).all() == RED_BODIES
        assert conn.execute(WHO).one() == ("member", "alice")
    with acting_as(bob), orm.Session(engine) as session:
        assert [found.body for found in session.scalars(sa.select(Note))] == ["blue-1"]
        assert session.connection().execute(WHO).one() == ("member", "bob")


def test_each_first_operation_of_a_session_is_protected(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """Get, flush, refresh, connection() and bulk statements may each come first."""
    with acting_as(alice), orm.Session(engine) as session:
        found = session.scalars(sa.select(Note)).first()
        assert found is not None
        key = found.id
        session.commit()
        session.refresh(found)
        assert found.body in RED_BODIES
    with acting_as(bob):
        with orm.Session(engine) as session:
            assert session.get(Note, key) is None
        with orm.Session(engine) as session:
            assert session.connection().scalars(BODIES).all() == ["blue-1"]
        with orm.Session(engine) as session:
            assert session.execute(sa.update(Note).values(body="x")).rowcount == 1
        with orm.Session(engine) as session:
            session.add(Note(body="blue-2"))
            session.flush()
            assert session.scalars(BODIES).all() == ["blue-1", "blue-2"]


def test_every_way_of_sending_is_protected(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """Insertmanyvalues, executemany, sequences and driver SQL may each come first."""
    many = [{"body": f"red-{n}"} for n in range(3, 8)]
    with acting_as(alice):
        with engine.begin() as conn:
            returned = conn.scalars(note.insert().returning(note.c.body), many)
            assert len(returned.all()) == 5
        with engine.begin() as conn:
            changed = sa.update(note).where(note.c.body == sa.bindparam("old"))
            conn.execute(
                changed.values(body=sa.bindparam("new")),
                [{"old": f"red-{n}", "new": f"red-{n}{n}"} for n in range(3, 8)],
            )
        with engine.connect() as conn:
            assert isinstance(conn.scalar(number), int)
        with engine.connect() as conn:
            found = conn.exec_driver_sql("SELECT count(*) FROM note").scalar()
            assert found == 7
    with acting_as(bob), engine.connect() as conn:
        assert conn.scalars(BODIES).all() == ["blue-1"]


def test_reflection_works_under_an_identity(engine: sa.Engine, alice: Identity) -> None:
    """The inspector's queries run as the identity that asks."""
    with acting_as(alice):
        columns = [column["name"] for column in sa.inspect(engine).get_columns("note")]

    assert columns == ["id", "tenant_id", "body"]


@pytest.mark.parametrize("option", ["stream_results", "yield_per"])
def test_streams_are_protected(engine: sa.Engine, alice: Identity, option: str) -> None:
    """A server-side cursor that comes first reads the identity's rows."""
    options: dict[str, Any] = {option: 1}
    with (
        acting_as(alice),
        engine.connect().execution_options(**options) as conn,
        conn.execute(BODIES) as result,
    ):
        assert [row.body for row in result] == RED_BODIES


def test_a_savepoint_may_come_first(engine: sa.Engine, alice: Identity) -> None:
    """The identity stands before the savepoint, so that rolling it back keeps it."""
    with acting_as(alice), engine.connect() as conn:
        nested = conn.begin_nested()
        assert conn.scalars(BODIES).all() == RED_BODIES
        nested.rollback()
        assert conn.scalars(BODIES).all() == RED_BODIES


def test_an_error_inside_a_savepoint_keeps_the_identity(
    engine: sa.Engine, alice: Identity
) -> None:
    """After a failed statement, ROLLBACK TO is let through and the identity stays."""
    with acting_as(alice), orm.Session(engine) as session:
        with pytest.raises(ProgrammingError), session.begin_nested():
            session.execute(sa.text("SELECT * FROM nowhere"))
        assert session.scalars(BODIES).all() == RED_BODIES


def test_work_can_be_ended_after_the_identity_left(
    engine: sa.Engine, alice: Identity
) -> None:
    """Savepoints are rolled back and released, transactions end, without anybody."""
    with engine.connect() as conn:
        with acting_as(alice):
            first = conn.begin_nested()
            conn.execute(note.insert(), {"body": "red-3"})
            second = conn.begin_nested()
            conn.execute(note.insert(), {"body": "red-4"})
        second.rollback()
        first.commit()
        conn.commit()
        with acting_as(alice):
            assert conn.scalars(BODIES).all() == [*RED_BODIES, "red-3"]


def test_raw_transaction_control_keeps_the_protection(
    engine: sa.Engine, alice: Identity
) -> None:
    """Where SQL undid the identity, it is put on again before the next statement."""
    with acting_as(alice), engine.connect() as conn:
        conn.execute(WHO)
        conn.exec_driver_sql("COMMIT AND CHAIN")
        assert conn.execute(WHO).one() == ("member", "alice")
        conn.exec_driver_sql("ROLLBACK")
        assert _raw_end_is_closed(conn)
        conn.rollback()
        assert conn.execute(WHO).one() == ("member", "alice")


def _raw_end_is_closed(conn: sa.Connection) -> bool:
    # psycopg begins anew by itself; psycopg2 believes in its own book-keeping and
    # would run the rest in autocommit.
    if conn.dialect.driver == "psycopg":
        return conn.execute(WHO).one() == ("member", "alice")
    with pytest.raises(ConfigurationError, match=r"connection\.rollback"):
        conn.execute(WHO)
    return True


def test_commit_and_rollback_begin_anew(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """The next transaction of a connection is whose turn it is then."""
    with engine.connect() as conn:
        for who, end in ((alice, conn.commit), (bob, conn.rollback)) * 2:
            with acting_as(who):
                assert conn.execute(WHO).one() == ("member", who.subject)
            end()


def test_another_identity_inside_a_transaction_is_refused(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """Nobody takes over an open transaction; its owner goes on undisturbed."""
    with engine.connect() as conn:
        with acting_as(alice):
            conn.execute(WHO)
        with acting_as(bob), pytest.raises(IdentityChanged, match="commit or roll"):
            conn.execute(WHO)
        with acting_as(alice):
            assert conn.execute(WHO).one() == ("member", "alice")


def test_a_transaction_left_open_in_the_pool_is_not_joined(
    make: Callable[..., sa.Engine], rows: None, alice: Identity, bob: Identity
) -> None:
    """Where the pool leaves a transaction open, nobody else continues it."""
    engine = make(pool_reset_on_return=None)
    _raise_in_begin_once(engine)
    with acting_as(alice), engine.connect() as conn:
        with pytest.raises(RuntimeError):
            conn.execute(WHO)
        # SQLAlchemy knows of no transaction now, and rolls none back.
        conn.execute(WHO)
    with engine.connect() as conn:
        with acting_as(bob), pytest.raises(IdentityChanged):
            conn.execute(WHO)
        conn.rollback()
        with acting_as(bob):
            assert conn.execute(WHO).one() == ("member", "bob")


def _raise_in_begin_once(engine: sa.Engine) -> None:
    listening = [True]

    @sa.event.listens_for(engine, "begin")
    def begin(conn: sa.Connection) -> None:
        if listening:
            listening.clear()
            msg = "not ours"
            raise RuntimeError(msg)


def test_sql_before_the_first_statement_does_no_harm(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """A checkout hook that opens the transaction does not confuse identities."""

    @sa.event.listens_for(engine, "checkout")
    def checkout(dbapi_connection: Any, *_: Any) -> None:
        dbapi_connection.cursor().execute("SET lock_timeout = '5s'")

    for who in (alice, bob, alice):
        with acting_as(who), engine.connect() as conn:
            assert conn.execute(WHO).one() == ("member", who.subject)


def test_a_begin_listener_of_others_does_no_harm(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """SQL that another listener begins each transaction with confuses no identities."""

    @sa.event.listens_for(engine, "begin")
    def begin(conn: sa.Connection) -> None:
        conn.connection.cursor().execute("SET LOCAL lock_timeout = '5s'")

    with engine.connect() as conn:
        for who in (alice, bob, alice):
            with acting_as(who):
                assert conn.execute(WHO).one() == ("member", who.subject)
            conn.commit()


def test_nobody_takes_over_by_way_of_an_error(
    engine: sa.Engine, alice: Identity, bob: Identity
) -> None:
    """After failed statements and ROLLBACK TO the transaction is still its owner's."""
    with engine.connect() as conn:
        with acting_as(alice):
            conn.execute(WHO)
            nested = conn.begin_nested()
            for _ in range(2):
                with pytest.raises(DBAPIError):
                    conn.exec_driver_sql("SELECT * FROM nowhere")
        nested.rollback()
        with acting_as(bob), pytest.raises(IdentityChanged):
            conn.execute(WHO)
        with acting_as(alice):
            assert conn.execute(WHO).one() == ("member", "alice")


def test_without_anybody_a_connection_stays_closed(
    engine: sa.Engine, alice: Identity
) -> None:
    """A refusal does not wear off: not by trying again, not by rolling back."""
    with engine.connect() as conn:
        for _ in range(3):
            with pytest.raises(NoIdentity, match="acting_as"):
                conn.execute(BODIES)
        conn.rollback()
        with pytest.raises(NoIdentity):
            conn.execute(BODIES)
        with acting_as(alice):
            assert conn.scalars(BODIES).all() == RED_BODIES
    with orm.Session(engine) as session:
        for _ in range(3):
            with pytest.raises(NoIdentity):
                session.scalars(BODIES)


def test_another_listener_that_raises_opens_nothing(
    engine: sa.Engine, alice: Identity
) -> None:
    """After an exception in a begin listener, statements without it are protected."""
    _raise_in_begin_once(engine)
    with engine.connect() as conn:
        with pytest.raises(RuntimeError, match="not ours"):
            conn.execute(BODIES)
        with pytest.raises(NoIdentity):
            conn.execute(BODIES)
        with acting_as(alice):
            assert conn.execute(WHO).one() == ("member", "alice")


def test_the_anonymous_role_acts_where_there_is_one(
    server: postgres.Server, database: str, notes: None, issuer: ThrowawayIssuer
) -> None:
    """Without a token statements run as the anonymous role, which sees no table."""
    auth = JWTRole([issuer.issuer], ["member"], anonymous="anon", trust="application")
    engine = attach(bare_engine(server, database, "psycopg"), auth)
    with engine.connect() as conn:
        assert conn.execute(WHO).one() == ("anon", None)
        with pytest.raises(ProgrammingError, match="permission denied for table"):
            conn.execute(BODIES)
    engine.dispose()


def test_an_expired_identity_begins_nothing(engine: sa.Engine, alice: Identity) -> None:
    """An identity past its time is refused before BEGIN, and cannot be retried."""
    stale = Identity("member", alice.claims, expires=time.time() - 1)
    with acting_as(stale), engine.connect() as conn:
        for _ in range(2):
            with pytest.raises(TokenExpired, match="fresh token"):
                conn.execute(BODIES)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("where", ["engine", "child", "connection", "driver"])
def test_autocommit_is_refused(
    make: Callable[..., sa.Engine],
    rows: None,
    alice: Identity,
    where: str,
    skip: bool,
) -> None:
    """AUTOCOMMIT is refused wherever it was asked for, before anything is sent."""
    engine = make(
        skip_autocommit_rollback=skip,
        **({"isolation_level": "AUTOCOMMIT"} if where == "engine" else {}),
    )
    if where == "child":
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with acting_as(alice), engine.connect() as conn:
        if where == "connection":
            conn.execution_options(isolation_level="AUTOCOMMIT")
        if where == "driver":
            conn.connection.dbapi_connection.autocommit = True  # type: ignore[union-attr]
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
                conn.execute(BODIES)
        assert _status(conn) == 0
        if where == "driver":
            conn.connection.dbapi_connection.autocommit = False  # type: ignore[union-attr]


def _status(conn: sa.Connection) -> int:
    return int(conn.connection.driver_connection.info.transaction_status)  # type: ignore[union-attr]


def test_other_isolation_levels_are_fine(engine: sa.Engine, alice: Identity) -> None:
    """SERIALIZABLE carries an identity as READ COMMITTED does."""
    with acting_as(alice), engine.connect() as conn:
        conn.execution_options(isolation_level="SERIALIZABLE")
        assert conn.scalars(BODIES).all() == RED_BODIES
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "serializable"


def test_two_phase_is_refused(engine: sa.Engine, alice: Identity) -> None:
    """A two-phase transaction is refused, its connection closed, the pool usable."""
    with acting_as(alice):
        with engine.connect() as conn:
            with pytest.raises(ConfigurationError, match="two-phase"):
                conn.begin_twophase()
            with pytest.raises(ResourceClosedError):
                conn.execute(BODIES)
        with (
            orm.Session(engine, twophase=True) as session,
            pytest.raises(ConfigurationError, match="two-phase"),
        ):
            session.scalars(BODIES)
        with engine.connect() as conn:
            assert conn.scalars(BODIES).all() == RED_BODIES


def test_a_raw_connection_may_do_nothing(engine: sa.Engine, alice: Identity) -> None:
    """Past every hook the database refuses: the login role was granted nothing."""
    with acting_as(alice):
        raw = engine.raw_connection()
        try:
            with pytest.raises(Exception, match="permission denied for table note"):
                raw.cursor().execute("SELECT * FROM note")
        finally:
            raw.close()
        with engine.connect() as conn:
            assert conn.scalars(BODIES).all() == RED_BODIES


def test_child_engines_and_their_parent_are_one(
    server: postgres.Server,
    database: str,
    rows: None,
    auth: JWTRole,
    alice: Identity,
) -> None:
    """Attaching what execution_options() returned protects the parent and siblings."""
    parent = bare_engine(server, database, "psycopg")
    before = parent.execution_options(logging_token="before")
    child = parent.execution_options(logging_token="child").execution_options(x=1)

    assert attach(child, auth) is child
    for engine in (parent, before, child, parent.execution_options(y=1)):
        with engine.connect() as conn:
            with pytest.raises(NoIdentity):
                conn.execute(BODIES)
            with acting_as(alice):
                assert conn.execute(WHO).one() == ("member", "alice")
    parent.dispose()


def test_attaching_again_changes_nothing(
    engine: sa.Engine, auth: JWTRole, issuer: ThrowawayIssuer
) -> None:
    """The same configuration is a no-op, another is refused."""
    assert attach(engine, auth) is engine
    with pytest.raises(ConfigurationError, match="attached already"):
        attach(engine, JWTRole([issuer.issuer], ["member"]))


def test_sessionmakers_are_attached_by_their_binds(
    server: postgres.Server,
    database: str,
    rows: None,
    auth: JWTRole,
    alice: Identity,
) -> None:
    """A sessionmaker's bind and binds are all attached, none without one."""
    first = bare_engine(server, database, "psycopg")
    second = bare_engine(server, database, "psycopg2")
    maker = attach(orm.sessionmaker(first, binds={Note: second}), auth)
    with maker() as session:
        with pytest.raises(NoIdentity):
            session.scalars(sa.select(Note))
        with pytest.raises(NoIdentity):
            session.execute(WHO)
        with acting_as(alice):
            assert len(session.scalars(sa.select(Note)).all()) == 2
            assert session.execute(WHO).one() == ("member", "alice")
    with pytest.raises(ConfigurationError, match="no bind"):
        attach(orm.sessionmaker(), auth)
    first.dispose()
    second.dispose()


def test_only_postgresql_and_known_drivers_are_attached(auth: JWTRole) -> None:
    """What cannot be protected is refused when it is attached."""
    with pytest.raises(ConfigurationError, match=r"sqlite\+pysqlite"):
        attach(sa.create_engine("sqlite://"), auth)
    with pytest.raises(ConfigurationError, match="not str"):
        attach("postgresql://", auth)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("role", "reason"),
    [("nobody_knows_me", "does not exist"), ("postgres", "was not granted")],
)
def test_a_role_that_cannot_be_put_on_names_the_bootstrap(
    engine: sa.Engine, alice: Identity, role: str, reason: str
) -> None:
    """A missing or ungranted role says what to run, and the pool stays usable."""
    with acting_as(Identity(role, alice.claims)), engine.connect() as conn:
        with pytest.raises(ConfigurationError, match=f"{reason}.*jwtrole bootstrap"):
            conn.execute(BODIES)
        with pytest.raises(DBAPIError, match="transaction is aborted"):
            conn.execute(BODIES)
        conn.rollback()
        with pytest.raises(ConfigurationError, match=reason):
            conn.execute(BODIES)
    with acting_as(alice), engine.connect() as conn:
        assert conn.scalars(BODIES).all() == RED_BODIES


def test_a_lost_connection_is_reported_as_ever(
    engine: sa.Engine, alice: Identity, server: postgres.Server
) -> None:
    """The preamble's loss of the connection is SQLAlchemy's error, without claims."""
    with acting_as(alice), engine.connect() as conn:
        pid = conn.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        conn.execute(WHO)
        conn.rollback()
        with server.connect("postgres", "postgres") as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(OperationalError) as lost:
            conn.execute(BODIES)
        assert lost.value.connection_invalidated
        assert "alice" not in str(lost.value)
        with pytest.raises(PendingRollbackError):
            conn.execute(BODIES)
        conn.rollback()
        assert conn.scalars(BODIES).all() == RED_BODIES


def test_the_preamble_is_neither_logged_nor_prepared(
    make: Callable[..., sa.Engine],
    rows: None,
    alice: Identity,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With echo on no claim is logged, and psycopg prepares no preamble."""
    engine = make(echo=True)
    with caplog.at_level(logging.INFO), acting_as(alice), engine.connect() as conn:
        for _ in range(8):
            conn.execute(WHO)
            conn.rollback()
        found = conn.scalars(
            sa.text(
                "SELECT statement FROM pg_prepared_statements "
                "WHERE statement LIKE '%set_config%'"
            )
        ).all()

    assert found == []
    assert "jwtrole.subject()" in caplog.text
    assert "alice" not in caplog.text


def test_pre_ping_and_invalidation_do_no_harm(
    make: Callable[..., sa.Engine], rows: None, alice: Identity, bob: Identity
) -> None:
    """A pinged, an invalidated and a detached connection are protected alike."""
    engine = make(pool_pre_ping=True)
    with acting_as(alice), engine.connect() as conn:
        conn.execute(WHO)
        conn.invalidate()
        conn.rollback()
        assert conn.execute(WHO).one() == ("member", "alice")
    with acting_as(bob), engine.connect() as conn:
        conn.detach()
        assert conn.execute(WHO).one() == ("member", "bob")
        assert conn.execute(WHO).one() == ("member", "bob")
    with engine.connect() as conn:
        conn.detach()
        with pytest.raises(NoIdentity):
            conn.execute(WHO)


def test_a_foreign_row_is_refused(engine: sa.Engine, alice: Identity) -> None:
    """Writing another tenant's row is the database's refusal."""
    with (
        acting_as(alice),
        pytest.raises(ProgrammingError, match="row-level security"),
        engine.begin() as conn,
    ):
        conn.execute(note.insert(), {"tenant_id": BLUE, "body": "smuggled"})
