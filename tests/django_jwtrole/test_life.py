"""The whole life of a schema: each step autodetected, undone, and done again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import models
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Q

from django_jwtrole import Claim, Grant, Policy
from django_jwtrole.expressions import ClaimDefault
from django_jwtrole.policy import RowSecurity
from tests.django_jwtrole.history import LABEL, History, rows

pytestmark = pytest.mark.django_db(databases=["default", "owner"], transaction=False)

PROTECTION = """
SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
    ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1),
    ARRAY(SELECT a.grantee::regrole::text || ':' || a.privilege_type
          FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner ORDER BY 1)
FROM pg_class c WHERE c.relname LIKE 'bank%%' AND c.relkind IN ('r', 'p') ORDER BY 1
"""
CLAUSES = """
SELECT tablename::text, policyname::text, cmd, permissive, roles::text, qual, with_check
FROM pg_policies WHERE tablename LIKE 'bank%%' ORDER BY 1, 2
"""
UUIDS = models.UUIDField()


@dataclass
class Table:
    """Be a model, as one of the states has it."""

    name: str = "Account"
    fields: dict[str, models.Field[Any, Any]] = field(
        default_factory=lambda: {"author": models.UUIDField()}
    )
    constraints: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def add_to(self, state: ProjectState) -> None:
        """Add it to a state."""
        fields = {"id": models.BigAutoField(primary_key=True), **self.fields}
        given = {"constraints": self.constraints, **self.options}
        state.add_model(ModelState(LABEL, self.name, list(fields.items()), given))


def own(column: str = "author", name: str = "bank_own", **given: Any) -> Policy:
    """Return the policy of whose rows they are."""
    using = Q(**{column: Claim("sub", UUIDS)})
    return Policy(**{"name": name, "using": using, "to": ["member"], **given})


def protected(*extra: Any, column: str = "author") -> list[Any]:
    """Return what protects the table."""
    return [
        RowSecurity(name="bank_rls"),
        own(column),
        Grant(name="bank_grant", to="member", on=["SELECT", "INSERT"]),
        *extra,
    ]


def account(*extra: Any, **given: Any) -> Table:
    """Return the protected table."""
    return Table(constraints=protected(*extra), **given)


def renamed(column: str) -> Table:
    """Return the table with another name of its column."""
    return Table(
        fields={column: models.UUIDField()}, constraints=protected(column=column)
    )


def amount(kind: models.Field[Any, Any]) -> Table:
    """Return the table with a column that a policy reads, of some type."""
    policy = Policy(name="bank_rich", using=Q(amount__gt=10), to=["member"])
    return account(policy, fields={"author": models.UUIDField(), "amount": kind})


def keyed(kind: models.Field[Any, Any]) -> list[Table]:
    """Return two tables, a policy reading the foreign key to a key of some type."""
    parent = Table("Branch", {"code": kind})
    key = models.ForeignKey("bank.Branch", models.CASCADE, to_field="code")
    policy = Policy(name="bank_branch", using=Q(branch__gt=0), to=["member"])
    return [parent, Table(fields={"branch": key}, constraints=[policy])]


def tenant(**given: Any) -> Table:
    """Return the table with a tenant that the database fills in."""
    column = models.UUIDField(
        db_default=ClaimDefault("tenant_id", UUIDS), db_index=True, editable=False
    )
    using = Q(tenant_id=Claim("tenant_id", UUIDS))
    policy = Policy(name="bank_tenant", using=using, to=["member"])
    fields = {"author": models.UUIDField(), "tenant_id": column}
    return Table(fields=fields, constraints=protected(policy), **given)


def grant(*on: str, name: str = "bank_grant", to: str = "member") -> Table:
    """Return the table with another grant."""
    constraints = [c for c in protected() if c.name != "bank_grant"]
    return Table(constraints=[*constraints, Grant(name=name, to=to, on=list(on))])


OTHER = Policy(name="bank_other", using=Q(author__isnull=False), to=["manager"])
BARE = Table()
WIDE = {"author": models.UUIDField(), "note": models.TextField(null=True)}

# What each step leads to, from what came before it.
STEPS: dict[str, list[Table]] = {
    "a bare table": [BARE],
    "protect it": [account()],
    "unprotect it": [BARE],
    "protect it again": [account()],
    "a second policy": [account(OTHER)],
    "rename a policy": [
        account(Policy(name="bank_more", using=OTHER.using, to=["manager"]))
    ],
    "remove a policy": [account()],
    "another role": [Table(constraints=[*protected()[:1], own(to=["manager"])])],
    "two roles": [Table(constraints=[*protected()[:1], own(to=["member", "manager"])])],
    "everybody": [Table(constraints=[*protected()[:1], own(to=["PUBLIC"])])],
    "back to a grant": [account()],
    "one command": [Table(constraints=[*protected()[:1], own(command="SELECT")])],
    "an INSERT alone": [
        Table(
            constraints=[
                RowSecurity(name="bank_rls"),
                Policy(
                    name="bank_own",
                    check=Q(author=Claim("sub", UUIDS)),
                    command="INSERT",
                    to=["member"],
                ),
            ]
        )
    ],
    "restrictive": [account(own(name="bank_only", permissive=False))],
    "with a check of its own": [account(own(name="bank_only", check=Q(id__gt=0)))],
    "without it again": [account(own(name="bank_only"))],
    "odd literals": [
        account(
            Policy(name="bank_odd", using=Q(note="50% 'off' \\ : %s"), to=["member"]),
            fields=WIDE,
        )
    ],
    "a column that goes": [account()],
    "another column": [account(fields=WIDE)],
    "UPDATE of one column": [
        Table(
            constraints=[
                *protected()[:2],
                Grant(name="bank_grant", to="member", on=["UPDATE(note)"]),
            ],
            fields=WIDE,
        )
    ],
    "fewer grants": [grant("SELECT")],
    "more grants": [grant("SELECT", "INSERT", "DELETE")],
    "a renamed grant": [grant("SELECT", name="bank_granted")],
    "a grant to another": [grant("SELECT", to="manager")],
    "back to the start": [account()],
    "rename the field": [renamed("holder")],
    "rename it back": [account()],
    "rename the model": [account(name="Ledger")],
    "rename the table": [account(name="Ledger", options={"db_table": "bank_book"})],
    "all back": [account()],
    "a number that a policy reads": [amount(models.IntegerField(null=True))],
    "a wider number": [amount(models.BigIntegerField(null=True))],
    "a decimal": [
        amount(models.DecimalField(max_digits=9, decimal_places=2, null=True))
    ],
    "a narrow number again": [amount(models.IntegerField(null=True))],
    "nothing of it": [account()],
    "a foreign key that a policy reads": keyed(models.IntegerField(unique=True)),
    "its key grows": keyed(models.BigIntegerField(unique=True)),
    "and shrinks": keyed(models.IntegerField(unique=True)),
    "the policy goes": [
        keyed(models.IntegerField(unique=True))[0],
        Table(fields=keyed(models.IntegerField(unique=True))[1].fields),
    ],
    "both tables go": [account()],
    "a tenant": [tenant()],
    "a template of the text": [
        Table(constraints=[*protected()[:1], own(template=0), *protected()[2:]])
    ],
    "the newest template": [account()],
    "nothing at all": [],
}


def state_of(tables: list[Table]) -> ProjectState:
    """Return the state in which these tables are there."""
    state = ProjectState()
    for table in tables:
        table.add_to(state)
    return state


def protection() -> tuple[Any, Any]:
    """Return what the database has."""
    return rows("owner", PROTECTION), rows("owner", CLAUSES)


def test_there_are_forty_steps() -> None:
    """The table is long enough to be a life."""
    assert len(STEPS) >= 40


def test_a_whole_life_forwards_backwards_and_forwards_again() -> None:
    """Each step leaves what a fresh start would have made, and the way back nothing."""
    history = History()
    seen = []
    for name, tables in STEPS.items():
        assert history.go(state_of(tables)), name
        seen.append(protection())
    history.back()
    assert protection() == ([], [])
    history.again()
    assert protection() == seen[-1]


@pytest.mark.parametrize("name", [n for n, tables in STEPS.items() if tables])
def test_each_step_is_what_a_fresh_start_makes(name: str) -> None:
    """What was altered and what is new are the same to the last clause."""
    names = list(STEPS)
    before = STEPS[names[names.index(name) - 1]] if name != names[0] else []
    fresh, altered = History(), History()
    fresh.go(state_of(STEPS[name]))
    made = protection()
    fresh.back()
    altered.go(state_of(before))
    if before:
        altered.go(state_of(STEPS[name]))
        assert protection() == made
    altered.back()
    assert protection() == ([], [])
