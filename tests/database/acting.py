"""Issuers, tokens and the statements that put an identity on, for the tests."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIENCE = "billing"
LOG_IN = (
    "SELECT pg_catalog.set_config('role', l.role, true), l.ticket, l.expires"
    " FROM jwtrole.login(%s) AS l"
)
RESUME = "SELECT pg_catalog.set_config('role', jwtrole.resume(%s), true)"
ANONYMOUS = "SELECT pg_catalog.set_config('role', jwtrole.anonymous(), true)"

_numbers = itertools.count(1)


class TrustedIssuer:
    """Be an issuer with a shared secret, and the owner who tells the database of it.

    Args:
        owner: A connection of the tables' owner.
    """

    def __init__(self, owner: psycopg.Connection) -> None:
        self.owner = owner
        self.name = f"https://issuer-{next(_numbers)}.test/"
        self.secret = f"{self.name:=^64}".encode()

    def tell(self, function: str, *arguments: Any) -> None:
        """Call a function about this issuer as the owner."""
        marks = ", ".join(["%s"] * (1 + len(arguments)))
        self.owner.execute(
            f"SELECT jwtrole.{function}({marks})".encode(), (self.name, *arguments)
        )

    def trust(self) -> None:
        """Have the database trust it, its first key and the roles it may give."""
        self.trust_again()
        self.add_key("first", self.secret)
        self.tell("map_role", "member", "member")
        self.tell("map_role", "boss", "manager")

    def trust_again(
        self,
        *,
        leeway: int = 30,
        role_claim: tuple[str, ...] = ("role",),
        max_ticket: int = 300,
    ) -> None:
        """Tell the database of it, anew where it is known."""
        self.tell("trust", [AUDIENCE], leeway, list(role_claim), max_ticket)

    def add_key(self, kid: str, secret: bytes) -> None:
        """Add a key."""
        k = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        jwk = {"kty": "oct", "alg": "HS256", "kid": kid, "k": k}
        self.tell("add_key", json.dumps(jwk))

    def mint(self, *, kid: str = "first", secret: bytes = b"", **claims: Any) -> str:
        """Return a token; a claim given as ``None`` is left out."""
        now = int(time.time())
        found = {
            "iss": self.name,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            "sub": "ann",
            "role": "member",
            "tenant": 7,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in found.items() if value is not None},
            secret or self.secret,
            algorithm="HS256",
            headers={"kid": kid},
        )

    @property
    def generation(self) -> int:
        """Return what its tickets are bound to."""
        row = self.owner.execute(
            "SELECT generation FROM jwtrole.issuer WHERE name = %s", (self.name,)
        ).fetchone()
        assert row is not None
        return int(row[0])


class Attempt:
    """Be the login role's connection: what an application, or an attacker, has.

    Args:
        connection: An autocommit connection.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def run(self, *statements: str, arguments: tuple[Any, ...] | None = None) -> Any:
        """Run statements and return the rows of the last one that has any."""
        rows: Any = None
        for statement in statements:
            cursor = self.connection.execute(statement.encode(), arguments)
            if cursor.description:
                rows = cursor.fetchall()
        return rows

    def value(self, query: str, *arguments: Any) -> Any:
        """Return the one value a query answers with."""
        return self.run(query, arguments=arguments or None)[0][0]

    def log_in(self, token: str, begin: str = "BEGIN") -> tuple[str, str, Any]:
        """Begin a transaction with a token; return role, ticket and its expiry."""
        self.run(begin)
        found: tuple[str, str, Any] = self.run(LOG_IN, arguments=(token,))[0]
        return found

    def resume(self, ticket: str, begin: str = "BEGIN") -> str:
        """Begin a transaction with a ticket; return the role."""
        self.run(begin)
        return str(self.value(RESUME, ticket))

    def end(self) -> None:
        """Roll back."""
        self.run("ROLLBACK")

    def ticket(self, token: str) -> str:
        """Return a ticket, the transaction it came from ended."""
        ticket = self.log_in(token)[1]
        self.end()
        return ticket

    def refused(self, statement: str, *arguments: Any) -> str:
        """Run what must fail, undo it alone, and return the SQLSTATE."""
        with pytest.raises(psycopg.Error) as caught, self.connection.transaction():
            self.run(statement, arguments=arguments or None)
        return caught.value.sqlstate or ""

    def login_refused(self, token: str | None) -> str:
        """Return the SQLSTATE that a token is refused with."""
        return self.refused(LOG_IN, token)

    def resume_refused(self, ticket: str | None) -> str:
        """Return the SQLSTATE that a ticket is refused with."""
        return self.refused(RESUME, ticket)

    @property
    def sealed(self) -> bool:
        """Return whether an identity is in force."""
        return bool(self.value("SELECT jwtrole.sealed()"))

    @property
    def nobody(self) -> bool:
        """Return whether no claim can be read, by any of the ways there are."""
        ways = [
            self.refused(f"SELECT jwtrole.{way}")
            for way in ("claims()", "claim('sub')", "subject()")
        ]
        needs = self.refused("SELECT jwtrole.require(current_setting('role'))")
        return not self.sealed and ways == ["JW006"] * 3 and needs == "JW005"


@contextlib.contextmanager
def temporary_objects(owner: psycopg.Connection) -> Iterator[None]:
    """Let everybody make temporary objects, which the schema takes away."""
    given = f"TEMPORARY ON DATABASE {owner.info.dbname}"
    owner.execute(f"GRANT {given} TO PUBLIC".encode())
    yield
    owner.execute(f"REVOKE {given} FROM PUBLIC".encode())
