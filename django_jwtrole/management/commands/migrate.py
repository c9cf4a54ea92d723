"""Django's ``migrate``, as the owner, the schema ``jwtrole`` first."""

from __future__ import annotations

from typing import Any

from django.core.management.commands.migrate import Command as Stock
from django.db import connections

from django_jwtrole.management.owner import OwnerCommand
from django_jwtrole.operations import LABEL, install_first

_ONLY_LOOKING = ("plan", "check_unapplied", "fake", "prune")


class Command(OwnerCommand, Stock):
    """Run ``migrate`` as the owner."""

    # FORCE hides rows from the owner too: a data migration is whole or an error.
    row_security = False

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Install what policies call, then migrate."""
        own = options["app_label"] == LABEL
        if not own and not any(options.get(name) for name in _ONLY_LOOKING):
            connection = connections[options["database"]]
            connection.prepare_database()
            install_first(connection)
        return super().handle(*args, **options)
