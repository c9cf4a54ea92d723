"""Abstract models: inherit, and the table is protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.core import checks
from django.db import models, router
from django.db.models.signals import class_prepared

from django_jwtrole.conf import conf, is_protected
from django_jwtrole.expressions import Claim, ClaimDefault
from django_jwtrole.policy import Grant, Policy, RowSecurity
from jwtrole.context import current_identity
from jwtrole.quoting import short_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RowSecurityMixin", "TenantMixin"]


class RowSecurityMixin(models.Model):
    """Turn row security on for the model's table.

    What nobody is granted and no policy shows is closed to everyone. ``save()`` writes
    only the columns that the acting role's declared grants let it update.
    """

    class Meta:
        """Be no table."""

        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Save; a role with UPDATE on some columns writes those."""
        if not args and not self._state.adding:
            options = self._limited(options)
        super().save(*args, **options)

    def _limited(self, options: dict[str, Any]) -> dict[str, Any]:
        alias = options.get("using") or router.db_for_write(type(self), instance=self)
        identity = current_identity()
        if (
            identity is None
            or options.get("update_fields") is not None
            or options.get("force_insert")
            or not is_protected(alias)
        ):
            return options
        names = self._updatable(identity.role)
        if names is None:
            return options
        return {**options, "update_fields": names - self.get_deferred_fields()}

    @classmethod
    def _updatable(cls, role: str) -> frozenset[str] | None:
        found: set[str] = set()
        reached = conf().reach(role) | {"PUBLIC"}
        for constraint in cls._meta.constraints:
            if isinstance(constraint, Grant) and constraint.to in reached:
                names = constraint.updatable()
                if names is None:
                    return None
                found |= names
        # Without any the database refuses, and says so better.
        return frozenset(found) or None

    @classmethod
    def _row_security(cls) -> Iterator[models.BaseConstraint]:
        yield RowSecurity(name=_named(cls, "rls"))

    @classmethod
    def check(cls, **options: Any) -> list[checks.CheckMessage]:
        """Return Django's findings and ours."""
        found: list[checks.CheckMessage] = super().check(**options)
        protected = [
            parent._meta.label
            for parent in cls._meta.parents
            if issubclass(parent, RowSecurityMixin)
        ]
        if protected and not cls._meta.proxy:
            found.append(
                checks.Warning(
                    f"The rows of {cls._meta.label} are stored in two tables; the "
                    f"policies of {', '.join(protected)} do not cover its own, which "
                    "stays closed until it has policies and grants.",
                    hint="Declare Policy and Grant for it, or inherit from an abstract "
                    "model instead.",
                    obj=cls,
                    id="jwtrole.W001",
                )
            )
        return found


class TenantMixin(RowSecurityMixin):
    """Let each tenant see and write its own rows alone.

    The tenant is a claim of the token. New rows get it from the database, so that
    ``objects.create()`` needs none.

    Attributes:
        tenant_claim: The claim that holds the tenant.
        tenant_roles: The roles that get SELECT, INSERT, UPDATE and DELETE; where it is
            ``None``, all of ``JWTROLE["ROLES"]`` without the anonymous one.
        tenant_privileges: What these roles get.
    """

    tenant_claim: ClassVar[str] = "tenant_id"
    tenant_roles: ClassVar[Sequence[str] | None] = None
    tenant_privileges: ClassVar[Sequence[str]] = (
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
    )

    tenant_id: models.UUIDField[Any, Any] = models.UUIDField(
        db_default=ClaimDefault("tenant_id", models.UUIDField()),
        db_index=True,
        editable=False,
    )

    class Meta:
        """Be no table."""

        abstract = True

    @classmethod
    def _row_security(cls) -> Iterator[models.BaseConstraint]:
        yield from super()._row_security()
        field = cls._meta.get_field("tenant_id")
        if field not in cls._meta.local_fields:
            return
        if isinstance(field.db_default, ClaimDefault):
            field.db_default = ClaimDefault(cls.tenant_claim, type(field)())
        names = _tenant_roles(cls)
        yield Policy(
            name=_named(cls, "tenant"),
            using=models.Q(tenant_id=Claim(cls.tenant_claim, type(field)())),
            to=names,
        )
        for role in names:
            yield Grant(name=_named(cls, role), to=role, on=cls.tenant_privileges)


def _tenant_roles(model: type[TenantMixin]) -> list[str]:
    if model.tenant_roles is not None:
        return list(model.tenant_roles)
    return [role for role in conf().roles if role != conf().anonymous]


def _named(model: type[models.Model], tail: str) -> str:
    return short_name(f"{model._meta.app_label}_{model._meta.model_name}_{tail}")


def _inject(sender: type[models.Model], **_: object) -> None:
    options = sender._meta
    if not issubclass(sender, RowSecurityMixin) or options.abstract or options.proxy:
        return
    if options.apps is not apps:
        # A migration's model: what it has stands in the migration.
        return
    have = {constraint.name for constraint in options.constraints}
    new = [c for c in sender._row_security() if c.name not in have]
    options.constraints = [*new, *options.constraints]
    # The migrations' state is made from what the class was declared with.
    options.original_attrs["constraints"] = options.constraints


class_prepared.connect(_inject, dispatch_uid="jwtrole.models")
