"""The seal: what it is made of, what it costs queries, and where it is no good."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests import postgres
from tests.database.acting import ANONYMOUS, Attempt, TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rows(owner: psycopg.Connection) -> Iterator[None]:
    """Make a table of 50,000 rows of ten tenants, tied to the claim ``tenant``."""
    tenant = "(SELECT jwtrole.claim('tenant')::int)"
    for statement in (
        "CREATE TABLE many (tenant int, filler text)",
        (
            "INSERT INTO many SELECT n % 10, repeat('x', 20)"
            " FROM generate_series(1, 50000) AS n"
        ),
        "ANALYZE many",
        "ALTER TABLE many ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE many FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY own ON many TO member, manager USING (tenant = {tenant})",
        "GRANT SELECT ON many TO member, manager",
    ):
        owner.execute(statement.encode())
    yield
    owner.execute("DROP TABLE many")


def field(value: str) -> str:
    """Return a value with its length in bytes before it."""
    return f"{len(value.encode())}:{value}"


def test_seal_and_ticket_are_hmacs_over_fields_with_lengths(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """Computed from outside with the secret, both are exactly what they should be."""
    row = owner.execute(
        "SELECT s.ipad, i.system::text || '/' || i.database::text"
        " FROM jwtrole.secret AS s, jwtrole.installation AS i"
    ).fetchone()
    assert row is not None
    key = bytes(byte ^ 0x36 for byte in row[0])
    home = field(attempt.connection.info.dbname) + field(row[1])
    _, ticket, _ = attempt.log_in(issuer.mint(sub="Å"))
    seal, claims, pid, began = attempt.run(
        "SELECT current_setting('jwtrole.seal'), current_setting('jwtrole.claims'),"
        " pg_backend_pid(), extract(epoch FROM transaction_timestamp())::text"
    )[0]

    def mac(message: str) -> str:
        return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()

    fields = "".join(map(field, (f"{pid}/{began}", "member", seal[64:], claims)))
    assert len(key) == 64
    assert seal[:64] == mac(f"seal:{home}{fields}")
    assert ticket[:64] == mac(f"ticket:{home}{field(ticket[64:])}")


@pytest.mark.parametrize("value", ["", ":", "1:a", "Å ß\n", "0" * 1000])
def test_both_ways_to_make_a_mac_agree(owner: psycopg.Connection, value: str) -> None:
    """What a login makes and what a ticket is resumed by are the same to the byte."""
    row = owner.execute(
        "SELECT jwtrole._sealed_with('a', 'b', x, x, x, x)"
        " = jwtrole._seal_of('a', 'b', jwtrole._place(x), jwtrole._binding(), x, x, x),"
        " jwtrole._ticket_with('a', 'b', x, x)"
        " = jwtrole._ticket_of('a', 'b', jwtrole._place(x), x)"
        " FROM (SELECT %s::text) AS v (x)",
        (value,),
    ).fetchone()

    assert row == (True, True)


def test_a_rotation_ends_every_seal_and_ticket(
    issuer: TrustedIssuer, attempt: Attempt, neighbour: Attempt
) -> None:
    """After rotate_seal() tokens log in anew, and what was sealed before is not."""
    token = issuer.mint()
    ticket = attempt.ticket(token)
    neighbour.log_in(token)
    assert neighbour.sealed
    issuer.owner.execute("SELECT jwtrole.rotate_seal()")

    assert attempt.resume_refused(ticket) == "JW001"
    assert neighbour.nobody
    attempt.log_in(token)
    assert attempt.sealed


def test_each_database_and_rotation_has_a_secret_of_its_own(
    owner: psycopg.Connection,
) -> None:
    """No two secrets are the same, and each is one key in its two padded forms."""
    found = set()
    for _ in range(4):
        owner.execute("SELECT jwtrole.rotate_seal()")
        row = owner.execute("SELECT ipad, opad FROM jwtrole.secret").fetchone()
        assert row is not None
        ipad, opad = row
        assert bytes(a ^ 0x36 ^ 0x5C for a in ipad) == opad
        found.add(ipad)

    assert len(found) == 4


def test_a_clone_refuses_the_originals_tickets_and_tokens(
    server: postgres.Server,
    superuser: psycopg.Connection,
    issuer: TrustedIssuer,
    attempt: Attempt,
    worker: str,
) -> None:
    """A copy of the database lets nobody in until its owner rotates the seal."""
    token = issuer.mint()
    issuer.owner.execute("SELECT jwtrole.set_anonymous('anon')")
    ticket = attempt.ticket(token)
    name, original = f"jwtrole_clone_{worker}", issuer.owner.info.dbname
    for connection in (attempt.connection, superuser, issuer.owner):
        connection.close()
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {original}".encode())
    issuer.owner = server.connect(postgres.OWNER, original)
    with contextlib.closing(server.connect(postgres.LOGIN, name)) as connection:
        clone = Attempt(connection)
        assert clone.resume_refused(ticket) == "JW001"
        assert clone.login_refused(token) == "JW003"
        assert clone.refused(ANONYMOUS) == "JW006"
        with pytest.raises(psycopg.Error, match="a copy") as caught:
            clone.log_in(token)
        assert "rotate_seal" in (caught.value.diag.message_hint or "")
        clone.end()

        with server.connect(postgres.OWNER, name) as owner:
            owner.execute("SELECT jwtrole.rotate_seal()")
        assert clone.resume_refused(ticket) == "JW001"
        clone.log_in(token)
        assert clone.sealed
    with contextlib.closing(server.connect(postgres.LOGIN, original)) as connection:
        assert Attempt(connection).resume(ticket) == "member"
    server.drop_database(name)


def test_a_restored_dump_is_a_copy(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """Where another cluster's number is recorded, nobody is let in."""
    ticket = attempt.ticket(issuer.mint())
    owner.execute("UPDATE jwtrole.installation SET system = system + 1")
    try:
        assert attempt.resume_refused(ticket) == "JW001"
        assert attempt.login_refused(issuer.mint()) == "JW003"
    finally:
        owner.execute("UPDATE jwtrole.installation SET system = system - 1")
    assert attempt.resume(ticket) == "member"


def test_a_renamed_database_ends_tickets_alone(
    server: postgres.Server, worker: str
) -> None:
    """A new name of the same database costs each token one login."""
    from tests.database.fixtures import install_database_mode

    old, new = f"jwtrole_old_{worker}", f"jwtrole_new_{worker}"
    server.create_database(old, schema=False)
    install_database_mode(server, old)
    with contextlib.closing(server.connect(postgres.OWNER, old)) as owner:
        issuer = TrustedIssuer(owner)
        issuer.trust()
    with contextlib.closing(server.connect(postgres.LOGIN, old)) as login:
        ticket = Attempt(login).ticket(issuer.mint())
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {old} RENAME TO {new}".encode())
    with contextlib.closing(server.connect(postgres.LOGIN, new)) as login:
        attempt = Attempt(login)
        assert attempt.resume_refused(ticket) == "JW001"
        assert attempt.log_in(issuer.mint())[0] == "member"
    server.drop_database(new)


@pytest.mark.usefixtures("rows")
def test_parallel_plans_are_kept(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """A claim read once per statement leaves a scan to parallel workers."""
    attempt.log_in(issuer.mint())
    for name, value in {
        "parallel_setup_cost": "0",
        "parallel_tuple_cost": "0",
        "min_parallel_table_scan_size": "0",
        "max_parallel_workers_per_gather": "2",
    }.items():
        attempt.run(f"SET LOCAL {name} = '{value}'")

    query = "SELECT count(*), min(tenant), max(tenant) FROM many"
    plan = "\n".join(line for (line,) in attempt.run(f"EXPLAIN {query}"))
    assert "Gather" in plan
    assert "InitPlan" in plan
    assert attempt.run(query) == [(5000, 7, 7)]


@pytest.mark.usefixtures("rows")
def test_a_prepared_query_shows_each_identity_its_rows(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """One plan under alternating roles and tenants never shows another's rows."""
    attempt.run("PREPARE mine AS SELECT DISTINCT tenant FROM many")
    tickets = {
        tenant: attempt.ticket(issuer.mint(tenant=tenant, role=role))
        for tenant, role in ((1, "member"), (2, "boss"), (3, "member"))
    }
    for _ in range(6):
        for tenant, ticket in tickets.items():
            attempt.resume(ticket)
            assert attempt.run("EXECUTE mine") == [(tenant,)]
            attempt.end()


def test_the_seals_expressions_are_inlined(superuser: psycopg.Connection) -> None:
    """Reading a claim calls core functions only: one plan, no function of ours."""
    superuser.execute("BEGIN")
    superuser.execute("SET LOCAL ROLE jwtrole_owner")
    lines = superuser.execute(
        "EXPLAIN (VERBOSE) SELECT w.claims, w.lasts FROM jwtrole._worn AS w"
    ).fetchall()
    superuser.execute("ROLLBACK")
    plan = "\n".join(line for (line,) in lines)

    assert "sha256" in plan
    # Without statistics too: a row each, so that no compiler is called for.
    assert "rows=1 " in plan.splitlines()[0]
    for name in ("_binding", "_blind", "_mac", "_place", "_seal_of"):
        assert f"{name}(" not in plan


def test_nothing_of_ours_but_the_accessors_is_for_everybody(
    owner: psycopg.Connection,
) -> None:
    """What PUBLIC may call is six functions; what definers call is pinned."""
    public = owner.execute(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'jwtrole'::regnamespace"
        " AND has_function_privilege('anon', oid, 'EXECUTE') ORDER BY 1"
    ).fetchall()
    definers = owner.execute(
        "SELECT proname::text, proconfig FROM pg_proc"
        " WHERE pronamespace = 'jwtrole'::regnamespace AND prosecdef"
    ).fetchall()

    assert [name for (name,) in public] == [
        "claim", "claims", "require", "sealed", "subject", "version",
    ]  # fmt: skip
    assert len(definers) >= 15
    for name, settings in definers:
        assert settings[:2] == [
            "search_path=pg_catalog, pg_temp",
            "standard_conforming_strings=on",
        ], name
