"""Django's ``migrate``, as the owner, the schema ``jwtrole`` first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Stock
from django.db import connections

from django_jwtrole.management.drift import SWITCH, prove
from django_jwtrole.management.owner import OwnerCommand
from django_jwtrole.operations import LABEL, install_first
from django_jwtrole.roles import named_by_plan, refuse_missing
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from django.core.management.base import CommandParser
    from django.db.backends.base.base import BaseDatabaseWrapper

_ONLY_LOOKING = ("plan", "check_unapplied", "prune")


class Command(OwnerCommand, Stock):
    """Run ``migrate`` as the owner."""

    # FORCE hides rows from the owner too: a data migration is whole or an error.
    row_security = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what leaves the check at the end out."""
        super().add_arguments(parser)
        parser.add_argument(
            SWITCH, action="store_false", dest="drift_check",
            help="Do not compare the database with the models at the end, this once.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Install what policies call, migrate, and prove that the database matches."""
        own = options["app_label"] == LABEL
        looks = any(options.get(name) for name in _ONLY_LOOKING)
        if not own and not looks and not options.get("fake"):
            connection = connections[options["database"]]
            connection.prepare_database()
            if connection.vendor == "postgresql":
                _refuse_missing(connection, options)
            install_first(connection)
        said: str | None = super().handle(*args, **options)
        if not looks:
            prove(self, options)
        return said


def _refuse_missing(connection: BaseDatabaseWrapper, options: dict[str, Any]) -> None:
    """Refuse before anything is done what would fail half-way."""
    names = named_by_plan(
        connection,
        options["app_label"],
        options["migration_name"],
        run_syncdb=options["run_syncdb"],
    )
    try:
        refuse_missing(connection, names)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
