"""From what several mixins open of one table to its policies and grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Table, and_, exists, inspect

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import short_name
from sqlalchemy_jwtrole.expressions import claim
from sqlalchemy_jwtrole.policy import Grant, Policy, declare, declared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, ColumnElement
    from sqlalchemy.orm import Mapper

    Condition = ColumnElement[bool] | Callable[[Any], ColumnElement[bool]]

__all__ = [
    "Opening",
    "declare_openings",
    "is_claim",
    "membership",
    "require_said_again",
    "require_same",
    "require_table",
]

#: Which mixins the classes of a table have.
_known: WeakKeyDictionary[Table, frozenset[type]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Opening:
    """Be what one mixin opens.

    Args:
        tail: The end of the policy's name.
        condition: Which rows; ``None`` for all.
        roles: To whom; ``None`` for those of ``__jwtrole_to__``.
        privileges: What the roles are granted.
        command: What the policy is for.
    """

    tail: str
    condition: Condition | None
    roles: Sequence[str] | None
    privileges: Sequence[str]
    command: str = "ALL"


def declare_openings(
    cls: type,
    table: Table,
    bound: ColumnElement[bool] | None,
    openings: Sequence[Opening],
) -> None:
    """Declare a policy for each opening, and one grant for each role.

    The bound stands in each policy itself, and is no RESTRICTIVE policy beside them:
    that would be for the roles it names alone, would open all when it were lost, and
    is not to be had on every engine. A policy of the same name that the table has
    already counts instead, and brings no grants.

    Raises:
        ConfigurationError: The class does not say which roles.
    """
    known = declared(table.metadata).get(table)
    have = {policy.name for policy in known.policies} if known is not None else set()
    granted: dict[str, list[str]] = {}
    policies = []
    for opening in openings:
        name = short_name(f"{table.name}_{opening.tail}")
        if name in have:
            continue
        roles = _roles(cls, opening)
        using = _both(bound, opening.condition)
        policies.append(Policy(name, using=using, command=opening.command, to=roles))
        for role in roles:
            granted.setdefault(role, []).extend(opening.privileges)
    grants = (Grant(role, *dict.fromkeys(on)) for role, on in granted.items())
    declare(table, *policies, *grants)


def _both(bound: ColumnElement[bool] | None, condition: Condition | None) -> Any:
    if bound is None or condition is None:
        found = condition if bound is None else bound
        return True if found is None else found
    if callable(condition):
        return lambda t: and_(bound, condition(t))
    return and_(bound, condition)


def _roles(cls: type, opening: Opening) -> tuple[str, ...]:
    roles = opening.roles
    if roles is None:
        roles = getattr(cls, "__jwtrole_to__", None)
    if isinstance(roles, str) or not roles:
        msg = (
            f"{cls.__name__} does not say which roles its policy is for: set "
            "__jwtrole_to__ = ['member'] on it or on its base."
        )
        raise ConfigurationError(msg)
    return tuple(roles)


def is_claim(
    mapper: Mapper[Any], table: Table, attribute: str, name: str
) -> ColumnElement[bool]:
    """Return that a column of the table is a claim.

    Raises:
        ConfigurationError: The table has no such column of its own.
    """
    column = _own_column(mapper, table, attribute)
    return column == claim(name, column.type)


def _own_column(mapper: Mapper[Any], table: Table, attribute: str) -> Column[Any]:
    # Mapper.column_attrs would configure mappers, of which some are still to come.
    found = mapper.get_property(attribute) if mapper.has_property(attribute) else None
    for column in getattr(found, "columns", ()):
        if column.table is table:
            return column  # type: ignore[no-any-return]
    msg = (
        f"The table {table.name!r} has no {attribute} of its own, and row security "
        "looks at no other table's: give it the column, best as part of a composite "
        "foreign key to the parent, or map the class to its parent's table."
    )
    raise ConfigurationError(msg)


def membership(mapper: Mapper[Any], table: Table, cls: Any) -> Condition:
    """Return that there is a membership of whoever is acting in a row's organisation.

    Raises:
        ConfigurationError: The class does not say where memberships are.
    """
    if cls.__membership__ is None:
        msg = (
            f"{cls.__name__} does not say where memberships are: set __membership__ to "
            "a mapped class, a table or a table's name."
        )
        raise ConfigurationError(msg)
    own = _own_column(mapper, table, "organisation_id")

    def condition(_: Any) -> ColumnElement[bool]:
        # The memberships may be mapped after the class.
        found = _memberships(cls, table)
        organisation = _column(cls, found, cls.__membership_organisation__)
        member = _column(cls, found, cls.__membership_member__)
        acting = claim(cls.__membership_claim__, member.type)
        return exists().where(organisation == own, member == acting)

    return condition


def _memberships(cls: Any, table: Table) -> Table:
    given = cls.__membership__
    if isinstance(given, Table):
        return given
    if not isinstance(given, str):
        return inspect(given).local_table  # type: ignore[no-any-return]
    try:
        return table.metadata.tables[given]
    except KeyError:
        msg = f"{cls.__name__}: __membership__: there is no table {given!r}."
        raise ConfigurationError(msg) from None


def _column(cls: type, table: Table, name: str) -> Column[Any]:
    try:
        return table.c[name]
    except KeyError:
        msg = (
            f"{cls.__name__}: the memberships in {table.name!r} have no column "
            f"{name!r}: set __membership_organisation__ and __membership_member__ to "
            f"two of {', '.join(table.c.keys())}."
        )
        raise ConfigurationError(msg) from None


def require_same(
    mapper: Mapper[Any], table: Table, mixins: Callable[[type], frozenset[type]]
) -> None:
    """Refuse two classes of one table with different mixins: its policies are one's.

    Raises:
        ConfigurationError: They differ.
    """
    own, parent = mixins(mapper.class_), mapper.inherits
    if parent is not None and parent.local_table is table:
        before = mixins(parent.class_)
    else:
        before = _known.setdefault(table, own)
    if own != before:
        names = ", ".join(sorted(one.__name__ for one in own ^ before))
        msg = (
            f"{mapper.class_.__name__} shares the table {table.name!r} with a class of "
            f"other mixins ({names}), and a table's policies are for all its rows: put "
            "the mixins on the class that has the table, or give this one its own."
        )
        raise ConfigurationError(msg)


def require_said_again(mapper: Mapper[Any], public: type) -> None:
    """Refuse to open a child's own table because its parent's is public.

    Raises:
        ConfigurationError: The child does not name the mixin itself.
    """
    cls, parent = mapper.class_, mapper.inherits
    if parent is None or parent.local_table is mapper.local_table:
        return
    itself = any(
        issubclass(base, public) and inspect(base, raiseerr=False) is None
        for base in cls.__bases__
    )
    if itself or not issubclass(parent.class_, public):
        return
    msg = (
        f"{cls.__name__} has a table of its own, which nobody said is public like its "
        f"parent's: name {public.__name__} among its bases as well, or map the class "
        "to its parent's table."
    )
    raise ConfigurationError(msg)


def require_table(mapper: Mapper[Any]) -> None:
    """Refuse a join or a subquery, which has no policies.

    Raises:
        ConfigurationError: The class is mapped to no table.
    """
    if not isinstance(mapper.local_table, Table):
        msg = (
            f"{mapper.class_.__name__} is mapped to no table, and only tables have "
            "policies: put the mixins on the classes of the tables that it reads."
        )
        raise ConfigurationError(msg)
