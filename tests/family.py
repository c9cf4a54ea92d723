"""Roles of a test's own that inherit one another, in a database of their own."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from jwtrole import JWTRole, Role, install, policy, roles
from tests import trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests.postgres import Server

#: What goes with the role of a member, and with no other.
LIMITS = {"statement_timeout": "300ms", "app.theme": "dark"}


class Family:
    """Be an owner, a login and fixed roles: a member inherits what a reader has.

    Args:
        server: Where they are.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        mark = uuid.uuid4().hex[:8]
        self.database = f"family_{mark}"
        self.owner = f"owner_{mark}"
        self.login = f"login_{mark}"
        #: Made by nobody here.
        self.test = f"test_{mark}"
        self.reader = f"reader_{mark}"
        self.member = f"member_{mark}"
        self.manager = f"manager_{mark}"
        self.roles = [
            Role(self.member, inherits=[self.reader], settings=LIMITS),
            Role(self.manager),
        ]

    def auth(self, issuer: ThrowawayIssuer, trust: str = "database") -> JWTRole:
        """Return a configuration with these roles."""
        return JWTRole([issuer.issuer], self.roles, trust=trust)

    def admin(self) -> contextlib.closing[psycopg.Connection]:
        """Return a superuser's connection to the database."""
        dsn = psycopg.conninfo.make_conninfo(self.server.dsn, dbname=self.database)
        return contextlib.closing(psycopg.connect(dsn, autocommit=True))

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the owner and return the last one's rows."""
        rows: list[tuple[Any, ...]] = []
        with self.server.connect(self.owner, self.database) as owner:
            for statement in statements:
                cursor = owner.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def bootstrap(self, *declared: str | Role) -> None:
        """Make the roles, or make them what is declared now."""
        with psycopg.connect(self.server.dsn) as admin:
            for statement in roles.bootstrap(
                owner=self.owner, login=self.login, roles=declared or self.roles
            ):
                admin.execute(statement.encode())

    def install(self, auth: JWTRole) -> None:
        """Have the database verify tokens, or be told, as a configuration says."""
        release = install.latest(auth.trust)
        self.run(*release.up(), *release.grants(self.login))
        if auth.trust == "database":
            trusting.believe(self.server, self.database, auth, owner=self.owner)

    def make_notes(self) -> None:
        """Make a table of which a reader sees all and a member writes its own."""
        own = f"author = {policy.claim_expression('sub')}"
        self.run(
            "CREATE TABLE note (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,"
            " author text, body text)",
            "INSERT INTO note (author, body) VALUES ('ann', 'a'), ('bob', 'b')",
            *policy.enable_row_security("note"),
            *policy.Policy(
                name="note_read",
                table="note",
                command="SELECT",
                to=(self.reader,),
                using=policy.sealed_clause("true"),
            ).create(),
            *policy.Policy(
                name="note_own",
                table="note",
                command="UPDATE",
                to=(self.member,),
                using=own,
            ).create(),
            *roles.Grant(table="note", role=self.reader, on=("SELECT",)).grant(),
            *roles.Grant(table="note", role=self.member, on=("UPDATE(body)",)).grant(),
        )

    def members(self) -> set[tuple[str, str]]:
        """Return each membership between the fixed roles: role and member."""
        fixed = [self.reader, self.member, self.manager]
        with self.admin() as admin:
            rows = admin.execute(
                "SELECT r.rolname, m.rolname FROM pg_auth_members AS a"
                " JOIN pg_roles AS r ON r.oid = a.roleid"
                " JOIN pg_roles AS m ON m.oid = a.member"
                " WHERE r.rolname = ANY (%s) AND m.rolname = ANY (%s)",
                (fixed, fixed),
            ).fetchall()
        return set(rows)


@contextlib.contextmanager
def family(server: Server) -> Iterator[Family]:
    """Make the roles and an empty database, and drop both in the end."""
    found = Family(server)
    found.bootstrap()
    owner, name = sql.Identifier(found.owner), sql.Identifier(found.database)
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                name, owner
            )
        )
        yield found
        server.drop_database(found.database)
        mark = found.database.removeprefix("family")
        for (role,) in admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"%{mark}",)
        ).fetchall():
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
