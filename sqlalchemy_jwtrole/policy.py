"""Policies and grants as schema items: declared on a table, created with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData, Table, event
from sqlalchemy.schema import SchemaItem

from jwtrole import policy as core
from jwtrole import roles
from jwtrole.dialect import POSTGRESQL
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import identifier
from jwtrole.sequences import SequenceGrant
from sqlalchemy_jwtrole import clauses, create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from jwtrole.dialect import Dialect

    Expression = bool | ColumnElement[bool] | Callable[[Any], Any]

__all__ = ["Declared", "Grant", "Policy", "declare", "declared", "protected"]

#: Where a MetaData keeps what is declared. Not in Table.info, which Alembic writes
#: into revisions.
_INFO = "jwtrole"

#: Where a MetaData may say for which engine its policies are written.
DIALECT = "jwtrole_dialect"


class _Item(SchemaItem):
    """Be declared on whatever table it is given to, or on several."""

    def __init__(self) -> None:
        event.listen(self, "after_parent_attach", _attached)


class Policy(_Item):
    """Be a row-security policy, among the arguments of a table.

    Any policy turns row security on for its table, for the owner as well.

    Args:
        name: Its name, unique on its table, at most 63 bytes.
        using: The rows that may be seen or touched: an SQL expression, or a callable
            that takes the table's columns and returns one.
        check: What a written row must meet; ``using`` where it is left out.
        command: ``"ALL"``, ``"SELECT"``, ``"INSERT"``, ``"UPDATE"`` or ``"DELETE"``.
        to: The roles it is for; ``"PUBLIC"`` must be spelled out.
        permissive: ``False`` makes it RESTRICTIVE.

    Raises:
        ConfigurationError: No role, no expression, an unknown command, or an
            expression that the command has no use for.
    """

    def __init__(  # noqa: PLR0913  what CREATE POLICY takes
        self,
        name: str,
        *,
        using: Expression | None = None,
        check: Expression | None = None,
        command: str = "ALL",
        to: Sequence[str],
        permissive: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self.using = using
        self.check = check
        self.command = command
        # A string is left for the core to refuse.
        self.to: Any = to if isinstance(to, str) else tuple(to)
        self.permissive = permissive
        self._built("?", None, *("true" if e is not None else None for e in self._both))

    @property
    def _both(self) -> tuple[Expression | None, Expression | None]:
        return self.using, self.check

    def _built(
        self, table: str, schema: str | None, using: str | None, check: str | None
    ) -> core.Policy:
        return core.Policy(
            name=self.name, table=table, schema=schema, command=self.command,
            to=self.to, using=using, check=check, permissive=self.permissive,
        )  # fmt: skip

    def compiled(self, table: Table) -> core.Policy:
        """Return it with its expressions as SQL text.

        Raises:
            ConfigurationError: An expression cannot stand in a policy.
        """
        dialect = table.metadata.info.get(DIALECT, POSTGRESQL)
        where = f"Policy {self.name!r} on {table.name!r}"
        dialect.require_mode(where, permissive=self.permissive)
        using, check = (
            self._clause(expression, table, dialect) for expression in self._both
        )
        if (
            using is not None
            and table in using.reads
            and self.command in {"ALL", "SELECT"}
        ):
            msg = (
                f"{where} reads its own table to tell which rows of it may be read, "
                "which PostgreSQL refuses as an infinite recursion: keep what it looks "
                "up in a table of its own, or make it command='INSERT', 'UPDATE' or "
                "'DELETE'."
            )
            raise ConfigurationError(msg)
        texts = (one.text if one is not None else None for one in (using, check))
        return self._built(table.name, table.schema, *texts)

    def _clause(
        self, expression: Any, table: Table, dialect: Dialect
    ) -> clauses.Clause | None:
        if expression is None:
            return None
        return clauses.compiled(
            expression,
            table,
            name=self.name,
            permissive=self.permissive,
            dialect=dialect,
        )


class Grant(_Item):
    """Be privileges of one role, among the arguments of a table.

    Args:
        role: The role that gets them; ``"PUBLIC"`` must be spelled out.
        privileges: Such as ``"SELECT"`` or ``"UPDATE(body, title)"``. INSERT gives
            the use of the table's SERIAL sequence as well.

    Raises:
        ConfigurationError: None, or one that is unknown or works past row security.
    """

    def __init__(self, role: str, *privileges: str) -> None:
        super().__init__()
        self.role = role
        self.privileges: tuple[str, ...] = roles.Grant(
            table="?", role=role, on=privileges
        ).on

    def compiled(self, table: Table) -> roles.Grant:
        """Return it with the table's name.

        Raises:
            ConfigurationError: It names a column that the table does not have.
        """
        grant = roles.Grant(
            table=table.name, schema=table.schema, role=self.role, on=self.privileges
        )
        if missing := sorted(grant.columns - {column.name for column in table.c}):
            msg = (
                f"Grant to {self.role!r}: {table.name!r} has no column "
                f"{', '.join(map(repr, missing))}."
            )
            raise ConfigurationError(msg)
        return grant

    def sequence(self, table: Table) -> SequenceGrant | None:
        """Return the use of the sequence that an INSERT draws from, if there is one."""
        column = table.autoincrement_column
        inserts = any(name.startswith("INSERT") for name in self.privileges)
        if not inserts or column is None or column.server_default is not None:
            return None
        if column.default is not None:
            return None
        return SequenceGrant(
            table=table.name, schema=table.schema, column=column.name, role=self.role
        )


@dataclass
class Declared:
    """Be what is declared on one table."""

    policies: list[Policy] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    @property
    def role_names(self) -> set[str]:
        """Return every role that is named."""
        to = {role for policy in self.policies for role in policy.to}
        return to | {grant.role for grant in self.grants}

    def compiled(self, table: Table) -> list[core.Policy]:
        """Return the policies with their expressions as SQL text."""
        return [policy.compiled(table) for policy in self.policies]

    def privileges(self, table: Table) -> list[roles.Grant]:
        """Return the grants on the table."""
        return [grant.compiled(table) for grant in self.grants]

    def sequences(self, table: Table) -> list[SequenceGrant]:
        """Return the grants on the table's sequence, each once."""
        found = [grant.sequence(table) for grant in self.grants]
        return list(dict.fromkeys(grant for grant in found if grant is not None))


def declared(metadata: MetaData) -> WeakKeyDictionary[Table, Declared]:
    """Return what is declared on each table."""
    if _INFO not in metadata.info:
        metadata.info[_INFO] = WeakKeyDictionary()
        create.listen(metadata, _protection)
    found: WeakKeyDictionary[Table, Declared] = metadata.info[_INFO]
    return found


def protected(metadata: MetaData) -> Iterator[tuple[Table, Declared]]:
    """Yield the tables that have policies or grants, those that others need first."""
    known = declared(metadata)
    for table in metadata.sorted_tables:
        if table in known:
            yield table, known[table]


def declare(table: Table, *items: Policy | Grant) -> None:
    """Declare policies and grants on a table that exists already.

    Raises:
        ConfigurationError: The table has another policy of the same name, or
            PostgreSQL does not keep the name as it is.
    """
    tables = declared(table.metadata)
    if table not in tables:
        tables[table] = Declared()
        create.listen_table(table, _protection)
    known = tables[table]
    for item in items:
        if isinstance(item, Grant):
            known.grants.append(item)
            continue
        _require_name(item, table)
        if any(item.name == other.name for other in known.policies):
            msg = f"{table.name!r} has two policies named {item.name!r}: rename one."
            raise ConfigurationError(msg)
        known.policies.append(item)


def _require_name(policy: Policy, table: Table) -> None:
    try:
        identifier(policy.name)
    except ConfigurationError as error:
        msg = f"A policy on {table.name!r}: {error}"
        raise ConfigurationError(msg) from error


def _attached(item: Policy | Grant, parent: Any) -> None:
    if not isinstance(parent, Table):
        msg = f"{type(item).__name__} belongs to a table, not to {parent!r}."
        raise ConfigurationError(msg)
    declare(parent, item)


def _protection(table: Table) -> create.Protection | None:
    known = declared(table.metadata).get(table)
    if known is None:
        return None
    statements: list[str] = []
    if known.policies:
        statements += core.enable_row_security(table.name, table.schema)
    for policy in known.compiled(table):
        statements += policy.create()
    for privileges in known.privileges(table):
        statements += privileges.grant()
    for sequence in known.sequences(table):
        statements += sequence.grant()
    return create.Protection(statements, known.role_names)
