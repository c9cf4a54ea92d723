"""The released SQL files by version: what they hold, their hash, up and down.

A released file is never edited; a change is a new file beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import literal

__all__ = ["LATEST", "OWNER_ROLE", "Release", "installed_version_sql", "release"]

#: The role that owns the schema ``jwtrole``; NOLOGIN, made by ``jwtrole bootstrap``.
OWNER_ROLE = "jwtrole_owner"

_SEPARATOR = "\n-- //\n"


@dataclass(frozen=True, slots=True)
class Release:
    """Be one released version of the schema ``jwtrole``.

    Args:
        version: The number ``jwtrole.version()`` answers with.
        name: The stem of its two files in ``jwtrole/sql``.
    """

    version: int
    name: str

    def _text(self, suffix: str = "") -> str:
        file = resources.files("jwtrole") / "sql" / f"{self.name}{suffix}.sql"
        return file.read_text(encoding="utf-8")

    @property
    def sha256(self) -> str:
        """Return the hash of the file that installs it, 64 hexadecimal digits."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def up(self) -> tuple[str, ...]:
        """Return the statements that install it, to be run in one transaction.

        Whoever runs them owns or may create schemas in the database and is a member
        of ``jwtrole_owner``; no superuser is needed.
        """
        note = literal(f"jwtrole {self.name} sha256:{self.sha256}")
        return (*_statements(self._text()), f"COMMENT ON SCHEMA jwtrole IS {note}")

    def down(self) -> tuple[str, ...]:
        """Return the statements that remove it; they fail while a policy needs it."""
        return _statements(self._text("_down"))


def _statements(text: str) -> tuple[str, ...]:
    parts = (
        "\n".join(line for line in part.splitlines() if not line.startswith("--"))
        for part in text.split(_SEPARATOR)
    )
    return tuple(part.strip() for part in parts)


_RELEASES = {1: Release(1, "claims_1")}

#: The newest version of the schema that this distribution holds.
LATEST = max(_RELEASES)


def release(version: int = LATEST) -> Release:
    """Return a released version of the schema.

    Raises:
        ConfigurationError: There is no such version here.
    """
    try:
        return _RELEASES[version]
    except KeyError:
        msg = (
            f"This jwtrole holds no version {version!r} of its schema, only "
            f"{sorted(_RELEASES)}: install the release of jwtrole that made it."
        )
        raise ConfigurationError(msg) from None


def installed_version_sql() -> str:
    """Return a query that answers ``true`` where the schema is installed."""
    return (
        "SELECT pg_catalog.to_regprocedure('jwtrole.version()') IS NOT NULL"
        " AS installed"
    )
