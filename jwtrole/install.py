"""The released SQL files by version: what they hold, their hash, up and down.

A released file is never edited; a change is a new file beside it.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from importlib import resources

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import identifier, literal

__all__ = [
    "LATEST",
    "OWNER_ROLE",
    "Release",
    "change",
    "installed_version_sql",
    "latest",
    "release",
    "versions",
]

#: The role that owns the schema ``jwtrole``; NOLOGIN, made by ``jwtrole bootstrap``.
OWNER_ROLE = "jwtrole_owner"

_SEPARATOR = "\n-- //\n"
# What others may put into a schema of the installer's search path must not be taken
# for a function of PostgreSQL's: nothing but its own is looked at meanwhile.
_SET_PATH = "SELECT pg_catalog.set_config('{}', {}, true)"
_SETTING = "pg_catalog.current_setting('{}')"
_KEEP_PATH = (
    _SET_PATH.format("jwtrole.search_path", _SETTING.format("search_path")),
    _SET_PATH.format("search_path", "'pg_catalog, pg_temp'"),
)
_RESTORE_PATH = _SET_PATH.format("search_path", _SETTING.format("jwtrole.search_path"))
_LOGIN = ("jwtrole.login(text)", "jwtrole.resume(text)", "jwtrole.anonymous()")
_GATE = ("jwtrole.differences(jsonb)",)


@dataclass(frozen=True, slots=True)
class Release:
    """Be one released version of the schema ``jwtrole``.

    Args:
        version: The number ``jwtrole.version()`` answers with.
        trust: The trust mode it serves: ``"application"`` or ``"database"``.
        parts: The stems of its files in ``jwtrole/sql``, in the order of installation.
        entry_points: The functions that the login role alone may call.
    """

    version: int
    trust: str
    parts: tuple[str, ...]
    entry_points: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what it is called: its last file, which no other release ends with."""
        return self.parts[-1]

    @property
    def sha256(self) -> str:
        """Return the hash of the files that install it, 64 hexadecimal digits."""
        return hashlib.sha256("".join(map(_text, self.parts)).encode()).hexdigest()

    def up(self) -> tuple[str, ...]:
        """Return the statements that install it, to be run in one transaction.

        Whoever runs them owns or may create schemas in the database and is a member
        of ``jwtrole_owner``; no superuser is needed.
        """
        return _pinned(*_installing(self.parts), self.note())

    def down(self) -> tuple[str, ...]:
        """Return the statements that remove it; they fail while a policy needs it."""
        return _pinned(*_removing(self.parts))

    def grants(self, login: str) -> tuple[str, ...]:
        """Return the statements that let a login role put an identity on.

        In the application mode there are none: it puts identities on itself.

        Raises:
            ConfigurationError: The name is none that a role can have.
        """
        return self._entry("GRANT", "TO", login)

    def revokes(self, login: str) -> tuple[str, ...]:
        """Return the statements that take away what :meth:`grants` gives.

        Raises:
            ConfigurationError: The name is none that a role can have.
        """
        return self._entry("REVOKE", "FROM", login)

    def _entry(self, verb: str, preposition: str, login: str) -> tuple[str, ...]:
        role, functions = identifier(login), ", ".join(self.entry_points)
        statement = f"{verb} EXECUTE ON FUNCTION {functions} {preposition} {role}"
        return (statement,) if functions else ()

    def note(self) -> str:
        """Return the statement that records its name and its hash in the database."""
        note = literal(f"jwtrole {self.name} sha256:{self.sha256}")
        return f"COMMENT ON SCHEMA jwtrole IS {note}"


def _pinned(*statements: str) -> tuple[str, ...]:
    return (*_KEEP_PATH, *statements, _RESTORE_PATH)


def _text(stem: str) -> str:
    file = resources.files("jwtrole") / "sql" / f"{stem}.sql"
    return file.read_text(encoding="utf-8")


def _statements(text: str) -> tuple[str, ...]:
    parts = (
        "\n".join(line for line in part.splitlines() if not line.startswith("--"))
        for part in text.split(_SEPARATOR)
    )
    return tuple(part.strip() for part in parts)


def _installing(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sql for part in parts for sql in _statements(_text(part)))


def _removing(parts: tuple[str, ...]) -> tuple[str, ...]:
    downs = (f"{part}_down" for part in reversed(parts))
    return tuple(sql for down in downs for sql in _statements(_text(down)))


_VERIFYING = ("claims_1", "verify_1", "trust_1", "seal_1")
_RELEASES = {
    1: Release(1, "application", ("claims_1",)),
    2: Release(2, "database", _VERIFYING, _LOGIN),
    3: Release(3, "database", (*_VERIFYING, "seal_2", "gate_1"), (*_LOGIN, *_GATE)),
}


def latest(trust: str = "database") -> Release:
    """Return the newest release for a trust mode.

    Raises:
        ConfigurationError: There is no such mode.
    """
    versions = [one.version for one in _RELEASES.values() if one.trust == trust]
    if not versions:
        modes = ", ".join(dict.fromkeys(one.trust for one in _RELEASES.values()))
        msg = f"trust is one of {modes}, not {trust!r}."
        raise ConfigurationError(msg)
    return _RELEASES[max(versions)]


#: The newest version of the schema.
LATEST = latest().version


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


def versions() -> tuple[int, ...]:
    """Return the versions that this release of jwtrole knows."""
    return tuple(_RELEASES)


def change(installed: int, wanted: int) -> tuple[str, ...]:
    """Return the statements that turn one version into another, in one transaction.

    What both have stays, so that policies and defaults go on calling the same
    functions. On the way down from the database mode its keys, role maps and deny list
    are lost.

    Args:
        installed: The version that is there.
        wanted: The version that is to be there.

    Raises:
        ConfigurationError: There is no such version here.
    """
    old, new = release(installed), release(wanted)
    pairs = itertools.takewhile(
        lambda pair: pair[0] == pair[1], zip(old.parts, new.parts, strict=False)
    )
    common = len(list(pairs))
    return _pinned(
        *_removing(old.parts[common:]), *_installing(new.parts[common:]), new.note()
    )


def installed_version_sql() -> str:
    """Return a query that answers ``true`` where the schema is installed."""
    return (
        "SELECT pg_catalog.to_regprocedure('jwtrole.version()') IS NOT NULL"
        " AS installed"
    )
