"""On which alias a command runs: the owner's, unless it says otherwise."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_jwtrole.conf import conf, is_protected
from django_jwtrole.postgresql.base import bare_login
from django_jwtrole.postgresql.creation import nobody
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.management.base import CommandParser

    _Command = BaseCommand
else:
    _Command = object

__all__ = ["ChecksMigrationsMixin", "ContribCommand", "LoginCommand", "OwnerCommand"]


class ChecksMigrationsMixin(_Command):
    """Look for unapplied migrations as the bare login; goes before the command.

    Django looks on the alias ``default``, whichever the command runs on.
    """

    def check_migrations(self) -> None:
        """Warn of unapplied migrations."""
        with bare_login():
            super().check_migrations()


class OwnerCommand(ChecksMigrationsMixin):
    """Run a command of Django on ``JWTROLE["OWNER"]``; goes before the command."""

    #: ``False`` makes it an error, not a part of the rows, where policies hide some.
    row_security = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Have ``--database`` mean the owner's alias where it is left out."""
        super().add_arguments(parser)
        parser.set_defaults(database=self._alias())

    def _alias(self) -> str:
        try:
            return conf().owner
        except ConfigurationError as error:
            raise CommandError(str(error)) from error

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run it, unless on an alias whose login may do nothing."""
        alias = options["database"]
        connection = connections[alias]
        # A test database's login is the owner outside requests.
        if is_protected(alias) and nobody(connection.settings_dict) is None:
            msg = (
                f"The login of the alias {alias!r} may do nothing by itself: use "
                f"--database {self._alias()}, or leave --database out."
            )
            raise CommandError(msg)
        with contextlib.nullcontext() if self.row_security else _whole(alias):
            return super().execute(*args, **options)


@contextlib.contextmanager
def _whole(alias: str) -> Iterator[None]:
    connection = connections[alias]
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET row_security = off")
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("RESET row_security")


class ContribCommand(OwnerCommand):
    """Run a command of Django's own apps on ``JWTROLE["CONTRIB"]``, or the owner's."""

    def _alias(self) -> str:
        owner = super()._alias()
        return conf().contrib or owner


class LoginCommand(_Command):
    """Run a command that reads the list of migrations on whichever alias."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run it as the bare login, which may read that list and nothing else."""
        with bare_login():
            return super().execute(*args, **options)
