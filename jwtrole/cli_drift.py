"""The subcommand ``drift``: what in a database is not what was declared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jwtrole import drift
from jwtrole.cli_trust import driver, imported
from jwtrole.difference import as_json, as_text
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_to"]

#: What reads a declaration, by the package and the class that it is made with. Loaded
#: by name, and only for such a declaration: the core knows no ORM.
_READERS = {("sqlalchemy", "MetaData"): "sqlalchemy_jwtrole.comparison"}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to those of the program."""
    command = commands.add_parser(
        "drift",
        help="compare a database with what is declared",
        description=(
            "Name what in a database is not what SQLAlchemy's metadata declares, and "
            "what repairs it. The exit status is 1 when something is found."
        ),
    )
    command.add_argument(
        "metadata",
        nargs="+",
        help="where the MetaData or the declarative base stands, as in models:Base",
    )
    command.add_argument("--dsn", required=True, help="the database, as its owner")
    command.add_argument(
        "--owner", help="who is to own the tables; the role of --dsn unless given"
    )
    command.add_argument(
        "--declared-only",
        action="store_true",
        help="leave alone what jwtrole made on other tables, for another project",
    )
    command.add_argument("--json", action="store_true", help="print it for programs")
    command.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> int:
    declared = [_declaration(place) for place in chosen.metadata]
    # All the declarations of a database, or those of one would be drift to the other.
    reader: Any = importlib.import_module(declared[0][0])
    tables = reader.declared_tables(*(one for _, one in declared))

    with driver().asking(chosen.dsn) as ask:
        expected = drift.expect(ask, tables, owner=chosen.owner, migrate=reader.MIGRATE)
        found = drift.find(
            ask, tables, expected, is_ours=lambda _: not chosen.declared_only
        )
    text = as_json(found) if chosen.json else as_text(found) or "No drift."
    print(text)  # noqa: T201
    return 1 if found else 0


def _declaration(place: str) -> tuple[str, Any]:
    found = imported(place, "Base")
    # A declarative base has its metadata as an attribute.
    found = getattr(found, "metadata", found)
    for kind in type(found).__mro__:
        package, _, _ = kind.__module__.partition(".")
        if reader := _READERS.get((package, kind.__name__)):
            return reader, found
    msg = f"{place!r} is no MetaData and no declarative base: name one as module:name."
    raise ConfigurationError(msg)
