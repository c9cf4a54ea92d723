"""The roles that a migration names, which nothing but the bootstrap makes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.executor import MigrationExecutor

from django_jwtrole.conf import conf, protected_aliases
from django_jwtrole.policy import Grant, Policy
from jwtrole.errors import ConfigurationError
from jwtrole.install import OWNER_ROLE
from jwtrole.roles import bootstrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["bootstrap_statements", "logins", "named_by_plan", "refuse_missing"]

_MISSING = """
SELECT name FROM pg_catalog.unnest(%s::text[]) AS name
WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles) ORDER BY name
"""
_COMMAND = "python manage.py jwtrole bootstrap --apply --dsn DSN"


def logins() -> dict[str, str]:
    """Return the login role of each protected alias by alias."""
    return {
        alias: connections[alias].settings_dict["USER"] for alias in protected_aliases()
    }


def bootstrap_statements(*, tests: bool = True) -> tuple[str, ...]:
    """Return the statements that make every role the settings name.

    Args:
        tests: Whether to make the logins of tests as well.

    Raises:
        ConfigurationError: A name that is reserved, unusable or given twice.
    """
    checked = conf()
    given = (connections[alias].settings_dict for alias in protected_aliases())
    test_logins = [one["TEST"]["USER"] for one in given if one["TEST"].get("USER")]
    names = [*checked.roles, *filter(None, [checked.anonymous])]
    return bootstrap(
        owner=connections[checked.owner].settings_dict["USER"],
        login=list(dict.fromkeys(logins().values())),
        roles=[checked.fixed_roles[name] for name in dict.fromkeys(names)],
        test=list(dict.fromkeys(test_logins)) if tests else None,
    )


def refuse_missing(connection: BaseDatabaseWrapper, names: Iterable[str]) -> None:
    """Check that roles exist.

    Raises:
        ConfigurationError: Some are missing; it says what makes them.
    """
    wanted = sorted(set(names) - {"PUBLIC"})
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [wanted])
        missing = [name for (name,) in cursor.fetchall()]
    if not missing:
        return
    msg = (
        f"PostgreSQL lacks the roles {', '.join(missing)}: have somebody with "
        f"CREATEROLE run `{_COMMAND}`."
    )
    known = {*conf().fixed_roles, *logins().values(), OWNER_ROLE}
    if unknown := [name for name in missing if name not in known]:
        msg += (
            f" The settings do not declare {', '.join(unknown)}: name them in "
            "JWTROLE['ROLES'], or among what a Role there inherits, before."
        )
    raise ConfigurationError(msg)


def named_by_plan(
    connection: BaseDatabaseWrapper,
    app_label: str | None,
    migration_name: str | None,
    *,
    run_syncdb: bool = False,
) -> set[str]:
    """Return the roles named by the migrations that ``migrate`` is about to apply."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    targets = [
        key for key in graph.leaf_nodes() if app_label is None or key[0] == app_label
    ]
    if app_label and migration_name:
        targets = []
        # What names no migration is for Django to refuse.
        with contextlib.suppress(KeyError, AmbiguityError):
            found = executor.loader.get_migration_by_prefix(app_label, migration_name)
            targets = [(app_label, found.name)]
    operations = (
        operation
        for migration, backwards in executor.migration_plan(targets)
        for operation in migration.operations
        if not backwards
    )
    names = set(_named(operations))
    if run_syncdb:
        for label in executor.loader.unmigrated_apps:
            for model in apps.get_app_config(label).get_models():
                names |= set(_of_constraints(model._meta.constraints))
    return names


def _named(operations: Iterable[Any]) -> Iterator[str]:
    for operation in operations:
        yield from getattr(operation, "role_names", ())
        yield from _of_constraints(getattr(operation, "options", {}).get("constraints"))
        yield from _of_constraints([getattr(operation, "constraint", None)])
        yield from _named(getattr(operation, "database_operations", ()))


def _of_constraints(constraints: Iterable[object] | None) -> Iterator[str]:
    for constraint in constraints or ():
        if isinstance(constraint, Policy):
            yield from constraint.to
        elif isinstance(constraint, Grant):
            yield constraint.to
