"""Whether there is a row in another model's table, as an expression of the ORM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models import (
    BooleanField,
    Exists,
    Expression,
    Lookup,
    OuterRef,
    Q,
)
from django.db.models.expressions import BaseExpression
from django.db.models.sql.query import Query
from django.utils.deconstruct import deconstructible

from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.apps.registry import Apps
    from django.db.models import Model

__all__ = ["Related", "outer_references", "parts", "related"]


@deconstructible(path="django_jwtrole.Related")
class Related(Expression):
    """Be true where another table has a row that meets a condition.

    ``Exists()`` holds a queryset, which no migration can. This holds names, and finds
    the model as it was when the migration was written. The acting role needs SELECT on
    the other table, whose own policies apply.

    Args:
        model: The other model, as ``"app.Model"``.
        condition: What its row must meet; ``OuterRef("field")`` stands for a field of
            the row that the policy is about.

    Raises:
        ConfigurationError: No such name, or no condition.
    """

    conditional = True
    contains_aggregate = False

    def __init__(self, model: str, condition: Q) -> None:
        if not isinstance(model, str) or model.count(".") != 1:
            msg = f"Related: {model!r} is no model's name: write 'app.Model'."
            raise ConfigurationError(msg)
        if not getattr(condition, "conditional", False):
            msg = f"Related({model!r}): {condition!r} is no condition: give a Q()."
            raise ConfigurationError(msg)
        super().__init__(output_field=BooleanField())
        self.model = model
        self.condition = condition

    @property
    def app_label(self) -> str:
        """Return the label of the other model's app."""
        return self.model.split(".")[0]

    def model_in(self, apps: Apps) -> type[Model]:
        """Return the other model, of now or of a migration.

        Raises:
            FieldError: There is none.
        """
        try:
            return apps.get_model(self.model)
        except LookupError as error:
            msg = (
                f"there is no model {self.model!r} here. To the dependencies of a "
                f"migration add the one of {self.app_label!r} that creates it"
            )
            raise FieldError(msg) from error

    def resolve_expression(
        self,
        query: Any = None,
        allow_joins: bool = True,  # noqa: FBT001, FBT002  Django's signature
        reuse: Any = None,
        summarize: bool = False,  # noqa: FBT001, FBT002
        for_save: bool = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Return EXISTS with a sub-select, its own columns told from the row's."""
        inner = Query(self.model_in(query.model._meta.apps))
        try:
            inner.add_q(Q(self.condition))
        except FieldError as error:
            msg = f"Related({self.model!r}): {error}"
            raise FieldError(msg) from error
        _refuse_alias(query.model)
        exists = Exists(inner)
        return exists.resolve_expression(query, allow_joins, reuse, summarize, for_save)

    def get_source_expressions(self) -> list[Any]:
        """Return none: what stands in the condition are fields of another model."""
        return []

    def set_source_expressions(self, exprs: Any) -> None:
        """Change nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, {self.condition!r})"


def _refuse_alias(model: type[Model]) -> None:
    # Django calls what a sub-select reads U0, U1 and so on.
    table = model._meta.db_table
    if table.lower().rstrip("0123456789") in set("tuvwxyz") and table[-1].isdigit():
        msg = (
            f"the table {table!r} is called like the aliases that Django gives to "
            "tables in sub-selects: name it otherwise with Meta.db_table"
        )
        raise FieldError(msg)


def parts(node: Any) -> list[Any]:
    """Return what stands in a node of an expression that is not resolved yet."""
    if isinstance(node, Related):
        return [node.condition]
    if isinstance(node, Q):
        return [one[1] if isinstance(one, tuple) else one for one in node.children]
    if isinstance(node, Lookup):
        return [node.lhs, node.rhs]
    if isinstance(node, BaseExpression):
        return list(node.get_source_expressions())
    return []


def related(node: Any) -> Iterator[Related]:
    """Yield what reads other models, in an expression that is not resolved yet."""
    if isinstance(node, Related):
        yield node
    for part in parts(node):
        yield from related(part)


def outer_references(node: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names of the policy's own fields that sub-selects refer to."""
    if isinstance(node, OuterRef):
        # OuterRef(OuterRef("field")) is a field of the row outside the one outside.
        name: Any = node
        while isinstance(name, OuterRef):
            name, depth = vars(name)["name"], depth - 1
        if depth == 0:
            yield str(name)
    for part in parts(node):
        yield from outer_references(part, depth + isinstance(node, Related))
