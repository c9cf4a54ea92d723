"""Which migrations of other apps must run first, for a policy reads their models.

Django finds these for foreign keys alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.db.migrations.operations import AddConstraint, CreateModel

from django_jwtrole.policy import Policy
from django_jwtrole.related import related

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django.db.migrations import Migration
    from django.db.migrations.loader import MigrationLoader

__all__ = ["complete", "missing"]

Key = tuple[str, str]


def complete(
    changes: Mapping[str, Sequence[Migration]], loader: MigrationLoader
) -> Iterator[str]:
    """Add to new migrations what their policies need; yield why where that fails.

    Args:
        changes: The new migrations by app.
        loader: Those that are there.
    """
    new = {(one.app_label, one.name): one for many in changes.values() for one in many}
    for key, migration in new.items():
        for label in _reads(migration):
            needed = _creator(label, new, loader)
            if needed is None or needed in _before(key, new, loader):
                continue
            if key in _before(needed, new, loader):
                yield (
                    f"A policy in the new migration {key[1]!r} of {key[0]!r} reads "
                    f"{label}, and {needed[1]!r} of {needed[0]!r}, which creates that, "
                    "needs this migration first. Take the policy out, run "
                    "makemigrations, put it back, and run makemigrations again."
                )
                continue
            cast("list[Key]", migration.dependencies).append(needed)


def missing(loader: MigrationLoader) -> Iterator[str]:
    """Yield what to add to migrations that were written without this."""
    for key, migration in loader.disk_migrations.items():
        for label in _reads(migration):
            needed = _creator(label, {}, loader)
            if needed and needed not in _before(key, {}, loader):
                yield (
                    f"A policy in the migration {key[1]!r} of {key[0]!r} reads "
                    f"{label}, which {needed[1]!r} of {needed[0]!r} creates: add "
                    f"{needed!r} to its dependencies."
                )


def _reads(migration: Migration) -> list[str]:
    """Return the models of other apps that a migration's policies read."""
    found = {
        one.model
        for policy in _policies(migration)
        for expression in policy.expressions
        for one in related(expression)
        if one.app_label != migration.app_label
    }
    return sorted(found)


def _policies(migration: Migration) -> Iterator[Policy]:
    for operation in migration.operations:
        constraints = []
        if isinstance(operation, CreateModel):
            constraints = operation.options.get("constraints", [])
        elif isinstance(operation, AddConstraint):
            constraints = [operation.constraint]
        yield from (one for one in constraints if isinstance(one, Policy))


def _creator(
    label: str, new: Mapping[Key, Migration], loader: MigrationLoader
) -> Key | None:
    app_label, name = label.split(".")
    for key, migration in {**loader.disk_migrations, **new}.items():
        if key[0] == app_label and any(
            isinstance(operation, CreateModel) and operation.name_lower == name.lower()
            for operation in migration.operations
        ):
            return key
    return None


def _before(
    key: Key, new: Mapping[Key, Migration], loader: MigrationLoader
) -> set[Key]:
    """Return a migration and all that must run before it."""
    seen: set[Key] = set()
    ahead = [key]
    while ahead:
        one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        migration = new.get(one) or loader.disk_migrations.get(one)
        if migration is not None:
            ahead += [_settled(found, loader) for found in migration.dependencies]
    return seen


def _settled(dependency: Key, loader: MigrationLoader) -> Key:
    app_label, name = dependency
    ends = {"__first__": loader.graph.root_nodes, "__latest__": loader.graph.leaf_nodes}
    found = ends[name](app_label) if name in ends else []
    return found[0] if found else dependency
