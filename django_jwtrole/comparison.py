"""Whether a database is what the models declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, router, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_jwtrole.conf import conf
from django_jwtrole.constraint import TableConstraint
from django_jwtrole.policy import Grant, Policy, RowSecurity
from django_jwtrole.postgresql.creation import is_forced
from django_jwtrole.protect import Protect
from django_jwtrole.roles import logins
from jwtrole import drift as core
from jwtrole.declared import Declared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

    from jwtrole.difference import Difference

__all__ = ["drift", "protected", "unapplied", "unmade", "unwritten"]

_MIGRATE = "python manage.py migrate"


def drift(
    alias: str, *, skipped: Collection[str] = (), undeclared: bool = True
) -> list[Difference]:
    """Return what in a database is not what the models declare, the worst first.

    Nothing is left changed. In a test database row security need not hold for the
    owner, who writes fixtures.

    Args:
        alias: The owner's alias, of PostgreSQL.
        skipped: Labels of applications that are left out.
        undeclared: Whether policies that jwtrole made are looked for on tables that
            are named after an application and have no model any more.

    Raises:
        ConfigurationError: A declaration cannot be written as SQL.
    """
    connection = connections[alias]
    given = connection.settings_dict
    tables = [
        _declared(model, connection)
        for model in protected(alias)
        if model._meta.app_label not in skipped
    ]
    prefixes = _prefixes(connection)
    with transaction.atomic(using=alias), connection.cursor() as cursor:

        def ask(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

        ((owner,),) = ask("SELECT current_user::text")
        expected = core.expect(
            ask, tables, owner=owner, migrate=_MIGRATE, forced=is_forced(given),
            roles=[*conf().fixed_roles, *logins().values()],
            elsewhere=_by_migrations(connection),
        )  # fmt: skip
        return core.find(
            ask, tables, expected,
            is_ours=lambda table: undeclared and table.startswith(prefixes),
        )  # fmt: skip


def _by_migrations(connection: BaseDatabaseWrapper) -> Iterator[str]:
    # No model has them, and columns may have been renamed since.
    for migration in MigrationLoader(connection).disk_migrations.values():
        for operation in migration.operations:
            if isinstance(operation, Protect):
                yield from (
                    one.name for one in operation.constraints if isinstance(one, Policy)
                )


def _prefixes(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    # How Django names tables. One by another name may be another project's.
    applied = MigrationRecorder(connection).applied_migrations()
    labels = {config.label for config in apps.get_app_configs()}
    return tuple(f"{label}_" for label in labels.union(label for label, _ in applied))


def protected(alias: str) -> list[type[Model]]:
    """Return the models with a declaration whose tables an alias has."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if not (model._meta.proxy or model._meta.swapped)
        and any(isinstance(one, TableConstraint) for one in model._meta.constraints)
        and router.allow_migrate_model(alias, model)
    ]


def unapplied(alias: str) -> dict[str, str]:
    """Return the first migration that is not applied, by application."""
    executor = MigrationExecutor(connections[alias])
    found: dict[str, str] = {}
    for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes()):
        found.setdefault(migration.app_label, migration.name)
    return found


def unmade(alias: str) -> set[str]:
    """Return the applications without migrations whose tables are not there."""
    connection = connections[alias]
    unmigrated = MigrationLoader(connection).unmigrated_apps
    tables = connection.introspection.table_names()
    return {
        model._meta.app_label
        for model in protected(alias)
        if model._meta.app_label in unmigrated and model._meta.db_table not in tables
    }


def unwritten(alias: str) -> set[str]:
    """Return the applications whose models have changes that no migration has."""
    loader = MigrationLoader(connections[alias])
    now = ProjectState.from_apps(apps)
    changes = MigrationAutodetector(loader.project_state(), now).changes(loader.graph)
    return {model._meta.app_label for model in protected(alias)}.intersection(changes)


def _declared(model: type[Model], connection: BaseDatabaseWrapper) -> Declared:
    constraints = model._meta.constraints
    policies = [one for one in constraints if isinstance(one, Policy)]
    grants = [one for one in constraints if isinstance(one, Grant)]
    sequences = [grant.sequence(model) for grant in grants]
    return Declared(
        table=model._meta.db_table,
        # As with SQLAlchemy: what has a policy is to be protected.
        protected=any(isinstance(one, RowSecurity | Policy) for one in constraints),
        policies=[policy.compiled(model, connection) for policy in policies],
        grants=[grant.compiled(model) for grant in grants],
        sequences=[one for one in sequences if one is not None],
    )
