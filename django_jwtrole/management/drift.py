"""What ``migrate`` proves at its end, and what ``manage.py jwtrole drift`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connections

from django_jwtrole import comparison
from jwtrole.difference import as_json, as_text
from jwtrole.errors import DriftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.core.management.base import BaseCommand

    from jwtrole.difference import Difference

__all__ = ["SWITCH", "Drifted", "prove", "report"]

#: What leaves the check out.
SWITCH = "--no-drift-check"


class Drifted(DriftError, CommandError):
    """Be the error as commands show it: without a traceback, exit status 1."""

    def __init__(self, message: str, *, differences: Sequence[Difference]) -> None:
        super().__init__(message, differences=differences)
        self.returncode = 1


def report(command: BaseCommand, alias: str, *, as_list: bool) -> None:
    """Print what differs, and end with the exit status 1 where something does.

    Args:
        command: Prints it.
        alias: The owner's alias, of PostgreSQL.
        as_list: Whether programs are to read it.
    """
    found = comparison.drift(alias)
    if as_list:
        command.stdout.write(as_json(found))
    else:
        command.stdout.write(as_text(found) or "No drift.")
    for line in _hints(alias) if found else ():
        command.stderr.write(line)
    if found:
        raise SystemExit(1)


def prove(command: BaseCommand, options: dict[str, Any]) -> None:
    """Compare the database with the models; say what is left out, and why.

    Args:
        command: Prints it.
        options: Those of ``migrate``.

    Raises:
        Drifted: Something differs.
    """
    alias = options["database"]
    if connections[alias].vendor != "postgresql":
        return
    if not options["drift_check"]:
        command.stderr.write(f"Drift was not looked for: {SWITCH} was given.")
        return
    unapplied, unmade = comparison.unapplied(alias), comparison.unmade(alias)
    if options["verbosity"] > 0:
        for line in _left_out(alias, unapplied, unmade):
            command.stdout.write(f"Drift was not looked for {line}.")
    found = comparison.drift(
        alias, skipped={*unapplied, *unmade}, undeclared=not unapplied
    )
    if found:
        hints = "".join(f"{line}\n" for line in _hints(alias))
        msg = (
            f"The database is not what the models declare.\n{hints}Repair each of "
            f"these as the owner; {SWITCH} leaves the check out for one run."
        )
        raise Drifted(msg, differences=found)


def _left_out(alias: str, unapplied: dict[str, str], unmade: set[str]) -> Iterator[str]:
    labels = {model._meta.app_label for model in comparison.protected(alias)}
    for label in sorted(labels & unapplied.keys()):
        yield f"in {label}: {unapplied[label]} is not applied"
    for label in sorted(unmade):
        yield f"in {label}: it has no migrations, and tables that are missing"
    if unapplied:
        first = ".".join(next(iter(unapplied.items())))
        yield f"on tables without a model: {first} is not applied"


def _hints(alias: str) -> Iterator[str]:
    if unapplied := comparison.unapplied(alias):
        first = ".".join(next(iter(unapplied.items())))
        yield f"{first} is not applied: run `python manage.py migrate` first."
    if unwritten := sorted(comparison.unwritten(alias)):
        yield (
            f"The models of {', '.join(unwritten)} have changes that no migration has: "
            "run `python manage.py makemigrations` and `migrate` first."
        )
