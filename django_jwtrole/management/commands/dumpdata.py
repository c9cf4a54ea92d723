"""Django's ``dumpdata``, as the owner."""

from __future__ import annotations

from django.core.management.commands.dumpdata import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``dumpdata`` as the owner."""

    # FORCE hides rows from the owner too: an error is better than a part of the data.
    row_security = False
