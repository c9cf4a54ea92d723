"""Grants on sequences, functions and schemas, and on what is created later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.grants import KINDS, GrantOn
from jwtrole.identity import Identity

if TYPE_CHECKING:
    from tests.jwtrole.conftest import Sandbox

MEMBER = Identity("member", {"sub": "ann"})

#: What is there, a grant on it, what needs the grant, and what does not come with it.
CASES = {
    "sequence": (
        "CREATE SEQUENCE ticket",
        GrantOn("sequence", "ticket", "member", ["USAGE"]),
        "SELECT nextval('ticket')",
        "SELECT setval('ticket', 7)",
    ),
    "sequence elsewhere": (
        '''CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO member;
        CREATE SEQUENCE shop."Odd ""one"''',
        GrantOn("sequence", 'Odd "one', "member", ["UPDATE"], "shop"),
        """SELECT setval('shop."Odd ""one"', 7)""",
        """SELECT last_value FROM shop."Odd ""one" """,
    ),
    "function": (
        """CREATE FUNCTION total(a int, b text[]) RETURNS int RETURN 1;
        CREATE FUNCTION total(a int) RETURNS int RETURN 1;
        REVOKE EXECUTE ON FUNCTION total(int, text[]), total(int) FROM PUBLIC""",
        GrantOn("function", "total(int, text[])", "member", ["EXECUTE"]),
        "SELECT total(1, '{}')",
        "SELECT total(1)",
    ),
    "schema": (
        """CREATE SCHEMA shop; CREATE TABLE shop.item (id int);
        GRANT SELECT ON shop.item TO member""",
        GrantOn("schema", "shop", "member", ["USAGE"]),
        "SELECT * FROM shop.item",
        "CREATE TABLE shop.other (id int)",
    ),
}
LATER = {
    "default tables": ("SELECT", "CREATE TABLE shop.t (id int)", "SELECT FROM shop.t"),
    "default sequences": (
        "USAGE",
        "CREATE SEQUENCE shop.s",
        "SELECT nextval('shop.s')",
    ),
    "default functions": (
        "EXECUTE",
        """CREATE FUNCTION shop.f() RETURNS int RETURN 1;
        REVOKE EXECUTE ON FUNCTION shop.f() FROM PUBLIC""",
        "SELECT shop.f()",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_grant_gives_what_it_says_and_a_revoke_takes_it(
    case: str, sandbox: Sandbox
) -> None:
    """What is granted works, what is not stays refused, and revoked all is."""
    makes, grant, needs, past = CASES[case]
    sandbox.owner(makes, *grant.grant())

    sandbox.acting(MEMBER, needs)
    assert sandbox.refused(past) == "42501"
    sandbox.owner(*grant.revoke())
    sandbox.become(MEMBER)
    assert sandbox.refused(needs) == "42501"


@pytest.mark.parametrize("kind", LATER)
def test_a_default_is_for_what_the_owner_makes_from_now_on(
    kind: str, sandbox: Sandbox
) -> None:
    """It comes with each new object of that schema, until it is revoked."""
    privilege, makes, needs = LATER[kind]
    grant = GrantOn(kind, "shop", "member", [privilege])
    sandbox.owner("CREATE SCHEMA shop", "GRANT USAGE ON SCHEMA shop TO member")
    sandbox.run(*grant.grant(), makes)
    sandbox.acting(MEMBER, needs)

    sandbox.owner(*grant.revoke(), "DROP SCHEMA shop CASCADE", "CREATE SCHEMA shop")
    sandbox.run("GRANT USAGE ON SCHEMA shop TO member", makes)
    sandbox.become(MEMBER)
    assert sandbox.refused(needs) == "42501"


def test_public_is_spelled_out(sandbox: Sandbox) -> None:
    """Everybody's right to call a function, which PostgreSQL gives, can be revoked."""
    everybody = GrantOn("function", "open()", "PUBLIC", ["EXECUTE"])
    makes = "CREATE FUNCTION open() RETURNS int RETURN 1"
    sandbox.owner(makes)
    assert sandbox.acting(MEMBER, "SELECT open()") == [(1,)]
    sandbox.owner(*everybody.revoke())
    sandbox.become(MEMBER)

    assert sandbox.refused("SELECT open()") == "42501"


def test_a_grant_reads_the_same_however_it_is_written() -> None:
    """Order and repetition make no other grant."""
    one = GrantOn("sequence", "s", "member", ["USAGE", "SELECT", "USAGE"])

    assert one == GrantOn("sequence", "s", "member", ("SELECT", "USAGE"))
    assert hash(one)
    assert one.grant() == ('GRANT SELECT, USAGE ON SEQUENCE "s" TO "member"',)


@pytest.mark.parametrize(
    ("kind", "privilege"),
    [
        *((kind, "ALL") for kind in KINDS),
        *((kind, "USAGE WITH GRANT OPTION") for kind in KINDS),
        *(("default tables", p) for p in
          ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN", "UPDATE(body)")),
        ("schema", "CREATE"),
        ("function", "USAGE"),
        ("sequence", "usage"),
    ],
)  # fmt: skip
def test_what_cannot_be_granted_is_refused(kind: str, privilege: str) -> None:
    """Nothing that works past row security, nor to hand on, nor everything."""
    name = "f()" if kind == "function" else "shop"
    with pytest.raises(ConfigurationError, match="nothing else can be granted"):
        GrantOn(kind, name, "member", [privilege])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("table", "note", "member", ["SELECT"]), "the kind is one of"),
        (("default schemas", "s", "member", ["USAGE"]), "the kind is one of"),
        (("sequence", "s", "public", ["USAGE"]), "no role"),
        (("sequence", "s", "", ["USAGE"]), "not a name"),
        (("sequence", "s", "member", "USAGE"), "on= is a list"),
        (("sequence", "s", "member", []), "on= is a list"),
        (("sequence", "s" * 64, "member", ["USAGE"]), "64 bytes"),
        (("schema", "shop", "member", ["USAGE"], "public"), "schema= is left out"),
        (("default tables", "a", "member", ["SELECT"], "b"), "schema= is left out"),
        (("schema", "jwtrole", "member", ["USAGE"]), "is not yours"),
        (("schema", "pg_catalog", "member", ["USAGE"]), "is not yours"),
        (("function", "login(text)", "member", ["EXECUTE"], "jwtrole"), "not yours"),
        (("function", "total", "member", ["EXECUTE"]), "types of its arguments"),
        (("function", "f(int); DROP TABLE t", "m", ["EXECUTE"]), "types of its"),
        (("function", "f(int) TO x --)", "m", ["EXECUTE"]), "types of its"),
        (("function", "f(a => 'x')", "m", ["EXECUTE"]), "types of its"),
    ],
)
def test_a_grant_that_cannot_work_is_refused(given: tuple[Any, ...], says: str) -> None:
    """An unknown kind, a wrong name or role, or the schema of the verifier."""
    with pytest.raises(ConfigurationError, match=says):
        GrantOn(*given)
