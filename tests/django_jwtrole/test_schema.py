"""What happens to columns and tables that policies read."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations import operations
from django.db.models import Q

from django_jwtrole import Policy
from django_jwtrole.elevated import elevated
from django_jwtrole.postgresql.schema import PolicyEditorMixin, editor_class
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.history import LABEL, History, rows
from tests.django_jwtrole.test_life import Table, account, keyed, own, state_of, tenant

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

QUALS = (
    "SELECT policyname::text, qual FROM pg_policies"
    " WHERE tablename LIKE 'bank%' ORDER BY 1"
)
READS_OTHER = """
CREATE POLICY by_hand ON bank_account TO member
    USING (author IN (SELECT owner FROM bank_branch WHERE open))
"""


@pytest.fixture
def history() -> History:
    """Return an empty schema."""
    return History()


def branch(**fields: models.Field[Any, Any]) -> Table:
    """Return a table that policies of another one read."""
    own = {"owner": models.UUIDField(), "open": models.BooleanField(default=True)}
    return Table("Branch", {**own, **fields})


def remove(model: str, name: str) -> operations.RemoveField:
    """Return what removes a field."""
    return operations.RemoveField(model, name)


def test_a_column_that_another_tables_policy_reads_stays(history: History) -> None:
    """DROP COLUMN ... CASCADE would take the policy along; it is refused by name."""
    history.go(state_of([branch(), account()]))
    history.run(operations.RunSQL(READS_OTHER, "DROP POLICY by_hand ON bank_account"))
    before = rows("owner", QUALS)

    for name in ("owner", "open"):
        with pytest.raises(ConfigurationError, match="'by_hand' on bank_account"):
            history.run(remove("branch", name))
    assert rows("owner", QUALS) == before


def test_a_table_that_another_tables_policy_reads_stays(history: History) -> None:
    """DROP TABLE ... CASCADE would take it along as well."""
    history.go(state_of([branch(), account()]))
    history.run(operations.RunSQL(READS_OTHER, "DROP POLICY by_hand ON bank_account"))

    with pytest.raises(ConfigurationError, match="bank_branch is read by these"):
        history.go(state_of([account()]))
    history.back()


def test_a_column_is_removed_after_its_policy(history: History) -> None:
    """In the wrong order it is refused, with the order to choose; then it goes."""
    tables = keyed(models.IntegerField(unique=True))
    history.go(state_of(tables))
    constraint = operations.RemoveConstraint("account", "bank_branch")

    with pytest.raises(ConfigurationError, match="put RemoveConstraint before"):
        history.run(remove("account", "branch"), constraint)
    history.run(constraint, remove("account", "branch"))
    assert rows("owner", QUALS) == []
    history.back()


def test_a_change_of_type_keeps_what_nobody_declared(history: History) -> None:
    """A policy made by hand is put back as PostgreSQL has it, comment and all."""
    made = "CREATE POLICY by_hand ON bank_account AS RESTRICTIVE FOR UPDATE TO PUBLIC"
    history.go(state_of([Table(fields={"n": models.IntegerField()})]))
    history.run(
        operations.RunSQL(
            [
                f"{made} USING (n IS NOT NULL) WITH CHECK (n IS NOT NULL)",
                "COMMENT ON POLICY by_hand ON bank_account IS 'it''s mine'",
            ],
            "DROP POLICY by_hand ON bank_account",
        )
    )
    query = (
        "SELECT polname::text, polcmd, polpermissive, polroles::text,"
        " pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid),"
        " obj_description(oid, 'pg_policy') FROM pg_policy ORDER BY 1"
    )
    before = rows("owner", query)
    history.run(operations.AlterField("account", "n", models.BigIntegerField()))
    assert rows("owner", query) == before
    assert [row[-1] for row in before if row[0] == "by_hand"] == ["it's mine"]
    history.back()


def test_a_change_that_no_policy_survives_changes_nothing(history: History) -> None:
    """Where a policy fits the new type no more, the error leaves the old one there."""
    history.go(state_of([Table(fields={"n": models.IntegerField()}, constraints=[
        Policy(name="bank_n", using=Q(n__gt=3), to=["member"])])]))  # fmt: skip
    before = rows("owner", QUALS)

    with pytest.raises(Exception, match="date"):
        history.run(operations.AlterField("account", "n", models.DateField()))
    assert rows("owner", QUALS) == before


def test_a_tenant_is_added_to_an_empty_table_alone(history: History) -> None:
    """Rows that are there would need the claim of nobody: that is said, and undone."""
    history.go(state_of([account()]))
    added = [
        o for m in history.detected(state_of([tenant()])) for o in m.operations
        if isinstance(o, operations.AddField)
    ]  # fmt: skip
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE bank_account NO FORCE ROW LEVEL SECURITY")
        cursor.execute("INSERT INTO bank_account (author) VALUES (gen_random_uuid())")
        cursor.execute("ALTER TABLE bank_account FORCE ROW LEVEL SECURITY")

    with pytest.raises(ConfigurationError, match=r"has rows.*AddFilledField"):
        history.run(*added)
    assert rows("owner", "SELECT count(*) FROM pg_attribute WHERE attname = 'tenant_id'"
                " AND attrelid = 'bank_account'::regclass") == [(0,)]  # fmt: skip


def test_a_tenant_may_be_nobody(history: History) -> None:
    """A nullable column takes the claim as its default and leaves old rows without."""
    table = tenant()
    table.fields["tenant_id"].null = True
    history.go(state_of([account()]))
    history.go(state_of([table]))
    query = (
        "SELECT attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute"
        " JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        " WHERE attname = 'tenant_id' AND attrelid = 'bank_account'::regclass"
    )

    assert rows("owner", query) == [(False, "(jwtrole.claim('tenant_id'::text))::uuid")]
    history.back()


def test_what_sqlmigrate_shows_is_asked_of_no_table(history: History) -> None:
    """Collecting SQL reads no catalogue and drops nothing."""
    history.go(state_of([account()]))
    model = history.state.apps.get_model(LABEL, "account")
    with connections["owner"].schema_editor(collect_sql=True) as editor:
        editor.remove_field(model, model._meta.get_field("author"))
        editor.delete_model(model)

    assert any("DROP TABLE" in statement for statement in editor.collected_sql)


def test_the_editor_goes_before_any_other() -> None:
    """Whatever editor an engine has by now, ours comes first, and once."""
    stock = connections["owner"].SchemaEditorClass
    ours = editor_class(stock)

    assert ours.__mro__[1] is PolicyEditorMixin
    assert editor_class(ours) is ours
    assert own().name == "bank_own"


@pytest.mark.parametrize("rows_are_there", [False, True])
def test_a_foreign_key_to_a_protected_table_can_be_added(
    history: History, rows_are_there: bool
) -> None:
    """PostgreSQL checks it as the owner, who is let in for that statement alone."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("SET LOCAL row_security = off")
    history.go(state_of([account(), Table("Child", {"n": models.IntegerField()})]))
    if rows_are_there:
        model: Any = history.state.apps.get_model(LABEL, "account")
        with elevated(model, using="owner"):
            model.objects.using("owner").create(author=uuid.uuid4())
    key = models.ForeignKey("bank.Account", models.CASCADE, null=True)
    history.go(
        state_of([account(), Table("Child", {"n": models.IntegerField(), "of": key})])
    )
    other = models.ForeignKey("bank.Account", models.CASCADE)
    history.go(
        state_of(
            [
                account(),
                Table("Child", {"n": models.IntegerField(), "of": key}),
                Table("Grandchild", {"of": other}),
            ]
        )
    )

    forced = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'bank_account'"
    assert rows("owner", forced) == [(True,)]
    history.back()
