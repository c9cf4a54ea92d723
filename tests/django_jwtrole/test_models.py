"""The abstract models: inherit, and the table is protected."""

from __future__ import annotations

import uuid

import pytest
from django.apps.registry import Apps
from django.db import DatabaseError, connection, models
from django.db.utils import ProgrammingError
from django.test.utils import isolate_apps

from django_jwtrole import Grant, Policy
from django_jwtrole.models import RowSecurityMixin, TenantMixin
from django_jwtrole.policy import RowSecurity
from django_jwtrole.testing import acting_as
from tests.django_jwtrole.conftest import ALICE, BLUE, RED
from tests.django_jwtrole.factories import InvoiceFactory, NoteFactory
from tests.django_project.billing.models import Invoice, Note

MEMBER = {"role": "member", "sub": str(ALICE), "tenant_id": str(RED)}


def _names(model: type[models.Model]) -> list[str]:
    return [constraint.name for constraint in model._meta.constraints]


def test_a_tenant_is_declared_by_inheritance() -> None:
    """TenantMixin brings row security, a policy and grants for each declared role."""
    assert _names(Invoice) == [
        "billing_invoice_rls",
        "billing_invoice_tenant",
        "billing_invoice_member",
        "billing_invoice_manager",
    ]


def test_row_security_joins_the_models_own_constraints() -> None:
    """A Meta that inherits nothing keeps its constraints and gets row security."""
    assert _names(Note) == ["billing_note_rls", "note_own", "note_member"]


@pytest.mark.django_db
def test_a_new_row_belongs_to_the_tenant_of_the_token() -> None:
    """create() needs no tenant and knows it afterwards."""
    with acting_as(**MEMBER):
        invoice = Invoice.objects.create(number="new")

    assert invoice.tenant_id == RED
    assert Invoice.objects.get().tenant_id == RED


@pytest.mark.django_db
def test_a_foreign_tenant_cannot_be_written() -> None:
    """A row of another tenant is refused, whatever the code says."""
    with acting_as(**MEMBER), pytest.raises(ProgrammingError, match="row-level"):
        Invoice.objects.create(number="new", tenant_id=BLUE)


@pytest.mark.django_db
def test_a_tenant_updates_and_deletes_its_own() -> None:
    """Update and delete reach the tenant's rows and no others."""
    InvoiceFactory()
    foreign = InvoiceFactory(tenant_id=BLUE)
    with acting_as(**MEMBER):
        assert Invoice.objects.update(number="mine") == 1
        assert Invoice.objects.all().delete()[0] == 1

    assert Invoice.objects.get() == foreign


@pytest.mark.django_db
def test_save_writes_granted_columns_alone() -> None:
    """A role with UPDATE on one column may save() the whole object."""
    note = NoteFactory(body="before")
    with acting_as(**MEMBER):
        mine = Note.objects.get()
        mine.body, mine.pinned = "after", True
        mine.save()
    note.refresh_from_db()

    assert (note.body, note.pinned) == ("after", False)


@pytest.mark.django_db
def test_save_respects_what_the_caller_says() -> None:
    """update_fields is sent as given, to be refused by the database if it must be."""
    NoteFactory()
    with acting_as(**MEMBER), pytest.raises(ProgrammingError, match="permission"):
        Note.objects.get().save(update_fields=["pinned"])


@pytest.mark.django_db
def test_save_skips_deferred_fields() -> None:
    """A field that was not read is not written either."""
    note = NoteFactory(body="before")
    with acting_as(**MEMBER):
        Note.objects.defer("body").get().save()
    note.refresh_from_db()

    assert note.body == "before"


@pytest.mark.django_db
def test_a_role_without_grants_is_refused_by_the_database() -> None:
    """Where nothing is granted nothing is left out: the database says no."""
    note = NoteFactory()
    with acting_as(role="manager"), pytest.raises(ProgrammingError, match="permission"):
        note.save()


@pytest.mark.django_db
def test_a_row_that_is_not_the_roles_own_is_not_saved() -> None:
    """Saving what policies hide is an error, not an insert."""
    note = NoteFactory(author=uuid.uuid4())
    with acting_as(**MEMBER), pytest.raises(DatabaseError, match="did not affect"):
        note.save()


@pytest.mark.django_db
def test_whole_grants_and_the_owner_save_whole_objects() -> None:
    """Nothing is left out for a role with UPDATE on the table, nor outside requests."""
    invoice, note = InvoiceFactory(), NoteFactory()
    with acting_as(**MEMBER):
        invoice.number = "changed"
        invoice.save()
        invoice.save(using="default")
    note.pinned = True
    note.save()

    assert Note.objects.get().pinned
    assert Invoice.objects.get().number == "changed"


@isolate_apps("tests.django_project.billing")
def test_historical_models_keep_what_their_migration_says() -> None:
    """A model outside the project's registry gets nothing injected."""

    class Old(TenantMixin):
        class Meta:
            app_label = "billing"
            apps = Apps()

    assert _names(Old) == []


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Apps:
    """Return a registry that counts as the project's own."""
    found = Apps()
    monkeypatch.setattr("django_jwtrole.models.apps", found)
    return found


def test_everything_about_a_tenant_can_be_changed(registry: Apps) -> None:
    """Claim, roles, privileges and the column's type are the model's to choose."""

    class Order(TenantMixin):
        tenant_claim = "org"
        tenant_roles = ("manager",)
        tenant_privileges = ("SELECT",)
        tenant_id = models.IntegerField(db_default=7)

        class Meta:
            app_label = "billing"
            apps = registry
            constraints = (RowSecurity(name="billing_order_rls"),)

    policy, grant, _ = Order._meta.constraints
    assert isinstance(policy, Policy)
    assert isinstance(grant, Grant)
    compiler = Order.objects.filter(policy.using).query
    assert """= (SELECT jwtrole.claim('org')::integer)""" in str(compiler)
    assert (grant.to, grant.on) == ("manager", ("SELECT",))
    assert Order._meta.get_field("tenant_id").db_default == 7


def test_another_claim_changes_the_default_too(registry: Apps) -> None:
    """The column's default reads the claim that the policy compares with."""

    class Order(TenantMixin):
        tenant_claim = "org"

        class Meta:
            app_label = "billing"
            apps = registry

    assert Order._meta.get_field("tenant_id").db_default.name == "org"
    assert Invoice._meta.get_field("tenant_id").db_default.name == "tenant_id"


def test_a_child_table_is_closed_and_warned_of(registry: Apps) -> None:
    """The second table of multi-table inheritance is closed, and a check says so."""

    class Parent(TenantMixin):
        class Meta:
            app_label = "billing"
            apps = registry

    class Child(Parent):
        class Meta:
            app_label = "billing"
            apps = registry

    class Proxy(Parent):
        class Meta:
            app_label = "billing"
            apps = registry
            proxy = True

    assert _names(Child) == ["billing_child_rls"]
    assert _names(Proxy) == []
    assert "jwtrole.W001" in [message.id for message in Child.check()]
    assert "jwtrole.W001" not in [message.id for message in Parent.check()]
    assert "jwtrole.W001" not in [message.id for message in Proxy.check()]


def test_long_names_are_cut_to_what_postgresql_keeps(registry: Apps) -> None:
    """Two long model names never share a policy's name."""
    names = []
    for tail in "ab":
        meta = type("Meta", (), {"app_label": "billing", "apps": registry})
        attributes = {"Meta": meta, "__module__": __name__}
        model = type("M" * 60 + tail, (RowSecurityMixin,), attributes)
        names += _names(model)

    assert all(len(name) <= 63 for name in names)
    assert len(set(names)) == 2
    assert connection.vendor == "postgresql"
