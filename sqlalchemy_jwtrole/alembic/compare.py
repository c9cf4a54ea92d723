"""Compare what is declared with what the database has, for autogenerate.

Drops come before Alembic's own changes, for a policy may read a table or column that
is to go; creations come after them, for a policy may read one that is to come.
"""

from __future__ import annotations

import functools
import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from jwtrole.live import read
from sqlalchemy_jwtrole.alembic import operations as op
from sqlalchemy_jwtrole.alembic import schema
from sqlalchemy_jwtrole.alembic.canonical import canonical, missing_right
from sqlalchemy_jwtrole.alembic.columns import without_claims
from sqlalchemy_jwtrole.alembic.grants import differing_grants
from sqlalchemy_jwtrole.alembic.operation import Operation, TableName
from sqlalchemy_jwtrole.alembic.privileges import (
    differing_privileges,
    differing_sequences,
    every_privilege,
)
from sqlalchemy_jwtrole.alembic.wanted import WANTED
from sqlalchemy_jwtrole.create import query
from sqlalchemy_jwtrole.grants import declared_on
from sqlalchemy_jwtrole.policy import Declared, declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Connection

    from jwtrole.catalog import Found
    from jwtrole.grants import GrantOn
    from jwtrole.live import Live
    from jwtrole.policy import Policy

__all__ = ["compare"]

log: logging.Logger = logging.getLogger(__name__)


@dataclass
class _Changes:
    """Collect what goes before and what comes after Alembic's own changes."""

    before: list[Operation] = field(default_factory=list)
    after: list[Operation] = field(default_factory=list)


def compare(
    context: AutogenContext, upgrade: ops.UpgradeOps, _schemas: Any
) -> PriorityDispatchResult:
    """Add what protects the tables to a revision.

    Raises:
        ConfigurationError: A declaration cannot be written as SQL.
    """
    # Autogenerate is never offline.
    connection = cast("Connection", context.connection)
    ask = functools.partial(query, connection)
    known = {
        table: declared(table.metadata).get(table, Declared())
        for table in context.sorted_tables
        if context.run_object_filters(
            table, table.name, "table", reflected=False, compare_to=None
        )
    }
    on_others = [*_declared_on(context)]
    named = {role for one in known.values() for role in one.role_names}
    named |= {grant.to for one in on_others for grant in one} | WANTED.roles
    retyped = set(_retyped(upgrade))
    changes = _Changes()
    for table, one in known.items():
        name = TableName(table.name, table.schema)
        live = read(ask, *name)
        wanted = one.compiled(table)
        spelled = canonical(connection, table, wanted) if live.policies else {}
        keep = {} if name in retyped else spelled
        _policies(changes, name, wanted, live, keep, again=name in retyped)
        # Whom our own policies are for was ours to grant, and is to revoke: without
        # them every row would be open to what is left.
        ours = {
            role
            for found in live.policies.values()
            if found.is_ours
            for role in found.policy.to
        }
        for differing in (differing_privileges, differing_sequences):
            revoked, granted = differing(table, one, live, named | ours)
            changes.before += revoked
            changes.after += granted
    if on_others:
        revoked, granted = differing_grants(
            connection, list(itertools.chain(*on_others)), named
        )
        changes.before += revoked
        changes.after += granted
    for name in _dropped(upgrade):
        changes.before += _let_go(name, read(ask, *name), named)
    if any(one.policies for one in known.values()):
        _warn_without_copies(connection)
        changes.before[:0] = schema.changes(connection)
    without_claims(upgrade)
    # With include_schemas Alembic finds our own tables, which nobody declares.
    upgrade.ops[:] = [one for one in upgrade.ops if not schema.is_ours(one)]
    upgrade.ops[:0] = changes.before
    upgrade.ops += changes.after
    return PriorityDispatchResult.CONTINUE


def _declared_on(context: AutogenContext) -> Iterator[list[GrantOn]]:
    # Several, where the databases of several metadata are one.
    given: Any = context.metadata
    for metadata in given if isinstance(given, list | tuple) else [given]:
        found = declared_on(metadata)
        if found is not None:
            yield found


def _policies(  # noqa: PLR0913  both sides, and how to tell whether they differ
    changes: _Changes,
    table: TableName,
    wanted: list[Policy],
    live: Live,
    spelled: Mapping[str, Policy],
    *,
    again: bool,
) -> None:
    if wanted and not (live.enabled and live.forced):
        repairs = live.enabled or live.forced
        changes.after.append(op.EnableRowSecurity(table, repairs=repairs))
    for policy in wanted:
        found = live.policies.get(policy.name)
        if found is not None:
            if not again and _is_same(policy, found, spelled.get(policy.name)):
                continue
            changes.before.append(op.DropPolicy(found.policy))
        changes.after.append(op.CreatePolicy(policy))
    _undeclared(changes, table, wanted, live)


def _undeclared(
    changes: _Changes, table: TableName, wanted: list[Policy], live: Live
) -> None:
    names = {policy.name for policy in wanted}
    extra = [
        found
        for name, found in live.policies.items()
        # Of a table that declares none, those that others made are left alone.
        if name not in names and (wanted or found.is_ours)
    ]
    changes.before += [op.DropPolicy(found.policy) for found in extra]
    if extra and not wanted and len(extra) == len(live.policies):
        changes.before.append(op.DisableRowSecurity(table))


def _is_same(policy: Policy, found: Found, spelled: Policy | None) -> bool:
    if spelled is not None:
        return found.means(spelled)
    same = found.was_made_from(policy)
    log.warning(
        "PostgreSQL cannot try out policy %r of %r yet; going by its recorded hash it "
        "is %s",
        policy.name, policy.table, "unchanged" if same else "changed: created anew",
    )  # fmt: skip
    return same


def _warn_without_copies(connection: Connection) -> None:
    right = missing_right(connection)
    if right is not None:
        log.warning(
            "No temporary tables can be made here, so that policies are compared by "
            "their recorded hash alone and what was altered by hand is not found. "
            "Have the database's owner run: %s",
            right,
        )


def _let_go(table: TableName, live: Live, named: set[str]) -> Iterator[Operation]:
    """Yield what takes the protection off a table that is dropped.

    It would vanish with the table; the way back needs it.
    """
    if any(found.is_ours for found in live.policies.values()):
        to = {role for found in live.policies.values() for role in found.policy.to}
        yield from every_privilege(table, live, named | to)
        for found in live.policies.values():
            yield op.DropPolicy(found.policy)
        yield op.DisableRowSecurity(table)


def _retyped(upgrade: ops.UpgradeOps) -> Iterator[TableName]:
    # PostgreSQL changes no column's type while a policy reads it.
    for operation in upgrade.ops:
        if isinstance(operation, ops.ModifyTableOps):
            for change in operation.ops:
                if (
                    isinstance(change, ops.AlterColumnOp)
                    and change.modify_type is not None
                ):
                    yield TableName(operation.table_name, operation.schema)


def _dropped(upgrade: ops.UpgradeOps) -> Iterator[TableName]:
    for operation in upgrade.ops:
        if isinstance(operation, ops.DropTableOp):
            yield TableName(operation.table_name, operation.schema)
