"""What the mixins declare of a model, alone, together and inherited."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection, connections, models
from django.db.migrations.state import AppConfigStub, ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter

from django_jwtrole import Claim, Grant, Policy, Related
from django_jwtrole.expressions import ClaimDefault
from django_jwtrole.model_checks import _problems
from django_jwtrole.models import (
    MembershipMixin,
    OwnerMixin,
    PublicReadMixin,
    RowSecurityMixin,
    TenantMixin,
    claim_field,
    tenant_unique,
)
from django_jwtrole.policy import RowSecurity
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.history import History

Make = Any

TENANT = models.Q(tenant_id=Claim("tenant_id", models.UUIDField()))
OWNER = models.Q(owner_id=Claim("sub", models.UUIDField()))
MEMBER = models.Q(
    Related(
        "things.Member",
        models.Q(
            organisation_id=models.OuterRef("organisation_id"),
            member_id=Claim("sub", models.UUIDField()),
        ),
    )
)
ALL = ("DELETE", "INSERT", "SELECT", "UPDATE")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return what makes models in a registry that counts as the project's own."""
    registry = Apps([AppConfigStub("things")])
    monkeypatch.setattr("django_jwtrole.models.apps", registry)

    def make(name: str, *bases: Any, **given: Any) -> Any:
        meta = {"app_label": "things", "apps": registry, **given.pop("meta", {})}
        attributes = {"__module__": __name__, "Meta": type("Meta", (), meta), **given}
        if any(issubclass(base, MembershipMixin) for base in bases):
            attributes.setdefault("membership_model", "things.Member")
        return type(name, bases, attributes)

    make.registry = registry  # type: ignore[attr-defined]
    return make


def _policies(model: Any) -> dict[str, tuple[Any, str, tuple[str, ...]]]:
    found = [one for one in model._meta.constraints if isinstance(one, Policy)]
    return {one.name: (one.using, one.command, one.to) for one in found}


def _grants(model: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = [one for one in model._meta.constraints if isinstance(one, Grant)]
    return {one.name: (one.to, one.on) for one in found}


def _closed(model: Any) -> bool:
    (only,) = model._meta.constraints
    return isinstance(only, RowSecurity)


BOTH = ("member", "manager")


@pytest.mark.parametrize(
    ("bases", "policies", "on"),
    [
        ((TenantMixin,), {"tenant": (TENANT, "ALL")}, ALL),
        ((OwnerMixin,), {"own": (OWNER, "ALL")}, ALL),
        ((MembershipMixin,), {"membership": (MEMBER, "ALL")}, ALL),
        ((PublicReadMixin,), {"public_read": (models.Q(), "SELECT")}, ("SELECT",)),
        ((OwnerMixin, TenantMixin), {"own": (TENANT & OWNER, "ALL")}, ALL),
        (
            (PublicReadMixin, TenantMixin),
            {"tenant": (TENANT, "ALL"), "public_read": (TENANT, "SELECT")},
            ALL,
        ),
        (
            (OwnerMixin, MembershipMixin),
            {"own": (OWNER, "ALL"), "membership": (MEMBER, "ALL")},
            ALL,
        ),
        (
            (TenantMixin, OwnerMixin, MembershipMixin, PublicReadMixin),
            {
                "own": (TENANT & OWNER, "ALL"),
                "membership": (TENANT & MEMBER, "ALL"),
                "public_read": (TENANT, "SELECT"),
            },
            ALL,
        ),
    ],
)
def test_each_mixin_declares_a_policy_within_the_tenant(
    make: Make, bases: Any, policies: Any, on: Any
) -> None:
    """Policies add up, all of them within the tenant; one grant for each role."""
    thing = make("Thing", *bases)

    assert _policies(thing) == {
        f"things_thing_{tail}": (*given, BOTH) for tail, given in policies.items()
    }
    assert _grants(thing) == {f"things_thing_{role}": (role, on) for role in BOTH}
    written = [MigrationWriter.serialize(one) for one in thing._meta.constraints]
    assert len(written) == 1 + len(policies) + 2


def test_anonymous_reads_only_where_it_is_named(make: Make) -> None:
    """The anonymous role is in no default, and gets SELECT alone where it stands."""
    thing = make(
        "Thing",
        OwnerMixin,
        PublicReadMixin,
        public_read_roles=["anon"],
        owner_roles=["member"],
        owner_privileges=["SELECT", "INSERT"],
    )

    assert {name: to for name, (_, _, to) in _policies(thing).items()} == {
        "things_thing_own": ("member",),
        "things_thing_public_read": ("anon",),
    }
    assert _grants(thing) == {
        "things_thing_member": ("member", ("INSERT", "SELECT")),
        "things_thing_anon": ("anon", ("SELECT",)),
    }


@pytest.mark.parametrize(
    ("kind", "sql_type"),
    [
        (models.UUIDField, "uuid"),
        (models.BigIntegerField, "bigint"),
        (models.TextField, "text"),
    ],
)
def test_columns_have_the_name_claim_and_type_one_likes(
    make: Make, kind: Any, sql_type: str
) -> None:
    """The claim of the mixin is cast to the column's type, in policy and default."""
    thing = make(
        "Thing",
        TenantMixin,
        OwnerMixin,
        tenant_claim="org",
        owner_claim="uid",
        tenant_id=claim_field(kind, "org", db_column="org"),
        owner_id=claim_field(kind, "sub", db_column="maker"),
    )
    query = thing.objects.filter(_policies(thing)["things_thing_own"][0]).query
    cast = "" if sql_type == "text" else f"::{sql_type}"

    for column, name in (("org", "org"), ("maker", "uid")):
        assert f"\"{column}\" = ((SELECT jwtrole.claim('{name}'){cast}))" in str(
            query
        ) or f"\"{column}\" = (SELECT jwtrole.claim('{name}'){cast})" in str(query)
    field = thing._meta.get_field("owner_id")
    assert isinstance(field.db_default, ClaimDefault)
    assert (field.db_default.name, field.db_index, field.editable) == (
        "uid",
        True,
        False,
    )
    assert field.db_type(connection) == sql_type


def test_memberships_are_where_the_model_says(make: Make) -> None:
    """Model, fields, claim and its type are the model's to choose."""
    thing = make(
        "Thing",
        MembershipMixin,
        membership_model="things.Seat",
        membership_organisation="club",
        membership_member="who",
        membership_claim="uid",
        membership_claim_type=models.TextField,
        membership_roles=["member"],
        membership_privileges=["SELECT"],
    )
    claim = Claim("uid", models.TextField())
    condition = models.Q(club=models.OuterRef("organisation_id"), who=claim)

    assert _policies(thing) == {
        "things_thing_membership": (
            models.Q(Related("things.Seat", condition)),
            "ALL",
            ("member",),
        )
    }
    assert _grants(thing) == {"things_thing_member": ("member", ("SELECT",))}


def test_abstract_chains_and_a_bare_meta_keep_the_mixins(make: Make) -> None:
    """Mixins count through abstract models, and beside a Meta that inherits nothing."""
    abstract = make("Abstract", TenantMixin, meta={"abstract": True})
    second = make("Second", abstract, OwnerMixin, meta={"abstract": True})
    own = RowSecurity(name="things_thing_rls")
    thing = make("Thing", second, meta={"constraints": [own]})
    proxy = make("Proxy", thing, meta={"proxy": True})

    assert list(_policies(thing)) == ["things_thing_own"]
    assert thing._meta.constraints[-1] == own
    assert proxy._meta.constraints == []


@pytest.mark.parametrize("mixin", [PublicReadMixin, RowSecurityMixin])
def test_a_proxy_has_no_mixins_of_its_own(make: Make, mixin: Any) -> None:
    """What would protect or open nothing is refused."""
    base = OwnerMixin if mixin is PublicReadMixin else models.Model
    with pytest.raises(ConfigurationError, match=f"put {mixin.__name__} on things.Th"):
        make("Proxy", mixin, make("Thing", base), meta={"proxy": True})


def test_a_childs_own_table_stays_closed(make: Make) -> None:
    """What a parent's table has does not open its child's, the tenant least of all."""
    tenant = make("Tenant", TenantMixin)
    public = make("Public", PublicReadMixin)
    plain = make("Plain", models.Model)
    owned = make("Owned", OwnerMixin)

    assert _closed(make("A", tenant))
    assert _closed(make("B", public))
    assert _closed(make("C", tenant, OwnerMixin))
    assert _closed(make("D", tenant, PublicReadMixin))
    assert _closed(make("E", owned, TenantMixin))
    assert list(_policies(make("F", public, PublicReadMixin))) == [
        "things_f_public_read"
    ]
    assert list(_policies(make("G", plain, OwnerMixin))) == ["things_g_own"]


def test_row_security_alone_declares_no_policy(make: Make) -> None:
    """RowSecurityMixin closes the table, and nothing more."""
    assert _closed(make("Thing", RowSecurityMixin))


@pytest.mark.parametrize(
    ("bases", "given", "complaint"),
    [
        ((MembershipMixin,), {"membership_model": ""}, r"membership_model = 'app.M"),
        ((OwnerMixin,), {"owner_id": None}, "no field owner_id.*db_column"),
        (
            (TenantMixin,),
            {"tenant_id": claim_field(models.BigIntegerField, "org")},
            "from the claim 'org' and.* reads 'tenant_id': set tenant_claim = 'org'",
        ),
        ((TenantMixin,), {"tenant_roles": "member"}, r"write \['member'\]"),
        (
            (OwnerMixin,),
            {
                "owner_id": None,
                "owner": models.ForeignKey("things.Thing", models.CASCADE),
            },
            r"owner_id is a relation.*claim_field\(...\)",
        ),
        ((PublicReadMixin,), {"public_read_roles": []}, "to= is a list of roles"),
    ],
)
def test_what_cannot_protect_is_refused(
    make: Make, bases: Any, given: Any, complaint: str
) -> None:
    """A mixin without its column, memberships or roles is an error with advice."""
    with pytest.raises(ConfigurationError, match=complaint):
        make("Thing", *bases, **given)


@pytest.mark.django_db(databases=["default", "owner"])
def test_mixins_come_and_go_by_migrations(make: Make) -> None:
    """Each change of the mixins is autodetected, and undone, with nothing left over."""
    member = ModelState.from_model(
        make(
            "Member",
            RowSecurityMixin,
            organisation_id=models.UUIDField(),
            member_id=models.UUIDField(),
        )
    )
    history = History()
    for bases in (
        (TenantMixin,),
        (TenantMixin, OwnerMixin),
        (TenantMixin, OwnerMixin, MembershipMixin, PublicReadMixin),
        (MembershipMixin, PublicReadMixin),
        (RowSecurityMixin,),
    ):
        state = ProjectState()
        state.add_model(member.clone())
        thing = make("Thing", *bases)
        state.add_model(ModelState.from_model(thing))
        history.go(state)
        with connections["owner"].cursor() as cursor:
            cursor.execute(
                "SELECT polname::text FROM pg_policy"
                " WHERE polrelid = 'things_thing'::regclass ORDER BY 1"
            )
            found = [name for (name,) in cursor.fetchall()]
        assert found == sorted(_policies(thing))
        make.registry.all_models["things"].clear()
    history.again()
    history.back()


@pytest.mark.parametrize("kind", [models.TextField, models.UUIDField])
def test_a_member_of_another_type_is_an_error_of_check(make: Make, kind: Any) -> None:
    """Where the claim has not the type of the member's field, the check says so."""
    make(
        "Member",
        models.Model,
        organisation_id=models.UUIDField(),
        member_id=models.TextField(),
    )
    thing = make("Thing", MembershipMixin, membership_claim_type=kind)
    (policy,) = (c for c in thing._meta.constraints if isinstance(c, Policy))
    found = [str(error) for error in _problems(policy, thing)]

    assert len(found) == (kind is models.UUIDField)
    assert all("things_thing_membership" in text for text in found)


def test_uniqueness_is_within_the_tenant() -> None:
    """It is a constraint of Django's own, which migrations write as such."""
    found = tenant_unique("number", name="one")

    assert found == models.UniqueConstraint(fields=("tenant_id", "number"), name="one")
