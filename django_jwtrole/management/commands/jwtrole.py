"""``manage.py jwtrole``: the command line with the settings filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, transaction

from django_jwtrole.conf import auth
from django_jwtrole.management.owner import OwnerCommand
from jwtrole import revocation, sync
from jwtrole.drivers.script import refusal_explained, send
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_USAGE = (
    "use `jwtrole issuers sync`, `jwtrole keys rotate-seal`, or `jwtrole deny` or "
    "`jwtrole allow` with an issuer and --jti or --sub."
)


class Command(OwnerCommand, BaseCommand):
    """Tell the database as the owner whom to trust."""

    help = "Tell the database whom to trust, as JWTROLE says: " + _USAGE

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the words of the command line and an alias."""
        # No parsers of their own for these: the options that every command of Django
        # has could not follow them then.
        parser.add_argument("what", choices=["issuers", "keys", "deny", "allow"])
        parser.add_argument("which", help="sync, rotate-seal, or the issuer")
        claim = parser.add_mutually_exclusive_group()
        claim.add_argument("--jti", metavar="VALUE", help="the id of one token")
        claim.add_argument("--sub", metavar="VALUE", help="a subject of the issuer")
        parser.add_argument(
            "--until",
            metavar="ISO8601",
            help="deny until then, with an offset from UTC; for ever unless given",
        )
        parser.add_argument("--database", help="the owner's alias unless given")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; what is the same already stays as it is."""
        alias = options["database"]
        if connections[alias].vendor != "postgresql":
            msg = f"The alias {alias!r} is no PostgreSQL and trusts nobody."
            raise CommandError(msg)
        try:
            change = _change(options)
            with refusal_explained(), transaction.atomic(using=alias):
                send(connections[alias].connection, change.statements)
        except (JWTRoleError, DatabaseError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{alias}: {change.done}")


def _change(options: dict[str, Any]) -> revocation.Change:
    what, which = options["what"], options["which"]
    claim = {kind: options[kind] for kind in ("jti", "sub")}
    until = options["until"]
    if what == "deny":
        return revocation.deny(which, until=until, **claim)
    if what == "allow" and until is None:
        return revocation.allow(which, **claim)
    if until is None and set(claim.values()) == {None}:
        if (what, which) == ("keys", "rotate-seal"):
            return revocation.rotate_seal()
        if (what, which) == ("issuers", "sync"):
            done = "issuers, keys and roles are those of JWTROLE."
            return revocation.Change(sync.statements(auth()), done)
    msg = f"`jwtrole {what} {which}` with these options makes no sense: {_USAGE}"
    raise CommandError(msg)
