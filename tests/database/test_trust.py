"""What the database trusts is data of the owner, and each change ends tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests import postgres
from tests.database.acting import ANONYMOUS, temporary_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database.acting import Attempt, TrustedIssuer

#: How a role becomes one that nobody may act as, and how that is undone.
UNFIT = {
    "it may log in": ("ALTER ROLE {} LOGIN", "ALTER ROLE {} NOLOGIN"),
    "it is a superuser": ("ALTER ROLE {} SUPERUSER", "ALTER ROLE {} NOSUPERUSER"),
    "it bypasses row security": (
        "ALTER ROLE {} BYPASSRLS",
        "ALTER ROLE {} NOBYPASSRLS",
    ),
    "it may replicate": ("ALTER ROLE {} REPLICATION", "ALTER ROLE {} NOREPLICATION"),
    "it may create roles": ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE"),
    "a member of pg_read_all_data, which": (
        "GRANT pg_read_all_data TO {}",
        "REVOKE pg_read_all_data FROM {}",
    ),
    "a member of app_owner, which may log in": (
        "GRANT app_owner TO {}",
        "REVOKE app_owner FROM {}",
    ),
    "a member of jwtrole_owner, which owns": (
        "GRANT jwtrole_owner TO {}",
        "REVOKE jwtrole_owner FROM {}",
    ),
    "it owns objects of this database": (
        "CREATE TABLE owned (); ALTER TABLE owned OWNER TO {}",
        "DROP TABLE owned",
    ),
}


@pytest.fixture
def target(superuser: psycopg.Connection, sealed_database: str) -> Iterator[str]:
    """Return a role that may be mapped to, until a test changes it."""
    name = f"target_{sealed_database}"
    superuser.execute(f"CREATE ROLE {name} NOLOGIN".encode())
    superuser.execute(f"GRANT {name} TO app_login".encode())
    yield name
    superuser.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


@pytest.mark.parametrize("reason", UNFIT)
def test_an_unfit_role_is_refused_when_mapped_and_at_login(
    issuer: TrustedIssuer,
    attempt: Attempt,
    superuser: psycopg.Connection,
    target: str,
    reason: str,
) -> None:
    """A role that became one that nobody may act as ends logins and new maps."""
    issuer.tell("map_role", "target", target)
    token = issuer.mint(role="target")
    assert attempt.log_in(token)[0] == target
    attempt.end()
    issuer.owner.execute("SELECT jwtrole.set_anonymous(%s)", (target,))
    worsen, mend = (text.format(target) for text in UNFIT[reason])

    superuser.execute(worsen.encode())
    try:
        with pytest.raises(psycopg.Error, match=reason) as caught:
            attempt.log_in(token)
        attempt.end()
        assert caught.value.sqlstate == "JW005"
        assert attempt.refused(ANONYMOUS) == "JW005"
        for call in (
            f"map_role('{issuer.name}', 'other', '{target}')",
            f"set_anonymous('{target}')",
        ):
            with pytest.raises(psycopg.Error, match="nobody may act as") as caught:
                issuer.owner.execute(f"SELECT jwtrole.{call}".encode())
            assert caught.value.sqlstate == "JW005"
    finally:
        superuser.execute(mend.encode())
        issuer.owner.execute("SELECT jwtrole.set_anonymous(NULL)")
    assert attempt.log_in(token)[0] == target


def test_a_temporary_table_makes_no_owner(
    issuer: TrustedIssuer,
    attempt: Attempt,
    neighbour: Attempt,
    owner: psycopg.Connection,
) -> None:
    """Whoever makes a temporary table cannot lock the others of its role out."""
    neighbour.log_in(issuer.mint())
    with temporary_objects(owner):
        neighbour.run("CREATE TEMP TABLE mine (a int)", "COMMIT")

    attempt.log_in(issuer.mint())
    assert attempt.sealed


@pytest.mark.parametrize(
    "role", ["none_such", "app_login", "app_owner", "jwtrole_owner", "postgres", None]
)
def test_roles_that_nobody_may_act_as_are_refused(
    issuer: TrustedIssuer, role: str | None
) -> None:
    """A missing role, one that logs in, an owner and a superuser are no targets."""
    with pytest.raises(psycopg.Error, match="nobody may act as") as caught:
        issuer.tell("map_role", "x", role)

    assert caught.value.sqlstate == "JW005"


def test_predefined_roles_are_refused(issuer: TrustedIssuer) -> None:
    """A role of PostgreSQL's own is no target."""
    with pytest.raises(psycopg.Error, match="PostgreSQL's own"):
        issuer.tell("map_role", "x", "pg_read_all_data")


def test_a_dropped_role_is_refused_at_login(
    issuer: TrustedIssuer, attempt: Attempt, superuser: psycopg.Connection, worker: str
) -> None:
    """A map that outlived its role leads nowhere."""
    superuser.execute(f"CREATE ROLE gone_{worker}".encode())
    issuer.tell("map_role", "gone", f"gone_{worker}")
    superuser.execute(f"DROP ROLE gone_{worker}".encode())

    assert attempt.login_refused(issuer.mint(role="gone")) == "JW005"


CHANGES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "leeway": ("trust", (["billing"], 31)),
    "audience": ("trust", (["billing", "more"], 30)),
    "role claim": ("trust", (["billing"], 30, ["role", "x"])),
    "max_ticket": ("trust", (["billing"], 30, ["role"], 60)),
    "map": ("map_role", ("new", "member")),
    "remap": ("map_role", ("member", "manager")),
    "unmap": ("unmap_role", ("boss",)),
    "deny": ("deny", ("sub", "somebody")),
    "retire": ("retire_key", ("first",)),
    "untrust": ("untrust", ()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_trust_ends_the_issuers_tickets(
    issuer: TrustedIssuer, attempt: Attempt, change: str
) -> None:
    """A ticket from before the change is refused, by its own SQLSTATE."""
    ticket = attempt.ticket(issuer.mint())

    function, arguments = CHANGES[change]
    issuer.tell(function, *arguments)

    assert attempt.resume_refused(ticket) == "JW001"


def test_a_new_key_ends_the_issuers_tickets(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Adding a key is a change of trust too."""
    ticket = attempt.ticket(issuer.mint())
    issuer.add_key("second", b"2" * 64)

    assert attempt.resume_refused(ticket) == "JW001"
    attempt.log_in(issuer.mint(kid="second", secret=b"2" * 64))


def test_what_changes_nothing_ends_no_ticket(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """The same trust and the same map told again leave generation and tickets."""
    ticket, before = attempt.ticket(issuer.mint()), issuer.generation

    issuer.trust_again()
    issuer.tell("map_role", "member", "member")

    assert issuer.generation == before
    assert attempt.resume(ticket) == "member"


def test_another_issuers_tickets_go_on(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """A change at one issuer ends no ticket of another."""
    ticket = attempt.ticket(issuer.mint())
    other = type(issuer)(owner)
    other.trust()
    other.tell("deny", "sub", "ann")
    other.tell("untrust")

    assert attempt.resume(ticket) == "member"


def test_an_issuer_trusted_again_revives_no_ticket(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Generations are never used twice, so that an old ticket stays refused."""
    ticket = attempt.ticket(issuer.mint())
    issuer.tell("untrust")
    assert attempt.login_refused(issuer.mint()) == "JW003"
    issuer.trust()

    assert attempt.resume_refused(ticket) == "JW001"
    attempt.log_in(issuer.mint())


@pytest.mark.parametrize("kind", ["sub", "jti"])
def test_who_is_denied_cannot_log_in(
    issuer: TrustedIssuer, attempt: Attempt, kind: str
) -> None:
    """A denied subject or token id is refused, others and later times are not."""
    token = issuer.mint(sub="mallory", jti="stolen")
    ticket = attempt.ticket(token)
    value = {"sub": "mallory", "jti": "stolen"}[kind]
    issuer.tell("deny", kind, value)

    assert attempt.login_refused(token) == "JW003"
    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.log_in(issuer.mint(sub="stolen", jti="mallory"))[0] == "member"
    attempt.end()

    issuer.tell("allow", kind, value)
    assert attempt.log_in(token)[0] == "member"


def test_a_denial_ends_at_its_time(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """What is denied until a time in the past is not, and is cleared away."""
    issuer.tell("deny", "sub", "ann", "2020-01-01 00:00:00+00")
    attempt.log_in(issuer.mint())
    attempt.end()
    issuer.tell("deny", "sub", "bob", "infinity")

    rows = issuer.owner.execute(
        "SELECT value FROM jwtrole.denied WHERE issuer = %s", (issuer.name,)
    ).fetchall()
    assert rows == [("bob",)]


def test_a_denial_is_one_issuers(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """The same subject of another issuer is somebody else; denials outlive trust."""
    other = type(issuer)(owner)
    other.trust()
    other.tell("deny", "sub", "ann")
    attempt.log_in(issuer.mint())
    attempt.end()

    other.tell("untrust")
    other.trust()
    assert attempt.login_refused(other.mint()) == "JW003"
    other.tell("untrust")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("trust", ([],)),
        ("trust", ([""],)),
        ("trust", ([None],)),
        ("trust", (["a"], -1)),
        ("trust", (["a"], 301)),
        ("trust", (["a"], 30, [])),
        ("trust", (["a"], 30, [""])),
        ("trust", (["a"], 30, ["role"], 0)),
        ("trust", (["a"], 30, ["role"], 86_401)),
        ("trust", (None,)),
    ],
)
def test_a_senseless_trust_is_refused(
    issuer: TrustedIssuer, function: str, arguments: tuple[Any, ...]
) -> None:
    """Limits are those of the configuration."""
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        issuer.tell(function, *arguments)


def test_an_unknown_issuer_is_said(issuer: TrustedIssuer) -> None:
    """Maps and denials are told of an issuer that is trusted."""
    issuer.tell("untrust")

    for function, arguments in (
        ("map_role", ("x", "member")),
        ("unmap_role", ("x",)),
        ("deny", ("sub", "x")),
        ("untrust", ()),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no such"):
            issuer.tell(function, *arguments)


def test_a_denial_has_a_known_kind(issuer: TrustedIssuer) -> None:
    """Only subjects and token ids can be denied."""
    with pytest.raises(psycopg.errors.CheckViolation):
        issuer.tell("deny", "email", "x")


def test_the_owner_has_no_powers(owner: psycopg.Connection) -> None:
    """Who told the database all this is no superuser and makes no roles."""
    row = owner.execute(
        "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles"
        " WHERE rolname = current_user"
    ).fetchone()

    assert row == (False, False, False)
    assert owner.info.user == postgres.OWNER
