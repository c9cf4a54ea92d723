"""What the mixins declare of a table, alone, together and inherited."""

from __future__ import annotations

import uuid  # noqa: TC003  SQLAlchemy reads the annotations
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import Mapped, mapped_column

from jwtrole import install
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Policy
from sqlalchemy_jwtrole.models import (
    MembershipMixin,
    OwnerMixin,
    PublicReadMixin,
    TenantMixin,
    tenant_unique,
)
from sqlalchemy_jwtrole.policy import declared
from tests import postgres
from tests.sqlalchemy_jwtrole import revisions, test_life
from tests.sqlalchemy_jwtrole.revisions import Revision

empty = revisions.empty
owner = revisions.owner
# What a role no longer named has is revoked.
registered = test_life.registered

TENANT = "thing.tenant_id = (SELECT jwtrole.claim('tenant_id')::uuid)"
OWNER = "thing.owner_id = (SELECT jwtrole.claim('sub')::uuid)"
EXISTS = (
    "EXISTS (SELECT 1 FROM member WHERE member.organisation_id = thing.organisation_id"
    " AND member.member_id = (SELECT jwtrole.claim('sub')::uuid))"
)
SEALED = "(SELECT jwtrole.sealed()) AND ({})"
ALL = ("DELETE", "INSERT", "SELECT", "UPDATE")
BOTH = ("member", "manager")


def _base() -> Any:
    class Base(orm.DeclarativeBase):
        __jwtrole_to__ = BOTH

    sa.Table(
        "member",
        Base.metadata,
        sa.Column("organisation_id", sa.Uuid),
        sa.Column("member_id", sa.Uuid),
    )
    return Base


def _make(name: str, *bases: Any, **given: Any) -> Any:
    """Map a class to a table of its name."""
    found = {
        "__tablename__": name.lower(),
        "__membership__": "member",
        "id": mapped_column(sa.Integer, primary_key=True),
        **given,
    }
    return type(name, bases, found)


def _policies(mapped: Any) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    table = mapped.__table__
    found = declared(table.metadata)[table].compiled(table)
    return {
        one.name: (" ".join(str(one.using).split()), one.command, one.to)
        for one in found
    }


def _grants(mapped: Any) -> list[tuple[str, tuple[str, ...]]]:
    table = mapped.__table__
    found = declared(table.metadata)[table].privileges(table)
    return [(one.role, one.on) for one in found]


@pytest.mark.parametrize(
    ("bases", "policies", "on"),
    [
        ((TenantMixin,), {"tenant": (TENANT, "ALL")}, ALL),
        ((OwnerMixin,), {"own": (OWNER, "ALL")}, ALL),
        ((MembershipMixin,), {"membership": (SEALED.format(EXISTS), "ALL")}, ALL),
        (
            (PublicReadMixin,),
            {"public_read": (SEALED.format("true"), "SELECT")},
            ("SELECT",),
        ),
        ((OwnerMixin, TenantMixin), {"own": (f"{TENANT} AND {OWNER}", "ALL")}, ALL),
        (
            (PublicReadMixin, TenantMixin),
            {"tenant": (TENANT, "ALL"), "public_read": (TENANT, "SELECT")},
            ALL,
        ),
        (
            (OwnerMixin, MembershipMixin),
            {"own": (OWNER, "ALL"), "membership": (SEALED.format(EXISTS), "ALL")},
            ALL,
        ),
        (
            (TenantMixin, OwnerMixin, MembershipMixin, PublicReadMixin),
            {
                "own": (f"{TENANT} AND {OWNER}", "ALL"),
                "membership": (f"{TENANT} AND ({EXISTS})", "ALL"),
                "public_read": (TENANT, "SELECT"),
            },
            ALL,
        ),
    ],
)
def test_each_mixin_declares_a_policy_within_the_tenant(
    bases: Any, policies: Any, on: Any
) -> None:
    """Policies add up, all of them within the tenant; one grant for each role."""
    thing = _make("Thing", *bases, _base())

    assert _policies(thing) == {
        f"thing_{tail}": (*given, BOTH) for tail, given in policies.items()
    }
    assert _grants(thing) == [(role, on) for role in BOTH]


def test_anonymous_reads_only_where_it_is_named() -> None:
    """Each mixin may have roles of its own, and privileges."""
    thing = _make(
        "Thing",
        OwnerMixin,
        PublicReadMixin,
        _base(),
        __public_read_to__=["anon"],
        __owner_to__=["member"],
        __owner_privileges__=["SELECT", "INSERT"],
    )

    assert {name: to for name, (_, _, to) in _policies(thing).items()} == {
        "thing_own": ("member",),
        "thing_public_read": ("anon",),
    }
    assert _grants(thing) == [("member", ("INSERT", "SELECT")), ("anon", ("SELECT",))]


@pytest.mark.parametrize(
    ("kind", "cast"),
    [(sa.Uuid, "::uuid"), (sa.BigInteger, "::bigint"), (sa.Text(), "")],
)
def test_columns_have_the_name_claim_and_type_one_likes(kind: Any, cast: str) -> None:
    """The claim of the mixin is cast to the column's type, in policy and default."""
    thing = _make(
        "Thing",
        TenantMixin,
        OwnerMixin,
        _base(),
        __tenant_claim__="org",
        __tenant_column__="org",
        __tenant_type__=kind,
        __owner_claim__="uid",
        __owner_column__="maker",
        __owner_type__=kind,
    )
    ((text, _, _),) = _policies(thing).values()

    assert text == (
        f"thing.org = (SELECT jwtrole.claim('org'){cast}) AND "
        f"thing.maker = (SELECT jwtrole.claim('uid'){cast})"
    )
    assert thing.tenant_id.property.columns == [thing.__table__.c.org]
    for name in ("org", "maker"):
        column = thing.__table__.c[name]
        assert (column.nullable, column.index) == (False, True)
    assert thing.__table__.c.maker.server_default.arg.claim_name == "uid"


class Seat(orm.DeclarativeBase):
    """Be a base whose one class maps the memberships."""


class _Seat(Seat):
    __tablename__ = "seat"
    club: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(sa.String(9), primary_key=True)


@pytest.mark.parametrize("where", [_Seat, _Seat.__table__])
def test_memberships_are_where_the_class_says(where: Any) -> None:
    """A mapped class or a table, its columns and a claim of their type."""
    thing = _make(
        "Thing",
        MembershipMixin,
        _base(),
        __membership__=where,
        __membership_organisation__="club",
        __membership_member__="who",
        __membership_claim__="uid",
        __organisation_column__="club",
        __organisation_type__=sa.Integer,
    )
    ((text, _, _),) = _policies(thing).values()

    assert text == SEALED.format(
        "EXISTS (SELECT 1 FROM seat WHERE seat.club = thing.club"
        " AND seat.who = (SELECT jwtrole.claim('uid')::varchar))"
    )


def test_a_policy_of_the_same_name_counts_instead() -> None:
    """What the class declares under the mixin's name is left as it is."""
    own = Policy("thing_own", using=False, to=["member"])
    thing = _make("Thing", OwnerMixin, _base(), __table_args__=(own,))

    assert _policies(thing) == {
        "thing_own": (SEALED.format("false"), "ALL", ("member",))
    }
    assert _grants(thing) == []


def _parent(*mixins: Any) -> Any:
    return _make(
        "Parent",
        *mixins,
        _base(),
        kind=mapped_column(sa.Text),
        __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "p"},
    )


def _child(parent: Any, *mixins: Any, **given: Any) -> Any:
    mapping = {"__mapper_args__": {"polymorphic_identity": "c"}}
    return type("Child", (*mixins, parent), {**mapping, **given})


def _own_table() -> dict[str, Any]:
    key = mapped_column(sa.ForeignKey("parent.id"), primary_key=True)
    return {"__tablename__": "child", "id": key}


def test_a_table_that_classes_share_has_the_policies_of_one() -> None:
    """A single-table child adds none, and with mixins of its own it is refused."""
    parent = _parent(TenantMixin, OwnerMixin)
    before = _policies(parent)
    child = _child(parent)

    assert child.__table__ is parent.__table__
    assert _policies(child) == before
    with pytest.raises(ConfigurationError, match=r"'parent'.*\(PublicReadMixin\)"):
        _child(_parent(TenantMixin), PublicReadMixin)
    with pytest.raises(ConfigurationError, match=r"'parent'.*\(PublicReadMixin\)"):
        _child(_parent(), PublicReadMixin)
    base = _base()
    first = _make("First", TenantMixin, base)
    with pytest.raises(ConfigurationError, match=r"\(PublicReadMixin, TenantMixin\)"):
        type("Second", (PublicReadMixin, base), {"__table__": first.__table__})


@pytest.mark.parametrize("mixin", [TenantMixin, OwnerMixin, MembershipMixin])
def test_a_childs_table_needs_the_columns(mixin: Any) -> None:
    """Row security sees one table's columns: a joined child has them or is refused."""
    with pytest.raises(ConfigurationError, match=r"'child' has no .*_id of its own"):
        _child(_parent(mixin), **_own_table())


def test_a_childs_table_has_the_bound_of_its_parent() -> None:
    """A child that adds a mixin still needs the tenant in its own table."""
    with pytest.raises(ConfigurationError, match="'child' has no tenant_id of its own"):
        _child(_parent(TenantMixin), OwnerMixin, **_own_table())


def test_a_childs_table_is_public_only_where_it_says_so() -> None:
    """A public parent opens no child's own table unless the child says so too."""
    with pytest.raises(ConfigurationError, match="name PublicReadMixin among its b"):
        _child(_parent(PublicReadMixin), **_own_table())
    mapping = {"__mapper_args__": {"polymorphic_identity": "c"}, **_own_table()}
    again = type("Again", (PublicReadMixin,), {})
    child = type("Child", (again, _parent(PublicReadMixin)), mapping)
    plain = _child(_parent(), OwnerMixin, **_own_table())

    assert list(_policies(child)) == ["child_public_read"]
    assert list(_policies(plain)) == ["child_own"]


def test_each_table_of_an_abstract_concrete_base_is_protected() -> None:
    """The union has no policies, its tables have; a subquery is refused."""
    base = _base()
    parent = type("Parent", (TenantMixin, OwnerMixin, AbstractConcreteBase, base), {})
    mapping = {"__mapper_args__": {"polymorphic_identity": "c", "concrete": True}}
    child = _make("Child", parent, **mapping)
    orm.configure_mappers()
    rows = sa.select(child.__table__).subquery()

    assert list(_policies(child)) == ["child_own"]
    with pytest.raises(ConfigurationError, match="Rows is mapped to no table"):
        type("Rows", (PublicReadMixin, base), {"__table__": rows})


def test_classes_may_refer_to_those_still_to_come() -> None:
    """A mixin configures no mapper before its time."""
    base = _base()
    first = _make("First", base, seconds=orm.relationship("Second"))
    _make("Thing", TenantMixin, base)
    key = mapped_column(sa.ForeignKey("first.id"))
    second = _make("Second", base, first_id=key)
    orm.configure_mappers()

    assert first.seconds.property.entity.class_ is second


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        (None, "does not say where memberships are: set __membership__"),
        ("nowhere", "there is no table 'nowhere'"),
        (_Seat, "'seat' have no column 'organisation_id'.*two of club, who"),
    ],
)
def test_memberships_that_are_not_there_are_refused(where: Any, complaint: str) -> None:
    """A missing table or column is an error that names what there is."""
    with pytest.raises(ConfigurationError, match=complaint):
        _policies(_make("Thing", MembershipMixin, _base(), __membership__=where))


@pytest.mark.parametrize("to", ["anon", ()])
def test_roles_are_a_list(to: Any) -> None:
    """A bare string and an empty list are refused with advice."""
    with pytest.raises(ConfigurationError, match=r"__jwtrole_to__ = \['member'\]"):
        _make("Thing", PublicReadMixin, _base(), __public_read_to__=to)


def test_uniqueness_is_within_the_tenant() -> None:
    """It is a constraint over the tenant and the columns."""
    thing = _make(
        "Thing",
        TenantMixin,
        _base(),
        number=mapped_column(sa.Text),
        code=mapped_column(sa.Text),
        __tenant_column__="org",
        __table_args__=(tenant_unique("number", "code", name="one", tenant="org"),),
    )
    (found,) = (
        one
        for one in thing.__table__.constraints
        if isinstance(one, sa.UniqueConstraint)
    )

    assert (found.name, found.columns.keys()) == ("one", ["org", "number", "code"])


def test_mixins_come_and_go_by_revisions(
    server: postgres.Server, empty: str, owner: sa.Connection
) -> None:
    """Each change of the mixins is autogenerated, and undone, with nothing left."""
    with server.connect(postgres.OWNER, empty) as conn:
        for statement in install.latest("application").up():
            conn.execute(statement.encode())
    done = []
    for mixins in (
        (TenantMixin,),
        (TenantMixin, OwnerMixin),
        (TenantMixin, OwnerMixin, MembershipMixin, PublicReadMixin),
        (MembershipMixin, PublicReadMixin),
        (),
    ):
        base = _base()
        thing = _make("Thing", *mixins, base)
        revision = Revision(owner, base.metadata)
        revision.upgrade()
        done.append(revision)
        names = owner.scalars(
            sa.text(
                "SELECT polname::text FROM pg_policy"
                " WHERE polrelid = 'thing'::regclass ORDER BY 1"
            )
        ).all()
        assert names == (sorted(_policies(thing)) if mixins else [])
        assert Revision(owner, base.metadata).up == ""
    for revision in reversed(done):
        revision.downgrade()
    assert owner.scalar(sa.text("SELECT to_regclass('thing')")) is None


def test_annotated_classes_and_dataclasses_get_the_columns() -> None:
    """The columns are there for a dataclass too, which takes them for none of its."""

    class Base(orm.MappedAsDataclass, orm.DeclarativeBase):
        __jwtrole_to__ = BOTH

    class Thing(TenantMixin, OwnerMixin, Base):
        __tablename__ = "thing"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True)

    assert list(_policies(Thing)) == ["thing_own"]
    assert {"tenant_id", "owner_id"} <= {*Thing.__table__.c.keys()}
