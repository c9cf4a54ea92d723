"""Many clients with changing identities at once, and what each of them saw."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from tests import postgres
from tests.behaviour.opening import opened

if TYPE_CHECKING:
    from jwtrole import Identity, JWTRole
    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter

TENANTS = 8
CLIENTS = 8
TURNS = 50
ROWS = 3

_ALL = "SELECT number, pg_backend_pid(), jwtrole.subject() FROM invoice"


@dataclass(frozen=True)
class Member:
    """Be one of the crowd, in a tenant of its own.

    Args:
        name: Its subject, which the numbers of its invoices begin with.
        identity: The identity.
        tenant: The tenant.
    """

    name: str
    identity: Identity
    tenant: uuid.UUID

    @property
    def numbers(self) -> list[str]:
        """Return the numbers of its invoices."""
        return [f"{self.name}-{n}" for n in range(ROWS)]


def gather(issuer: ThrowawayIssuer, auth: JWTRole) -> list[Member]:
    """Return a crowd of members and managers."""
    found = []
    for n in range(TENANTS):
        name, tenant, role = f"t{n}", uuid.uuid4(), postgres.ROLES[n % 2]
        claims = {"sub": name, "role": role, "tenant_id": str(tenant)}
        found.append(Member(name, issuer.identity(auth, **claims), tenant))
    return found


def fill(server: postgres.Server, database: str, crowd: list[Member]) -> None:
    """Give everybody their invoices, past row security."""
    with server.connect("postgres", database) as admin:
        for one in crowd:
            for number in one.numbers:
                admin.execute(
                    "INSERT INTO invoice (id, number, tenant_id)"
                    " VALUES (gen_random_uuid(), %s, %s)",
                    (number, one.tenant),
                )


@dataclass
class Seen:
    """Be what the crowd saw.

    Args:
        transactions: How many there were.
        wrong: What somebody saw that was not exactly their own.
        served: Whom each backend has served.
    """

    transactions: int = 0
    wrong: list[tuple[str, Any]] = field(default_factory=list)
    served: dict[int, set[str]] = field(default_factory=dict)

    def note(self, who: Member, numbers: list[str]) -> None:
        """Note what one transaction of somebody read."""
        self.transactions += 1
        if sorted(numbers) != who.numbers:
            self.wrong.append((who.name, numbers))


def hunt(
    server: postgres.Server,
    database: str,
    which: str,
    auth: JWTRole,
    crowd: list[Member],
    **given: Any,
) -> Seen:
    """Have clients with a connection each act as everybody in turn, all at once."""
    seen = Seen()

    def client(place: int) -> None:
        # As a request under ASGI has: a thread of its own for Django's synchronous
        # half. All clients would share one otherwise, and take turns.
        SyncToAsync.thread_sensitive_context.set(ThreadSensitiveContext())
        with opened(server, database, which, auth, **given) as adapter:
            for turn in range(TURNS):
                who = crowd[(place + 3 * turn) % len(crowd)]
                _take(turn, adapter, who, seen)

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    return seen


def _take(turn: int, adapter: Adapter, who: Member, seen: Seen) -> None:
    identity = who.identity
    match turn % 5:
        case 0:
            seen.note(who, adapter.numbers(identity))
        case 1:
            rows = adapter.sql(identity, _ALL)
            seen.note(who, [number for number, _, _ in rows])
            for _, pid, subject in rows:
                seen.served.setdefault(pid, set()).add(subject)
        case 2:
            seen.note(who, adapter.after_error(identity))
        case 3:
            insert = "INSERT INTO invoice (id, number) VALUES (gen_random_uuid(), 'x')"
            rows = adapter.sql_rolled_back(
                identity, insert, "SELECT number FROM invoice WHERE number <> 'x'"
            )
            seen.note(who, [number for (number,) in rows])
        case _:
            seen.note(who, adapter.stream(identity))
