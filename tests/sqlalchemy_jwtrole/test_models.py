"""The tenant mixin, however a class is mapped."""
# ruff: noqa: RUF012  SQLAlchemy's own way to say mapper arguments

from __future__ import annotations

import dataclasses
import uuid  # noqa: TC003  SQLAlchemy reads the annotations
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Policy, attach, claim
from sqlalchemy_jwtrole.models import TenantMixin
from sqlalchemy_jwtrole.policy import declared
from tests import postgres
from tests.sqlalchemy_jwtrole.conftest import DRIVERS, bare_engine

if TYPE_CHECKING:
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole


def _policies(table: sa.FromClause) -> list[tuple[str, str | None, tuple[str, ...]]]:
    assert isinstance(table, sa.Table)
    found = declared(table.metadata)[table]
    return [(one.name, one.using, one.to) for one in found.compiled(table)]


def _own(table: str, claim_name: str = "tenant_id", to: str = "member") -> object:
    using = f"{table}.tenant_id = (SELECT jwtrole.claim('{claim_name}')::uuid)"
    return f"{table}_tenant", using, (to,)


def _base() -> type[orm.DeclarativeBase]:
    class Base(orm.DeclarativeBase):
        __jwtrole_to__ = ("member",)

    return Base


def test_column_policy_and_grants_come_with_the_mixin() -> None:
    """The column is NOT NULL, indexed and a claim by default; policy and grants too."""
    Base = _base()  # noqa: N806

    class Thing(TenantMixin, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)

    table = Thing.__table__
    column = table.c.tenant_id
    assert not column.nullable
    assert [index.name for index in table.indexes] == ["ix_thing_tenant_id"]
    assert _policies(table) == [_own("thing")]
    grants = declared(table.metadata)[table].privileges(table)
    assert [(one.role, one.on) for one in grants] == [
        ("member", ("DELETE", "INSERT", "SELECT", "UPDATE"))
    ]


def test_table_arguments_and_subclass_hooks_of_the_users_do_no_harm() -> None:
    """Own ``__table_args__`` and ``__init_subclass__`` leave the protection alone."""
    Base = _base()  # noqa: N806

    class Hooked(TenantMixin):
        def __init_subclass__(cls, **kw: object) -> None:
            """Call nobody else's."""

    class Thing(Base, Hooked):  # type: ignore[misc, valid-type]
        __tablename__ = "thing"
        __table_args__ = (
            sa.UniqueConstraint("tenant_id", "number"),
            Policy("more", using=lambda t: t.number == claim("sub"), to=["manager"]),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[str]

    assert [name for name, *_ in _policies(Thing.__table__)] == ["more", "thing_tenant"]


def test_roles_and_claim_are_the_classs_to_say() -> None:
    """Roles may stand on the class, the claim may have another name."""

    class Base(orm.DeclarativeBase):
        pass

    class Thing(TenantMixin, Base):
        __tablename__ = "thing"
        __jwtrole_to__ = ("manager",)
        __tenant_claim__ = "org"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert _policies(Thing.__table__) == [_own("thing", "org", "manager")]
    default = Thing.__table__.c.tenant_id.server_default
    assert isinstance(default, sa.DefaultClause)
    assert default.arg.claim_name == "org"  # type: ignore[union-attr]


@pytest.mark.parametrize("to", [None, "member", ()])
def test_missing_roles_are_an_error_when_mapping(to: object) -> None:
    """A class that says no roles, or a bare string, is refused with advice."""

    class Base(orm.DeclarativeBase):
        __jwtrole_to__ = to

    with pytest.raises(ConfigurationError, match=r"__jwtrole_to__ = \['member'\]"):

        class Thing(TenantMixin, Base):
            __tablename__ = "thing"
            id: Mapped[int] = mapped_column(primary_key=True)


def test_every_way_of_mapping_is_protected() -> None:
    """Decorated, dataclass, and imperatively mapped classes carry the policy."""
    registry = orm.registry()

    @registry.mapped
    class Decorated(TenantMixin):
        __tablename__ = "decorated"
        __jwtrole_to__ = ("member",)
        id: Mapped[int] = mapped_column(primary_key=True)

    class DataBase(orm.MappedAsDataclass, orm.DeclarativeBase):
        __jwtrole_to__ = ("member",)

    class Data(TenantMixin, DataBase):
        __tablename__ = "data"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        number: Mapped[str]

    class Imperative(TenantMixin):
        __jwtrole_to__ = ("member",)

    table = sa.Table(
        "imperative",
        registry.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant_id", sa.Uuid),
    )
    registry.map_imperatively(Imperative, table)

    assert _policies(Decorated.__table__) == [_own("decorated")]  # type: ignore[attr-defined]
    assert _policies(Data.__table__) == [_own("data")]
    assert [field.name for field in dataclasses.fields(Data)] == ["id", "number"]
    assert Data(number="1").number == "1"
    assert _policies(table) == [_own("imperative")]


def test_inheritance_is_protected_once_a_table() -> None:
    """Single-table children add nothing; a child's own table needs its own column."""
    Base = _base()  # noqa: N806

    class Parent(TenantMixin, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "p"}

    class Single(Parent):
        __mapper_args__ = {"polymorphic_identity": "s"}

    class Concrete(Parent):
        __tablename__ = "concrete"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[uuid.UUID] = mapped_column()
        kind: Mapped[str]
        __mapper_args__ = {"concrete": True, "polymorphic_identity": "c"}

    class Joined(Parent):
        __tablename__ = "joined"
        id: Mapped[int] = mapped_column(sa.ForeignKey("parent.id"), primary_key=True)
        tenant_id: Mapped[uuid.UUID] = orm.column_property(
            sa.Column("tenant_id", sa.Uuid, nullable=False), Parent.tenant_id
        )
        __mapper_args__ = {"polymorphic_identity": "j"}

    assert _policies(Single.__table__) == [_own("parent")]
    assert _policies(Concrete.__table__) == [_own("concrete")]
    assert _policies(Joined.__table__) == [_own("joined")]
    with pytest.raises(ConfigurationError, match="'bare' has no tenant_id of its own"):

        class Bare(Parent):
            __tablename__ = "bare"
            id: Mapped[int] = mapped_column(
                sa.ForeignKey("parent.id"), primary_key=True
            )
            __mapper_args__ = {"polymorphic_identity": "b"}


def test_a_table_without_the_column_is_refused() -> None:
    """An imperatively mapped table must have the column the policy reads."""
    registry = orm.registry()

    class Thing(TenantMixin):
        __jwtrole_to__ = ("member",)

    table = sa.Table(
        "thing", registry.metadata, sa.Column("id", sa.Integer, primary_key=True)
    )
    with pytest.raises(ConfigurationError, match="no tenant_id of its own"):
        registry.map_imperatively(Thing, table)


def test_a_long_table_name_still_has_a_policy_name() -> None:
    """The policy's name fits PostgreSQL, however long the table's is."""
    Base = _base()  # noqa: N806

    class Thing(TenantMixin, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "x" * 63
        id: Mapped[int] = mapped_column(primary_key=True)

    (policy,) = _policies(Thing.__table__)
    assert len(policy[0]) == 63


@pytest.mark.parametrize("driver", DRIVERS)
def test_rows_are_the_tenants(
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    alice: Identity,
    bob: Identity,
    driver: str,
) -> None:
    """A SERIAL table works end to end: insert, default, and nobody else's rows."""
    Base = _base()  # noqa: N806

    class Thing(TenantMixin, Base):  # type: ignore[misc, valid-type]
        __tablename__ = f"thing_{driver}"
        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[str]

    owner = sa.create_engine(server.url(driver, postgres.OWNER, database))
    Base.metadata.create_all(owner)
    owner.dispose()
    engine = attach(bare_engine(server, database, driver), auth)
    with acting_as(alice), orm.Session(engine) as session:
        session.add_all([Thing(number=str(n)) for n in range(3)])
        session.commit()
        assert len(session.scalars(sa.select(Thing)).all()) == 3
    with acting_as(bob), orm.Session(engine) as session:
        assert session.scalars(sa.select(Thing)).all() == []
    engine.dispose()
