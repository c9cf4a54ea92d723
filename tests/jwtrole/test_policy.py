from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.identity import Identity
from jwtrole.policy import (
    TEMPLATE,
    Policy,
    claim_default,
    claim_expression,
    disable_row_security,
    enable_row_security,
    sealed_clause,
)
from jwtrole.roles import Grant

if TYPE_CHECKING:
    import psycopg

    from tests.jwtrole.conftest import Sandbox

RED, BLUE = (uuid.UUID(int=n) for n in (1, 2))
ANN = Identity("member", {"sub": "ann", "tenant_id": str(RED), "level": 3})
BOB = Identity("member", {"sub": "bob", "tenant_id": str(BLUE), "level": 1})
BOSS = Identity("manager", {"sub": "carol", "tenant_id": str(RED)})

#: Names and values that break whoever quotes them wrongly.
ODD = (
    "it's",
    'say "no"',
    "back\\slash",
    "'; DROP TABLE invoice; --",
    "%s %(x)s $1 {0}",
    "Größe 日本 \N{PILE OF POO}",
    "$do$ $body$",
    "  spaces  ",
    "line\nbreak",
)

TENANT_DEFAULT = claim_default("tenant_id", "uuid")
TENANT = f"tenant_id = {claim_expression('tenant_id', 'uuid')}"


def invoice_table(*policies: Policy, to: tuple[str, ...] = ("member",)) -> list[str]:
    """Return the statements that make a protected table with rows of two tenants."""
    return [
        (
            f"CREATE TABLE invoice (tenant_id uuid NOT NULL DEFAULT {TENANT_DEFAULT},"
            f" number text)"
        ),
        f"INSERT INTO invoice VALUES ('{RED}', 'red 1'), ('{BLUE}', 'blue 1')",
        *enable_row_security("invoice"),
        *(statement for policy in policies for statement in policy.create()),
        *(
            Grant(
                table="invoice", role=role, on=("SELECT", "INSERT", "UPDATE", "DELETE")
            ).grant()[0]
            for role in to
        ),
    ]


def tenant_policy(**changes: object) -> Policy:
    """Return the policy of the tests' table, or one that differs in something."""
    given: dict[str, object] = {
        "name": "tenant", "table": "invoice", "to": ("member",), "using": TENANT,
    }  # fmt: skip
    return Policy(**{**given, **changes})  # type: ignore[arg-type]


def test_each_tenant_sees_its_own_rows(sandbox: Sandbox) -> None:
    """Of one table each tenant's token opens that tenant's rows alone."""
    sandbox.owner(*invoice_table(tenant_policy()))

    assert sandbox.acting(ANN, "SELECT number FROM invoice") == [("red 1",)]
    assert sandbox.acting(BOB, "SELECT number FROM invoice") == [("blue 1",)]


def test_each_tenant_writes_its_own_rows(sandbox: Sandbox) -> None:
    """No tenant changes, deletes, or plants a row of another's."""
    sandbox.owner(*invoice_table(tenant_policy()))
    sandbox.become(ANN)

    assert sandbox.run("UPDATE invoice SET number = 'mine' RETURNING tenant_id") == [
        (RED,)
    ]
    assert sandbox.refused(f"INSERT INTO invoice VALUES ('{BLUE}', 'x')") == "42501"
    assert sandbox.refused(f"UPDATE invoice SET tenant_id = '{BLUE}'") == "42501"
    assert sandbox.run("DELETE FROM invoice RETURNING tenant_id") == [(RED,)]


def test_the_default_writes_the_tenant(sandbox: Sandbox) -> None:
    """A row inserted without a tenant belongs to the token's tenant."""
    sandbox.owner(*invoice_table(tenant_policy()))

    sandbox.acting(BOB, "INSERT INTO invoice (number) VALUES ('blue 2')")

    assert sandbox.run("SELECT number FROM invoice ORDER BY 1") == [
        ("blue 1",), ("blue 2",),
    ]  # fmt: skip


def test_a_role_outside_the_policy_sees_nothing(sandbox: Sandbox) -> None:
    """A role that the policy is not for sees no row, whatever it was granted."""
    sandbox.owner(*invoice_table(tenant_policy(), to=("member", "manager")))

    assert sandbox.acting(BOSS, "SELECT number FROM invoice") == []


def test_force_holds_for_the_owner(sandbox: Sandbox) -> None:
    """The owner of the table sees no row of it and writes none, either."""
    sandbox.owner(*invoice_table(tenant_policy()))

    assert sandbox.run("SELECT number FROM invoice") == []
    assert sandbox.refused(f"INSERT INTO invoice VALUES ('{RED}', 'x')") == "42501"


def test_row_security_can_be_turned_off_again(sandbox: Sandbox) -> None:
    """What enable_row_security turns on, disable_row_security turns off, FORCE too."""
    flags = (
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class"
        " WHERE oid = 'invoice'::regclass"
    )
    assert sandbox.owner(*invoice_table(), flags) == [(True, True)]

    assert sandbox.owner(*disable_row_security("invoice"), flags) == [(False, False)]
    assert len(sandbox.run("SELECT 1 FROM invoice")) == 2


def test_a_claim_is_read_once_a_statement(sandbox: Sandbox) -> None:
    """The plan reads the claim in an InitPlan, before the first row."""
    sandbox.owner(*invoice_table(tenant_policy()))

    plan = sandbox.acting(ANN, "EXPLAIN SELECT number FROM invoice")

    assert any("InitPlan" in line for (line,) in plan)


def test_a_missing_claim_opens_no_row(sandbox: Sandbox) -> None:
    """A token without the claim sees nothing and is told nothing."""
    sandbox.owner(*invoice_table(tenant_policy()))

    without = Identity("member", {"sub": "dan"})
    assert sandbox.acting(without, "SELECT number FROM invoice") == []


def test_without_an_identity_the_policy_raises(sandbox: Sandbox) -> None:
    """A session that merely switched its role gets an error, not an empty answer."""
    sandbox.owner(*invoice_table(tenant_policy()))
    sandbox.run("SET LOCAL ROLE member")

    assert sandbox.refused("SELECT number FROM invoice") == "JW006"


def test_a_sealed_clause_opens_nothing_to_a_switched_role(sandbox: Sandbox) -> None:
    """Even USING (true) of a stronger role is closed to who switched to it."""
    everything = sealed_clause("true OR false")
    policy = tenant_policy(to=("manager",), using=everything)
    sandbox.owner(*invoice_table(policy, to=("manager",)))

    assert len(sandbox.acting(BOSS, "SELECT 1 FROM invoice")) == 2
    sandbox.become(ANN)
    sandbox.run("SET LOCAL ROLE manager")
    assert sandbox.run("SELECT 1 FROM invoice") == []
    assert sandbox.refused(f"INSERT INTO invoice VALUES ('{RED}', 'x')") == "42501"


def test_each_command_is_for_itself(sandbox: Sandbox) -> None:
    """Policies for single commands open those commands and no other."""
    sandbox.owner(
        *invoice_table(
            tenant_policy(name="see", command="SELECT"),
            tenant_policy(name="add", command="INSERT", using=None, check=TENANT),
        )
    )
    sandbox.become(ANN)

    assert sandbox.run("SELECT number FROM invoice") == [("red 1",)]
    assert sandbox.run("INSERT INTO invoice (number) VALUES ('n') RETURNING 1") == [
        (1,)
    ]
    assert sandbox.run("UPDATE invoice SET number = 'x' RETURNING 1") == []
    assert sandbox.run("DELETE FROM invoice RETURNING 1") == []


def test_a_restrictive_policy_narrows(sandbox: Sandbox) -> None:
    """A restrictive policy takes rows away from what the permissive ones open."""
    level = f"{claim_expression('level', 'int')} >= 2"
    sandbox.owner(
        *invoice_table(
            tenant_policy(),
            tenant_policy(name="level", using=level, permissive=False),
        )
    )

    assert sandbox.acting(ANN, "SELECT number FROM invoice") == [("red 1",)]
    assert sandbox.acting(BOB, "SELECT number FROM invoice") == []


def test_using_and_check_are_told_apart(sandbox: Sandbox) -> None:
    """A row may be seen by one clause and be written by another alone."""
    policy = tenant_policy(check="number LIKE 'ok%'")
    sandbox.owner(*invoice_table(policy))
    sandbox.become(ANN)

    assert sandbox.refused("UPDATE invoice SET number = 'bad'") == "42501"
    assert sandbox.run("UPDATE invoice SET number = 'ok' RETURNING 1") == [(1,)]


def test_public_is_everybody(sandbox: Sandbox) -> None:
    """PUBLIC, spelled out, means each role."""
    sandbox.owner(*invoice_table(tenant_policy(to=("PUBLIC",)), to=("PUBLIC",)))

    assert sandbox.acting(BOSS, "SELECT number FROM invoice") == [("red 1",)]


def test_several_roles_share_a_policy(sandbox: Sandbox) -> None:
    """A policy is for each role it names."""
    both = ("member", "manager")
    sandbox.owner(*invoice_table(tenant_policy(to=both), to=both))

    assert sandbox.acting(BOSS, "SELECT number FROM invoice") == [("red 1",)]
    assert sandbox.acting(BOB, "SELECT number FROM invoice") == [("blue 1",)]


def test_the_hash_stands_in_the_comment(sandbox: Sandbox) -> None:
    """The database knows which version of which policy it has."""
    policy = tenant_policy()
    sandbox.owner(*invoice_table(policy))

    assert sandbox.run(
        "SELECT obj_description(oid, 'pg_policy') FROM pg_policy"
        " WHERE polrelid = 'invoice'::regclass"
    ) == [(f"jwtrole:{TEMPLATE}:{policy.hash}",)]


def test_a_policy_is_dropped_and_never_missed_silently(sandbox: Sandbox) -> None:
    """Drop takes the policy away, and the second time it is an error."""
    policy = tenant_policy()
    sandbox.owner(*invoice_table(policy))

    sandbox.run(*policy.drop())

    assert sandbox.run("SELECT 1 FROM pg_policies WHERE tablename = 'invoice'") == []
    assert sandbox.refused(*policy.drop()) == "42704"


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_names_and_values_mean_themselves(
    sandbox: Sandbox, odd: str, conforming: str
) -> None:
    """Whatever a table, a column, a policy or a claim is called, it is only a name."""
    sandbox.run(f"SET LOCAL standard_conforming_strings = {conforming}")
    sandbox.run("SET LOCAL escape_string_warning = off")
    quoted = '"' + odd.replace('"', '""') + '"'
    policy = Policy(
        name=odd,
        table=odd,
        schema=odd,
        to=("member",),
        using=f"{quoted} = {claim_expression(odd)}",
    )
    grant = Grant(schema=odd, table=odd, role="member", on=("SELECT",))
    sandbox.owner(
        f"CREATE SCHEMA {quoted}",
        f"GRANT USAGE ON SCHEMA {quoted} TO member",
        f"CREATE TABLE {quoted}.{quoted} ({quoted} text DEFAULT {claim_default(odd)})",
        *enable_row_security(odd, odd),
        *policy.create(),
        *grant.grant(),
    )
    sandbox.run(f"GRANT INSERT ON {quoted}.{quoted} TO member")
    sandbox.acting(Identity("member", {odd: odd}), f"TABLE {quoted}.{quoted}")
    sandbox.run(f"INSERT INTO {quoted}.{quoted} DEFAULT VALUES")

    assert sandbox.run(f"TABLE {quoted}.{quoted}") == [(odd,)]
    assert (
        sandbox.acting(Identity("member", {odd: "else"}), f"TABLE {quoted}.{quoted}")
        == []
    )
    sandbox.owner(*grant.revoke(), *policy.drop(), *disable_row_security(odd, odd))


@pytest.mark.parametrize("odd", [*ODD[:-1], "MiXed", "none of them", "Public"])
def test_odd_roles_mean_themselves(admin: psycopg.Connection, odd: str) -> None:
    """Whatever a role is called, the policy and the grant are for that role."""
    role = f"{odd} {uuid.uuid4().hex[:8]}"
    policy = Policy(name="p", table="odd_roles", to=(role,), using="true")
    grant = Grant(table="odd_roles", role=role, on=("SELECT",))
    quoted = '"' + role.replace('"', '""') + '"'
    with admin.transaction(force_rollback=True):
        for statement in (
            f"CREATE ROLE {quoted}",
            "CREATE TABLE odd_roles ()",
            *policy.create(),
            *grant.grant(),
        ):
            admin.execute(statement.encode())
        row = admin.execute(
            "SELECT polroles = ARRAY[r.oid],"
            " has_table_privilege(r.oid, polrelid, 'SELECT')"
            " FROM pg_policy, pg_roles AS r"
            " WHERE polrelid = 'odd_roles'::regclass AND rolname = %s",
            (role,),
        ).fetchone()

    assert row == (True, True)


def test_a_claim_of_type_text_needs_no_cast() -> None:
    """A text claim is compared as it is, any other is cast inside the sub-select."""
    assert claim_expression("sub") == "(SELECT jwtrole.claim('sub'))"
    assert claim_expression("sub", "TEXT") == "(SELECT jwtrole.claim('sub'))"
    assert claim_expression("n", "int") == "(SELECT jwtrole.claim('n')::int)"
    assert claim_default("n", "int") == "jwtrole.claim('n')::int"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"command": "TRUNCATE"}, "'TRUNCATE' is none of ALL, SELECT"),
        ({"command": "select"}, "'select' is none of ALL, SELECT"),
        ({"to": ()}, "to= is a list of roles"),
        ({"to": "member"}, "to= is a list of roles"),
        ({"to": ("public",)}, "'public' is no role.*spell 'PUBLIC'"),
        ({"to": ("none",)}, "'none' is no role"),
        ({"to": ("",)}, "'' is not a name"),
        ({"to": ("r" * 64,)}, "has 64 bytes"),
        ({"using": None}, "give using=, check= or both"),
        ({"command": "INSERT"}, "has check= alone"),
        ({"command": "SELECT", "check": "true"}, "has using= alone"),
        ({"command": "DELETE", "check": "true"}, "has using= alone"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(
    change: dict[str, object], complaint: str
) -> None:
    """A declaration that PostgreSQL would refuse or misread fails where it stands."""
    with pytest.raises(ConfigurationError, match=complaint):
        tenant_policy(**change)


@pytest.mark.parametrize("name", ["", "n" * 64, "ü" * 32, "nul\0"])
def test_a_name_that_postgresql_would_cut_is_refused(name: str) -> None:
    """A policy's name that PostgreSQL does not keep as it is never reaches it."""
    with pytest.raises(ConfigurationError):
        tenant_policy(name=name).create()


def test_the_hash_changes_with_what_the_policy_means() -> None:
    """Command, roles, both expressions and the mode each change the hash."""
    changes: list[dict[str, object]] = [
        {},
        {"command": "UPDATE"},
        {"to": ("manager",)},
        {"to": ("member", "manager")},
        {"to": ("member,manager",)},
        {"using": "true"},
        {"check": "true"},
        {"using": None, "check": TENANT},
        {"permissive": False},
    ]

    assert len({tenant_policy(**change).hash for change in changes}) == len(changes)


def test_the_hash_ignores_what_the_policy_does_not_mean() -> None:
    """The order of roles, and the names of policy and table, change no hash."""
    both = tenant_policy(to=("member", "manager"))

    assert both.hash == tenant_policy(to=("manager", "member")).hash
    assert both.hash == tenant_policy(name="p", table="t", to=both.to).hash


def test_the_frozen_hash() -> None:
    """The hash of a policy is the same in each release, for migrations hold it."""
    policy = Policy(
        name="p", table="t", to=("b", "a"), using="x > 0", check="y", command="UPDATE"
    )

    assert policy.hash == "3b650818c4c3c5a7"


def test_statements_without_a_schema_follow_the_search_path(sandbox: Sandbox) -> None:
    """A table without a schema is the first on the search path."""
    sandbox.owner(
        "CREATE SCHEMA branch", "SET LOCAL search_path = branch", *invoice_table()
    )

    assert sandbox.run(
        "SELECT relnamespace::regnamespace::text FROM pg_class"
        " WHERE relname = 'invoice' AND relforcerowsecurity"
    ) == [("branch",)]
