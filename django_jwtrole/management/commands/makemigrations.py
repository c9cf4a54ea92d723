"""Django's ``makemigrations``, as the login, which may see what is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.core.management.commands.makemigrations import Command as Stock
from django.db.migrations.loader import MigrationLoader

from django_jwtrole.dependencies import complete
from django_jwtrole.management.owner import LoginCommand

if TYPE_CHECKING:
    from django.db.migrations import Migration


class Command(LoginCommand, Stock):
    """Run ``makemigrations`` as the login, which may see what is applied."""

    def write_migration_files(
        self, changes: dict[str, list[Migration]], *args: Any, **options: Any
    ) -> None:
        """Write them, what their policies read in other apps among the dependencies."""
        loader = MigrationLoader(None, ignore_no_migrations=True)
        if problems := list(complete(changes, loader)):
            raise CommandError("\n".join(problems))
        super().write_migration_files(changes, *args, **options)
