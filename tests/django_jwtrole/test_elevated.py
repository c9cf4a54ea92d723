"""The owner's way to its rows under FORCE."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, ProgrammingError, connections, models
from django.db.migrations import operations
from django.db.migrations.writer import OperationWriter
from django.db.models import F, Value

from django_jwtrole.elevated import AddFilledField, Elevated, elevated
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.history import LABEL, History, rows
from tests.django_jwtrole.test_life import Table, account, protected, state_of, tenant

if TYPE_CHECKING:
    from django.apps.registry import Apps

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

FORCED = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'bank_account'"
ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def history() -> History:
    """Return a protected table with two rows, and row security off as in migrate."""
    history = History()
    history.go(state_of([account()]))
    with elevated(model(history), using="owner"):
        for author in (ONE, TWO):
            model(history).objects.using("owner").create(author=author)
    with connections["owner"].cursor() as cursor:
        cursor.execute("SET LOCAL row_security = off")
    return history


def model(history: History) -> Any:
    """Return the model as it is now."""
    return history.state.apps.get_model(LABEL, "account")


def everything(history: History) -> list[Any]:
    """Return all rows, past row security."""
    with elevated(model(history), using="owner"):
        found = model(history).objects.using("owner").order_by("author")
        return list(found.values_list("author", flat=True))


def swap(apps: Apps, _editor: Any) -> None:
    """Change a row, as a data migration does."""
    accounts = apps.get_model(LABEL, "account").objects.using("owner")
    assert accounts.filter(author=ONE).update(author=uuid.UUID(int=3)) == 1


def swap_back(apps: Apps, _editor: Any) -> None:
    """Undo it."""
    accounts = apps.get_model(LABEL, "account").objects.using("owner")
    assert accounts.filter(author=uuid.UUID(int=3)).update(author=ONE) == 1


def test_a_data_migration_outside_is_an_error(history: History) -> None:
    """Under FORCE a data migration never changes a part of the rows unseen."""
    with pytest.raises(ProgrammingError, match="would be affected by row-level"):
        history.run(operations.RunPython(swap, swap_back))


def test_a_data_migration_inside_sees_every_row(history: History) -> None:
    """The declared block runs forwards and backwards, and leaves FORCE on."""
    block = Elevated(["Account"], [operations.RunPython(swap, swap_back)])
    before = everything(history)
    history.run(block)

    assert everything(history) == [TWO, uuid.UUID(int=3)]
    assert rows("owner", FORCED) == [(True,)]
    state, migration = history.done.pop()
    with connections["owner"].schema_editor() as editor:
        migration.unapply(state, editor)
    assert everything(history) == before
    assert rows("owner", FORCED) == [(True,)]
    assert block.describe() == "Run with all rows of Account"


def test_a_block_of_schema_changes_keeps_the_state(history: History) -> None:
    """Each operation inside meets the state that those before it have left."""
    note = models.TextField(default="new")
    history.run(
        Elevated(
            [f"{LABEL}.Account"],
            [
                operations.AddField("account", "note", note),
                operations.RenameField("account", "note", "remark"),
            ],
        )
    )

    assert [f.name for f in model(history)._meta.fields][-1] == "remark"
    assert rows("owner", FORCED) == [(True,)]


def test_a_block_is_as_reversible_as_what_is_in_it() -> None:
    """One operation without a way back makes the block one without."""
    inside = [operations.RunPython(swap)]

    assert not Elevated(["Account"], inside).reversible
    text, imports = OperationWriter(
        Elevated(["Account"], [operations.RunSQL("SELECT 1", "SELECT 2")])
    ).serialize()
    assert "reverse_sql='SELECT 2'" in text
    assert "import django_jwtrole.elevated" in imports


def test_a_block_that_fails_leaves_force_on(history: History) -> None:
    """What raised inside is undone, and nobody is let past row security."""

    def fail() -> None:
        with elevated(model(history), using="owner"):
            model(history).objects.using("owner").all().delete()
            msg = "stop"
            raise LookupError(msg)

    with pytest.raises(LookupError):
        fail()
    assert rows("owner", FORCED) == [(True,)]
    assert everything(history) == [ONE, TWO]


def test_deferred_constraints_are_checked_inside(history: History) -> None:
    """A pending foreign key would hold the table: it is checked in the block."""
    key = models.ForeignKey("bank.Account", models.CASCADE, null=True)
    child = Table(fields={"author": models.UUIDField(), "parent": key},
                  constraints=protected())  # fmt: skip
    history.go(state_of([child]))
    changed = model(history)
    with elevated(changed, using="owner"):
        first = changed.objects.using("owner").first()
        changed.objects.using("owner").filter(author=TWO).update(parent=first)
    assert rows("owner", FORCED) == [(True,)]

    with pytest.raises(IntegrityError), elevated(changed, using="owner"):
        changed.objects.using("owner").update(parent_id=0)


def test_a_table_that_is_not_forced_is_left_alone(history: History) -> None:
    """Nothing is switched on that was off."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE bank_account NO FORCE ROW LEVEL SECURITY")
    with elevated(model(history), using="owner"):
        pass

    assert rows("owner", FORCED) == [(False,)]


def test_the_applications_login_is_refused(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elevated work runs where the owner logs in, and says so elsewhere."""
    given = connections["default"].settings_dict["TEST"]
    monkeypatch.delitem(given, "JWTROLE_NOBODY")
    with pytest.raises(ConfigurationError, match="elevated work runs on 'owner'"):
        elevated(model(history), using="default").__enter__()


@pytest.mark.parametrize("fill", [Value(ONE), F("author"), ONE])
def test_a_filled_field_is_what_a_new_table_has(history: History, fill: Any) -> None:
    """Rows get the value, then come default, NOT NULL, index and policies."""
    fresh = History()
    wanted = state_of([tenant()])
    operations_ = [o for m in history.detected(wanted) for o in m.operations]
    [added] = [o for o in operations_ if isinstance(o, operations.AddField)]
    filled = AddFilledField(added.model_name, added.name, added.field, fill=fill)
    history.run(*(filled if o is added else o for o in operations_))

    assert history.detected(wanted) == []
    with elevated(model(history), using="owner"):
        found = model(history).objects.using("owner").order_by("author")
        tenants = list(found.values_list("tenant_id", flat=True))
    assert tenants == ([ONE, TWO] if isinstance(fill, F) else [ONE, ONE])
    column = (
        "SELECT attnotnull, pg_get_expr(adbin, adrelid), (SELECT count(*) FROM pg_index"
        " WHERE indrelid = attrelid AND attnum = ANY (indkey)) FROM pg_attribute"
        " JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        " WHERE attname = 'tenant_id' AND attrelid = 'bank_account'::regclass"
    )
    assert rows("owner", column) == [
        (True, "(jwtrole.claim('tenant_id'::text))::uuid", 1)
    ]
    assert fresh.state.models == {}
    assert "fill=" in OperationWriter(filled).serialize()[0]


def test_a_field_that_is_filled_in_part_is_refused(history: History) -> None:
    """A row that would belong to nobody fails the migration, loudly."""
    column = tenant().fields["tenant_id"]
    with pytest.raises(IntegrityError, match="null"):
        history.run(AddFilledField("account", "tenant_id", column, fill=Value(None)))
