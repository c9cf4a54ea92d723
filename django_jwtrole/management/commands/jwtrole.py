"""``manage.py jwtrole``: the command line with the settings filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, transaction

from django_jwtrole.conf import auth
from django_jwtrole.management.owner import OwnerCommand
from jwtrole import sync
from jwtrole.drivers.script import refusal_explained, send
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(OwnerCommand, BaseCommand):
    """Run ``jwtrole issuers sync`` as the owner."""

    help = "Have the database trust the issuers, keys and roles of JWTROLE."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``issuers sync`` and an alias."""
        parser.add_argument("what", choices=["issuers"])
        parser.add_argument("verb", choices=["sync"])
        parser.add_argument("--database", help="the owner's alias unless given")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Push what is declared; what is the same already stays as it is."""
        alias = options["database"]
        try:
            statements = sync.statements(auth())
            with refusal_explained(), transaction.atomic(using=alias):
                send(connections[alias].connection, statements)
        except (JWTRoleError, DatabaseError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{alias}: issuers, keys and roles are those of JWTROLE.")
