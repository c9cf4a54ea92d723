"""``manage.py jwtrole``: the command line with the settings filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, transaction

from django_jwtrole.conf import auth
from django_jwtrole.management.drift import report
from django_jwtrole.management.owner import OwnerCommand
from django_jwtrole.roles import bootstrap_statements
from jwtrole import revocation, sync
from jwtrole.drivers.script import refusal_explained, run_script, send
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_USAGE = (
    "use `jwtrole bootstrap`, `jwtrole drift`, `jwtrole issuers sync`, "
    "`jwtrole keys rotate-seal`, or "
    "`jwtrole deny` or `jwtrole allow` with an issuer and --jti or --sub."
)


class Command(OwnerCommand, BaseCommand):
    """Make the roles, compare with the models, or tell the database whom to trust."""

    help = (
        "Make the roles of the settings, compare the database with the models, or tell "
        f"it whom to trust: {_USAGE}"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the words of the command line and an alias."""
        # No parsers of their own for these: the options that every command of Django
        # has could not follow them then.
        parser.add_argument(
            "what", choices=["bootstrap", "drift", "issuers", "keys", "deny", "allow"]
        )
        parser.add_argument(
            "which", nargs="?", default="", help="sync, rotate-seal, or the issuer"
        )
        parser.add_argument(
            "--json", action="store_true", help="print differences for programs"
        )
        claim = parser.add_mutually_exclusive_group()
        claim.add_argument("--jti", metavar="VALUE", help="the id of one token")
        claim.add_argument("--sub", metavar="VALUE", help="a subject of the issuer")
        parser.add_argument(
            "--until",
            metavar="ISO8601",
            help="deny until then, with an offset from UTC; for ever unless given",
        )
        parser.add_argument("--database", help="the owner's alias unless given")
        parser.add_argument(
            "--apply", action="store_true", help="make the roles on --dsn"
        )
        parser.add_argument(
            "--dsn", help="where to make the roles, as a role with CREATEROLE"
        )
        parser.add_argument(
            "--no-test",
            action="store_true",
            help="make no logins of tests: for servers without test databases",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; what is the same already stays as it is."""
        if options["what"] == "bootstrap":
            self._bootstrap(options)
            return
        alias = options["database"]
        if connections[alias].vendor != "postgresql":
            msg = f"The alias {alias!r} is no PostgreSQL."
            raise CommandError(msg)
        try:
            if _is_drift(options):
                report(self, alias, as_list=options["json"])
                return
            change = _change(options)
            with refusal_explained(), transaction.atomic(using=alias):
                send(connections[alias].connection, change.statements)
        except (JWTRoleError, DatabaseError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{alias}: {change.done}")

    def _bootstrap(self, options: dict[str, Any]) -> None:
        given = [options[name] for name in ("which", "jti", "sub", "until", "json")]
        if any(given):
            msg = f"`jwtrole bootstrap` takes no more than its options: {_USAGE}"
            raise CommandError(msg)
        if options["apply"] and not options["dsn"]:
            msg = "--apply needs --dsn: say where, or leave both out to print."
            raise CommandError(msg)
        try:
            statements = bootstrap_statements(tests=not options["no_test"])
            if options["apply"]:
                for warning in run_script(options["dsn"], statements):
                    self.stderr.write(warning)
                return
        except JWTRoleError as error:
            raise CommandError(str(error)) from None
        for statement in statements:
            self.stdout.write(f"{statement};")


def _is_drift(options: dict[str, Any]) -> bool:
    given = [options[name] for name in ("which", "jti", "sub", "until")]
    return options["what"] == "drift" and not any(given)


def _change(options: dict[str, Any]) -> revocation.Change:
    what, which = options["what"], options["which"]
    claim = {kind: options[kind] for kind in ("jti", "sub")}
    until = options["until"]
    if what == "deny" and which:
        return revocation.deny(which, until=until, **claim)
    if what == "allow" and which and until is None:
        return revocation.allow(which, **claim)
    if not options["json"] and until is None and set(claim.values()) == {None}:
        if (what, which) == ("keys", "rotate-seal"):
            return revocation.rotate_seal()
        if (what, which) == ("issuers", "sync"):
            done = "issuers, keys and roles are those of JWTROLE."
            return revocation.Change(sync.statements(auth()), done)
    msg = f"`jwtrole {what} {which or ''}` with these options makes no sense: {_USAGE}"
    raise CommandError(msg)
