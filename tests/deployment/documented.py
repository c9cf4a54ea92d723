"""What the page on connection pools has users set: the tests use nothing else."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests import documents
from tests.behaviour.opening import ADAPTERS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = documents.ROOT / "docs/explanation/pooling.md"

#: The opposite, by driver: each statement is prepared at once. asyncpg does so by
#: itself, psycopg2 never.
PREPARING: dict[str | None, dict[str, Any]] = {
    "psycopg": {"prepare_threshold": 0},
    "psycopg2": {},
    "asyncpg": {},
    None: {"OPTIONS": {"prepare_threshold": 0, "server_side_binding": True}},
}


@dataclass(frozen=True)
class Documented:
    """Be the settings of the page.

    Args:
        drivers: What connections are told, by driver; under ``None`` Django's.
        bouncer: What stands under ``[pgbouncer]``.
    """

    drivers: dict[str | None, dict[str, Any]]
    bouncer: dict[str, str]

    def settings(self, which: str) -> dict[str, Any]:
        """Return what the connections of an adapter are told."""
        return self.drivers[ADAPTERS[which][2]]


def read(directory: Path) -> Documented:
    """Read the page, running its Python in a directory."""
    reader = documents.Reader(directory, {}, {}, {})
    reader.read(PAGE)
    names = dict(reader.names)
    reader.close()
    files = configparser.ConfigParser()
    for block in documents.parse(PAGE):
        if documents.kind(block) == "ini":
            files.read_string(block.parsed)
    cursors = "DISABLE_SERVER_SIDE_CURSORS"
    return Documented(
        {
            "psycopg": names["PSYCOPG"],
            "psycopg2": {},
            "asyncpg": names["ASYNCPG"],
            None: {cursors: names["DATABASES"]["default"][cursors]},
        },
        dict(files["pgbouncer"]),
    )
