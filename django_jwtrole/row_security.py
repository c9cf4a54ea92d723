"""The abstract model that turns row security on, and what all the others share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.db import models, router

from django_jwtrole.conf import conf, is_protected
from django_jwtrole.policy import Grant, RowSecurity
from jwtrole.context import current_identity
from jwtrole.quoting import short_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RowSecurityMixin", "named"]


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
        yield RowSecurity(name=named(cls, "rls"))

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


def named(model: type[models.Model], tail: str) -> str:
    """Return a name for something on a model's table, unique in the project."""
    return short_name(f"{model._meta.app_label}_{model._meta.model_name}_{tail}")
