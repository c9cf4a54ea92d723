from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from jwtrole import install
from jwtrole.begin import Nobody
from jwtrole.errors import ConfigurationError
from jwtrole.identity import Identity
from jwtrole.policy import Policy
from tests import postgres

if TYPE_CHECKING:
    from tests.jwtrole.conftest import Sandbox

FUNCTIONS = {
    "claim(text)", "claims()", "require(text)", "sealed()", "subject()", "version()",
}  # fmt: skip
CLAIMS = {
    "sub": "ann",
    "level": 3,
    "ratio": 0.5,
    "admin": True,
    "nothing": None,
    "list": ["a", 1],
    'it\'s "odd" \\ é': 'it\'s "odd" \\ é',
}
ANN = Identity("member", CLAIMS)

RELEASE = install.latest("application")


def test_the_owner_who_installs_is_no_superuser(
    admin: psycopg.Connection,
) -> None:
    """The schema of this very database was installed without any special power."""
    row = admin.execute(
        "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = %s",
        (postgres.OWNER,),
    ).fetchone()
    version = admin.execute("SELECT jwtrole.version()").fetchone()

    assert row == (False, False, False)
    assert version == (RELEASE.version,)


def test_everything_belongs_to_the_schemas_own_role(sandbox: Sandbox) -> None:
    """Schema and functions are owned by a role that nobody logs in as."""
    owners = sandbox.run(
        "SELECT nspname::text, nspowner::regrole::text FROM pg_namespace"
        " WHERE nspname = 'jwtrole' UNION ALL"
        " SELECT replace(oid::regprocedure::text, 'jwtrole.', ''),"
        " proowner::regrole::text"
        " FROM pg_proc WHERE pronamespace = 'jwtrole'::regnamespace"
    )

    assert {name for name, _ in owners} == {"jwtrole", *FUNCTIONS}
    assert {owner for _, owner in owners} == {install.OWNER_ROLE}


def test_version_and_hash_are_recorded(sandbox: Sandbox) -> None:
    """The database tells which released file it has, to the byte."""
    assert sandbox.run(
        "SELECT obj_description('jwtrole'::regnamespace, 'pg_namespace')"
    ) == [(f"jwtrole {RELEASE.name} sha256:{RELEASE.sha256}",)]
    assert len(RELEASE.sha256) == 64


def test_the_schema_is_removed_and_installed_again(sandbox: Sandbox) -> None:
    """Down leaves nothing behind, and up works after it; the query tells which."""
    query = install.installed_version_sql()
    sandbox.become(Nobody(postgres.OWNER))
    assert sandbox.run(query) == [(True,)]

    sandbox.run(*RELEASE.down())
    assert sandbox.run(query) == [(False,)]
    assert sandbox.run("SELECT 1 FROM pg_namespace WHERE nspname = 'jwtrole'") == []

    sandbox.run(*RELEASE.up())
    assert sandbox.run(query) == [(True,)]


def test_to_install_twice_is_an_error(sandbox: Sandbox) -> None:
    """A schema that is there already is never taken over silently."""
    sandbox.become(Nobody(postgres.OWNER))

    assert sandbox.refused(*RELEASE.up()) == "42P06"


@pytest.mark.parametrize(
    "needs",
    [
        "CREATE TABLE t (c text DEFAULT jwtrole.claim('sub'))",
        "CREATE VIEW v AS SELECT jwtrole.subject()",
    ],
)
def test_a_default_or_view_that_needs_it_keeps_the_schema(
    sandbox: Sandbox, needs: str
) -> None:
    """Down fails while a default or a view calls a function, and nothing is lost."""
    sandbox.owner(needs)

    assert sandbox.refused(*RELEASE.down()) == "2BP01"
    assert sandbox.run(install.installed_version_sql()) == [(True,)]


def test_a_policy_that_needs_it_keeps_the_schema(sandbox: Sandbox) -> None:
    """Down fails while a policy reads a claim; once it is dropped, down works."""
    policy = Policy(
        name="p", table="t", to=("member",), using="a = (SELECT jwtrole.claim('sub'))"
    )
    sandbox.owner("CREATE TABLE t (a text)", *policy.create())

    assert sandbox.refused(*RELEASE.down()) == "2BP01"
    sandbox.run(*policy.drop(), *RELEASE.down())
    assert sandbox.run(install.installed_version_sql()) == [(False,)]


def test_who_is_no_member_of_the_schemas_role_installs_nothing(
    sandbox: Sandbox,
) -> None:
    """A fixed role can neither install nor remove nor replace a function."""
    sandbox.owner(*RELEASE.down())
    sandbox.become(ANN)
    assert sandbox.refused(*RELEASE.up()) == "42501"
    sandbox.owner(*RELEASE.up())
    sandbox.become(ANN)

    assert sandbox.refused(*RELEASE.down()) == "42501"
    assert (
        sandbox.refused(
            "CREATE OR REPLACE FUNCTION jwtrole.claim(name text) RETURNS text"
            " LANGUAGE sql AS 'SELECT 1::text'"
        )
        == "42501"
    )
    assert sandbox.refused("CREATE TABLE jwtrole.mine ()") == "42501"


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_the_schema_is_the_same_under_any_quoting(
    sandbox: Sandbox, conforming: str
) -> None:
    """Installed and called by a session that reads backslashes otherwise, it works."""
    sandbox.run(f"SET LOCAL standard_conforming_strings = {conforming}")
    sandbox.owner(*RELEASE.down(), *RELEASE.up())

    assert sandbox.acting(ANN, "SELECT jwtrole.claims()") == [(CLAIMS,)]


def test_an_unknown_version_is_refused() -> None:
    """A version that this distribution does not hold is said to be missing."""
    with pytest.raises(ConfigurationError, match=r"no version 99 .* only \[1, 2, 3\]"):
        install.release(99)


def test_the_latest_release_is_the_default() -> None:
    """Without a number the newest version of the database mode is meant."""
    assert install.release() == install.release(install.LATEST)
    assert install.release() == install.latest("database")
    assert install.LATEST in install.versions()


def test_the_functions_are_what_policies_may_rely_on(sandbox: Sandbox) -> None:
    """Volatility, parallel safety, types and argument names never change."""
    rows = sandbox.run(
        "SELECT proname::text, pg_get_function_arguments(oid),"
        " pg_get_function_result(oid), provolatile::text, proparallel::text"
        " FROM pg_proc WHERE pronamespace = 'jwtrole'::regnamespace ORDER BY 1"
    )

    assert rows == [
        ("claim", "name text", "text", "s", "r"),
        ("claims", "", "jsonb", "s", "r"),
        ("require", "role text", "void", "s", "r"),
        ("sealed", "", "boolean", "s", "r"),
        ("subject", "", "text", "s", "r"),
        ("version", "", "integer", "i", "s"),
    ]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("sub", "ann"),
        ("level", "3"),
        ("ratio", "0.5"),
        ("admin", "true"),
        ("nothing", None),
        ("absent", None),
        ("list", '["a", 1]'),
        ('it\'s "odd" \\ é', 'it\'s "odd" \\ é'),
    ],
)
def test_a_claim_is_read_as_text(
    sandbox: Sandbox, claim: str, expected: str | None
) -> None:
    """Each JSON value comes as its text, and what the token lacks as NULL."""
    sandbox.become(ANN)

    row = sandbox.connection.execute("SELECT jwtrole.claim(%s)", (claim,)).fetchone()

    assert row == (expected,)


def test_all_claims_and_the_subject_are_read(sandbox: Sandbox) -> None:
    """claims() is the whole token's object, subject() its sub."""
    sandbox.become(ANN)

    assert sandbox.run("SELECT jwtrole.claims(), jwtrole.subject()") == [
        (CLAIMS, "ann")
    ]


@pytest.mark.parametrize("call", ["claim('sub')", "claims()", "subject()"])
def test_without_an_identity_claims_raise(login: psycopg.Connection, call: str) -> None:
    """Outside any identity a claim is an error of its own, with a hint."""
    with pytest.raises(psycopg.Error, match="nobody is acting") as caught:
        login.execute(f"SELECT jwtrole.{call}".encode())

    assert caught.value.sqlstate == "JW006"
    assert "acting_as" in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_after_the_transaction_claims_raise_again(sandbox: Sandbox, end: str) -> None:
    """Claims end with their transaction, on the same connection."""
    sandbox.acting(ANN, "SELECT jwtrole.claims()", end, "BEGIN")

    assert sandbox.run("SELECT jwtrole.sealed()") == [(False,)]
    assert sandbox.refused("SELECT jwtrole.claims()") == "JW006"


@pytest.mark.parametrize(
    "switch",
    [
        "SET LOCAL ROLE manager",
        "RESET ROLE",
        "SET LOCAL ROLE NONE",
        "SET LOCAL jwtrole.claims = ''",
        "SET LOCAL jwtrole.role = ''",
        "SET LOCAL jwtrole.role = 'manager'",
    ],
)
def test_a_switched_session_is_not_sealed(sandbox: Sandbox, switch: str) -> None:
    """Claims answer only under the role they came with."""
    sandbox.acting(ANN, switch)

    assert sandbox.run("SELECT jwtrole.sealed()") == [(False,)]
    assert sandbox.refused("SELECT jwtrole.claim('sub')") == "JW006"
    assert sandbox.refused("SELECT jwtrole.require('member')") == "JW005"


def test_back_in_its_role_an_identity_is_sealed_again(sandbox: Sandbox) -> None:
    """A switch that is undone leaves the identity as it was."""
    sandbox.acting(ANN, "SET LOCAL ROLE manager", "SET LOCAL ROLE member")

    assert sandbox.run("SELECT jwtrole.sealed(), jwtrole.subject()") == [(True, "ann")]


def test_claims_without_a_role_are_no_identity(sandbox: Sandbox) -> None:
    """Claims that came without a role are not sealed and stand for no role."""
    sandbox.run("SET LOCAL jwtrole.claims = '{}'")

    assert sandbox.run("SELECT jwtrole.sealed()") == [(False,)]
    assert sandbox.refused("SELECT jwtrole.require(session_user::text)") == "JW005"


def test_the_anonymous_identity_is_sealed_and_has_no_claim(sandbox: Sandbox) -> None:
    """Without a token the anonymous role acts, and each claim is NULL."""
    anonymous = Identity("anon")

    assert sandbox.acting(
        anonymous, "SELECT jwtrole.sealed(), jwtrole.claim('sub'), jwtrole.claims()"
    ) == [(True, None, {})]


def test_require_passes_the_role_and_no_other(sandbox: Sandbox) -> None:
    """require() is silent for the acting role and JW005 for each other and for NULL."""
    sandbox.become(ANN)

    assert sandbox.run("SELECT 1 FROM jwtrole.require('member')") == [(1,)]
    for other in ("'manager'", "''", "NULL", "'MEMBER'"):
        assert sandbox.refused(f"SELECT jwtrole.require({other})") == "JW005"


def test_require_says_which_role_is_missing(login: psycopg.Connection) -> None:
    """The refusal names the role that was asked for and what to do."""
    with pytest.raises(psycopg.Error, match='needs the role "a b"') as caught:
        login.execute("SELECT jwtrole.require('a b')")

    assert "whose token maps" in (caught.value.diag.message_hint or "")


def test_the_search_path_changes_nothing(sandbox: Sandbox) -> None:
    """Functions and operators of the same names, put before, are not called."""
    sandbox.owner(
        "CREATE SCHEMA evil",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        "CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text"
        " LANGUAGE sql AS 'SELECT ''{\"sub\": \"evil\"}'''",
        "CREATE FUNCTION evil.current_setting(text) RETURNS text"
        " LANGUAGE sql AS 'SELECT ''evil'''",
        "CREATE FUNCTION evil.same(text, text) RETURNS boolean"
        " LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = text,"
        " RIGHTARG = text)",
    )
    sandbox.become(ANN)
    sandbox.run("SET LOCAL search_path = evil, pg_catalog")
    assert sandbox.run("SELECT current_setting('x', true)") == [('{"sub": "evil"}',)]

    assert sandbox.run("SELECT jwtrole.subject()") == [("ann",)]
    sandbox.run("SET LOCAL ROLE manager")
    assert sandbox.run("SELECT jwtrole.sealed()") == [(False,)]


def test_postgrests_setting_holds_the_same_claims(sandbox: Sandbox) -> None:
    """Policies written for PostgREST find the claims where they look."""
    rows = sandbox.acting(ANN, "SELECT current_setting('request.jwt.claims')")

    assert json.loads(rows[0][0]) == CLAIMS
