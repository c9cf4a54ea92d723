"""Tables protected by mixins, the same in both ORMs, and what each should open.

Every table has the columns ``id``, ``body`` and ``code`` beside those of its mixins;
the code is unique within a tenant.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import sqlalchemy as sa
from sqlalchemy import orm

from sqlalchemy_jwtrole import Grant, Policy, claim
from sqlalchemy_jwtrole import models as mixins
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RED, BLUE = uuid.UUID(int=1), uuid.UUID(int=2)
ANN, BOB = uuid.UUID(int=11), uuid.UUID(int=12)
CLUB, TEAM = uuid.UUID(int=21), uuid.UUID(int=22)
#: Whoever is a member, and of what. The other tenant's people may be in it as well.
MEMBERSHIPS = [(CLUB, ANN), (TEAM, BOB)]

COLUMNS = {"Tenant": "tenant_id", "Owner": "owner_id", "Membership": "organisation_id"}
VALUES = {
    "tenant_id": (RED, BLUE),
    "owner_id": (ANN, BOB),
    "organisation_id": (CLUB, TEAM),
}


@dataclass(frozen=True)
class Mixture:
    """Be a table with some mixins.

    Args:
        table: Its name.
        mixins: Their names.
        roles: The roles of one mixin, where they are not all the fixed ones.
    """

    table: str
    mixins: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.table

    @property
    def columns(self) -> list[str]:
        """Return the columns of the mixins."""
        return [COLUMNS[one] for one in self.mixins if one in COLUMNS]

    def _is_for(self, mixin: str, who: Mapping[str, Any]) -> bool:
        return who["role"] in self.roles.get(mixin, postgres.ROLES)

    def writes(self, who: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
        """Tell whether somebody may write a row."""
        if "Tenant" in self.mixins and str(row["tenant_id"]) != who["tenant_id"]:
            return False
        opened = []
        if "Owner" in self.mixins:
            own = str(row["owner_id"]) == who["sub"]
            opened.append(own and self._is_for("Owner", who))
        if "Membership" in self.mixins:
            pairs = [(str(team), str(one)) for team, one in MEMBERSHIPS]
            member = (str(row["organisation_id"]), who["sub"]) in pairs
            opened.append(member and self._is_for("Membership", who))
        if not opened and "Tenant" in self.mixins:
            return self._is_for("Tenant", who)
        return any(opened)

    def reads(self, who: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
        """Tell whether somebody sees a row."""
        if self.writes(who, row):
            return True
        if "Tenant" in self.mixins and str(row["tenant_id"]) != who["tenant_id"]:
            return False
        return "PublicRead" in self.mixins and self._is_for("PublicRead", who)


MIXTURES = [
    Mixture("owned", ("Owner",)),
    Mixture("joined", ("Membership",)),
    Mixture("shown", ("Owner", "PublicRead"), {"PublicRead": ("member", "anon")}),
    Mixture("listed", ("PublicRead",), {"PublicRead": ("manager",)}),
    Mixture("either_of", ("Owner", "Membership")),
    Mixture("tenant", ("Tenant",)),
    Mixture("tenant_owned", ("Tenant", "Owner")),
    Mixture("tenant_joined", ("Membership", "Tenant")),
    Mixture(
        "tenant_shown",
        ("Tenant", "PublicRead"),
        {"Tenant": ("manager",), "PublicRead": ("member", "anon")},
    ),
    Mixture("tenant_all", ("PublicRead", "Membership", "Owner", "Tenant")),
]


def make_with_sqlalchemy(server: postgres.Server, database: str) -> None:
    """Make the tables with SQLAlchemy, as the owner."""

    class Base(orm.DeclarativeBase):
        __jwtrole_to__ = postgres.ROLES

    to = {"Tenant": "tenant", "Owner": "owner", "PublicRead": "public_read"}
    for one in MIXTURES:
        bases = tuple(getattr(mixins, f"{name}Mixin") for name in one.mixins)
        given = {f"__{to[name]}_to__": roles for name, roles in one.roles.items()}
        columns: dict[str, Any] = {
            "id": orm.mapped_column(sa.Integer, primary_key=True, autoincrement=False),
            "body": orm.mapped_column(sa.Text, server_default=""),
            "code": orm.mapped_column(sa.Integer),
        }
        if "Tenant" in one.mixins:
            unique = mixins.tenant_unique("code", name=f"{one}_code")
            columns["__table_args__"] = (unique,)
        names = {"__tablename__": one.table, "__membership__": "membership"}
        type(one.table, (*bases, Base), {**names, **columns, **given})
    sa.Table(
        "membership",
        Base.metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("organisation_id", sa.Uuid),
        sa.Column("member_id", sa.Uuid),
        Policy(
            "membership_own",
            using=lambda t: t.member_id == claim("sub", sa.Uuid),
            to=postgres.ROLES,
        ),
        *(Grant(role, "SELECT") for role in postgres.ROLES),
    )
    owner = sa.create_engine(server.url("psycopg", postgres.OWNER, database))
    Base.metadata.create_all(owner)
    owner.dispose()


def _django_models() -> Iterable[Any]:
    # The models need settings, which pytest-django fills in late.
    from django.apps.registry import Apps
    from django.db import models as m
    from django.db.migrations.state import AppConfigStub

    from django_jwtrole import Claim
    from django_jwtrole import Grant as Granted
    from django_jwtrole import Policy as Declared
    from django_jwtrole import models as mixins

    registry = Apps([AppConfigStub("mixed")])

    def make(table: str, bases: tuple[Any, ...], **given: Any) -> Any:
        constraints = given.pop("constraints", [])
        meta = {"app_label": "mixed", "apps": registry, "db_table": table}
        meta["constraints"] = constraints
        attributes = {"__module__": __name__, "Meta": type("Meta", (), meta), **given}
        return type(table.title().replace("_", ""), bases, attributes)

    own = m.Q(member_id=Claim("sub", m.UUIDField()))
    with mock.patch("django_jwtrole.models.apps", registry):
        yield make(
            "membership",
            (mixins.RowSecurityMixin,),
            organisation_id=m.UUIDField(),
            member_id=m.UUIDField(),
            constraints=[
                Declared(name="membership_own", using=own, to=postgres.ROLES),
                *(Granted(name=f"g_{r}", to=r, on=["SELECT"]) for r in postgres.ROLES),
            ],
        )
        to = {"Tenant": "tenant", "Owner": "owner", "PublicRead": "public_read"}
        for one in MIXTURES:
            unique = mixins.tenant_unique("code", name=f"{one}_code")
            yield make(
                one.table,
                tuple(getattr(mixins, f"{name}Mixin") for name in one.mixins),
                id=m.IntegerField(primary_key=True),
                body=m.TextField(db_default=""),
                code=m.IntegerField(null=True),
                constraints=[unique] if "Tenant" in one.mixins else [],
                membership_model="mixed.Membership",
                **{f"{to[name]}_roles": roles for name, roles in one.roles.items()},
            )


def make_with_django(server: postgres.Server, database: str) -> None:
    """Make the tables with Django, as the owner."""
    from django.db import connections

    from tests.django_project.aliases import owned

    with (
        owned(server, database) as alias,
        connections[alias].schema_editor() as editor,
    ):
        for model in _django_models():
            editor.create_model(model)
