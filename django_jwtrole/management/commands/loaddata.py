"""Django's ``loaddata``, as the owner."""

from __future__ import annotations

from django.core.management.commands.loaddata import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``loaddata`` as the owner."""

    # FORCE hides rows from the owner too: an error is better than a part of the data.
    row_security = False
