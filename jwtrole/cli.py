"""The command line: ``jwtrole bootstrap``, ``jwtrole sql`` and the others."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from jwtrole import cli_drift, cli_trust, install, roles
from jwtrole.errors import ConfigurationError, JWTRoleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwtrole.fixed_roles import Role

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit status: 0, or 1 when something is wrong.

    Args:
        arguments: The words after the program's name; those of the process if ``None``.
    """
    chosen = _parser().parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
    except JWTRoleError as error:
        print(f"jwtrole: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jwtrole",
        description="Tie a verified JWT to PostgreSQL roles and row-level security.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_bootstrap(commands)
    _add_sql(commands)
    cli_trust.add_to(commands)
    cli_drift.add_to(commands)
    return parser


def _add_bootstrap(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    command = commands.add_parser(
        "bootstrap",
        help="make the owner, the login and the fixed roles",
        description=(
            "Print the statements that make the roles, or apply them. Safe to repeat. "
            "Whoever applies them needs CREATEROLE; nothing else ever does."
        ),
    )
    command.add_argument("--owner", required=True, help="owns tables, runs migrations")
    command.add_argument(
        "--login",
        action="append",
        required=True,
        help="the application logs in as it; may be repeated",
    )
    command.add_argument(
        "--auth",
        help="where the JWTRole stands, as in billing.auth:auth, whose roles are made",
    )
    command.add_argument(
        "--role", action="append", default=[], help="a fixed role; may be repeated"
    )
    command.add_argument("--anonymous", help="the role without a token")
    command.add_argument(
        "--test", action="append", help="logs in to test databases; may be repeated"
    )
    command.add_argument("--apply", action="store_true", help="run them on --dsn")
    command.add_argument("--dsn", help="where to apply them, as a role with CREATEROLE")
    command.set_defaults(run=_bootstrap)


def _bootstrap(chosen: argparse.Namespace) -> int:
    anonymous = [chosen.anonymous] if chosen.anonymous else []
    names = [*chosen.role, *anonymous]
    known: Mapping[str, Role] = {}
    if chosen.auth is not None:
        auth = cli_trust.named(chosen.auth)
        known = auth.fixed_roles
        names += [*auth.roles, *([auth.anonymous.role] if auth.anonymous else [])]
    elif not chosen.role:
        msg = "Nothing says which fixed roles to make: give --auth, --role or both."
        raise ConfigurationError(msg)
    statements = roles.bootstrap(
        owner=chosen.owner,
        login=chosen.login,
        roles=[known.get(name, name) for name in dict.fromkeys(names)],
        test=chosen.test,
    )
    if not chosen.apply:
        _show(statements)
        return 0
    if not chosen.dsn:
        msg = "--apply needs --dsn: say where, or leave both out to print."
        raise ConfigurationError(msg)
    cli_trust.apply(chosen.dsn, statements)
    return 0


def _add_sql(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "sql",
        help="print what installs the schema jwtrole",
        description=(
            "Print the statements that install the schema jwtrole, in one "
            "transaction, to be run by the owner. Migrations of Django and Alembic "
            "do the same."
        ),
    )
    command.add_argument(
        "--trust",
        choices=("database", "application"),
        default="database",
        help="who verifies tokens; the database unless given",
    )
    command.add_argument(
        "--login",
        action="append",
        default=[],
        help="a role the application logs in as; may be repeated",
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--from", type=int, dest="installed", help="the version that is there already"
    )
    which.add_argument("--down", action="store_true", help="print what removes it")
    command.set_defaults(run=_sql)


def _sql(chosen: argparse.Namespace) -> int:
    release = install.latest(chosen.trust)
    if chosen.down:
        statements = release.down()
    else:
        statements = (
            release.up()
            if chosen.installed is None
            else install.change(chosen.installed, release.version)
        )
        for login in chosen.login:
            statements += release.grants(login)
    _show(["BEGIN", *statements, "COMMIT"])
    return 0


def _show(statements: Sequence[str]) -> None:
    for statement in statements:
        print(f"{statement};")  # noqa: T201
