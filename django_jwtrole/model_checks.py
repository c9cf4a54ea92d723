"""System checks of what models declare, before a migration is written of it.

Django 5.2 checks constraints where databases are given, which makemigrations does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter

from django_jwtrole.clauses import nodes
from django_jwtrole.comparisons import refuse_other_types
from django_jwtrole.dependencies import missing
from django_jwtrole.policy import Policy
from django_jwtrole.related import related
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import identifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.apps import AppConfig
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

__all__ = ["check_dependencies", "check_policies"]


def check_policies(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[CheckMessage]:
    """Say what is wrong with the policies of models, without connecting."""
    given = apps.get_app_configs() if app_configs is None else app_configs
    return [
        Error(str(error), obj=model, id="jwtrole.E020")
        for app in given
        for model in app.get_models(include_auto_created=True)
        for policy in _policies(model)
        for error in _problems(policy, model)
    ]


def check_dependencies(**_: Any) -> list[CheckMessage]:
    """Say which migrations lack a dependency on what their policies read."""
    reading = any(
        one.app_label != model._meta.app_label
        for model in apps.get_models()
        for policy in _policies(model)
        for expression in policy.expressions
        for one in related(expression)
    )
    # Most projects are spared the look at every migration.
    if not reading:
        return []
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return [Error(text, id="jwtrole.E021") for text in missing(loader)]


def _policies(model: type[Model]) -> list[Policy]:
    return [one for one in model._meta.constraints if isinstance(one, Policy)]


def _problems(policy: Policy, model: type[Model]) -> Iterator[ConfigurationError]:
    where = policy.where(model)
    try:
        _name(policy, where)
        found = policy.resolved(model)
        _serializable(policy, where)
        if connection := _postgresql():
            for clause in filter(None, found):
                refuse_other_types(nodes(clause), connection, where)
    except ConfigurationError as error:
        yield error


def _name(policy: Policy, where: str) -> None:
    try:
        identifier(policy.name)
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error


def _serializable(policy: Policy, where: str) -> None:
    try:
        MigrationWriter.serialize(policy)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        msg = (
            f"{where}: {reason}. A migration must be able to write it: use plain "
            "values and expressions that can be imported."
        )
        raise ConfigurationError(msg) from error


def _postgresql() -> BaseDatabaseWrapper | None:
    found = (connections[alias] for alias in connections)
    return next((one for one in found if one.vendor == "postgresql"), None)
