"""The subcommands that tell a database whom to trust: ``issuers``, ``keys``, ``deny``.

They are for databases that verify tokens themselves, and for their owner.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from jwtrole import revocation
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from jwtrole.begin import Statement
    from jwtrole.tokens import JWTRole

__all__ = ["add_to", "apply", "driver", "imported", "named"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands to those of the program."""
    _add_issuers(commands)
    _add_keys(commands)
    _add_deny(commands)
    _add_allow(commands)


def apply(dsn: str, statements: Sequence[str | Statement]) -> None:
    """Run statements in one transaction; the server's warnings are printed.

    Raises:
        ConfigurationError: There is no driver or no connection, or the server refused
            a statement; nothing was applied.
    """
    for warning in driver().run_script(dsn, statements):
        print(f"jwtrole: {warning}", file=sys.stderr)  # noqa: T201


def driver() -> Any:
    """Return the module that connects.

    Raises:
        ConfigurationError: There is no driver.
    """
    try:
        # Only here: printing works without one.
        return importlib.import_module("jwtrole.drivers.script")
    except ImportError as error:
        msg = (
            f"Connecting needs psycopg 3 ({error}): "
            'python -m pip install "jwtrole[psycopg]".'
        )
        raise ConfigurationError(msg) from None


def named(place: str) -> JWTRole:
    """Return the configuration that stands in a module.

    Args:
        place: Module and name, as in ``billing.auth:auth``.

    Raises:
        ConfigurationError: There is none.
    """
    from jwtrole.tokens import JWTRole  # noqa: PLC0415

    found = imported(place, "auth")
    if not isinstance(found, JWTRole):
        msg = f"{place!r} is no JWTRole: name one as module:name."
        raise ConfigurationError(msg)
    return found


def imported(place: str, name: str) -> Any:
    """Return what stands at a place, ``None`` where the module has no such name.

    Args:
        place: Where it stands, as in ``"billing.auth:auth"``.
        name: Its name where the place is a module alone.

    Raises:
        ConfigurationError: The module cannot be imported.
    """
    module, _, given = place.partition(":")
    # As `python -m` does: what stands in the current directory can be named.
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), given or name, None)
    except (ImportError, ValueError) as error:
        msg = f"{place!r} cannot be imported: {error}."
        raise ConfigurationError(msg) from None


def _add_issuers(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    command = commands.add_parser(
        "issuers",
        help="have the database trust what the configuration does",
        description=(
            "Push issuers, keys and role maps of a configuration to a database that "
            "verifies tokens itself. Told twice, nothing changes."
        ),
    )
    command.add_argument("verb", choices=["sync"], help="push what is declared")
    command.add_argument(
        "auth", help="where the JWTRole stands, as in billing.auth:auth"
    )
    _end(command, _sync)


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "keys",
        help="give the seal of a database another secret",
        description=(
            "Give the seal of a database another secret, after a restore or where the "
            "old one may have leaked. Every ticket ends; clients log in again by "
            "themselves."
        ),
    )
    command.add_argument("verb", choices=["rotate-seal"], help="make a new secret")
    _end(command, _rotate)


def _add_deny(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "deny",
        help="have the database refuse a token or a subject",
        description=(
            "Refuse a token, or all tokens of a subject, before its time is over. The "
            "issuer's tickets end; its other clients log in again by themselves."
        ),
    )
    _add_which(command)
    command.add_argument(
        "--until",
        metavar="ISO8601",
        help="a date and time with its offset from UTC; for ever unless given",
    )
    _end(command, _deny)


def _add_allow(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "allow",
        help="take a token or a subject off the deny list",
        description="Take a token or a subject off the deny list.",
    )
    _add_which(command)
    _end(command, _allow)


def _add_which(command: argparse.ArgumentParser) -> None:
    command.add_argument("issuer", help="who issued it: the iss of the token")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--jti", metavar="VALUE", help="the id of one token")
    which.add_argument("--sub", metavar="VALUE", help="a subject of the issuer")


def _end(command: argparse.ArgumentParser, run: object) -> None:
    command.add_argument("--dsn", required=True, help="the database, as its owner")
    command.set_defaults(run=run)


def _sync(chosen: argparse.Namespace) -> int:
    # Only this command reads keys; the others work without.
    from jwtrole.sync import statements  # noqa: PLC0415

    apply(chosen.dsn, statements(named(chosen.auth)))
    return 0


def _rotate(chosen: argparse.Namespace) -> int:
    return _change(chosen.dsn, revocation.rotate_seal())


def _deny(chosen: argparse.Namespace) -> int:
    change = revocation.deny(
        chosen.issuer, jti=chosen.jti, sub=chosen.sub, until=chosen.until
    )
    return _change(chosen.dsn, change)


def _allow(chosen: argparse.Namespace) -> int:
    change = revocation.allow(chosen.issuer, jti=chosen.jti, sub=chosen.sub)
    return _change(chosen.dsn, change)


def _change(dsn: str, change: revocation.Change) -> int:
    apply(dsn, change.statements)
    print(change.done)  # noqa: T201
    return 0
