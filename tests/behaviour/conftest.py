"""Each adapter opens a database of its own; the specification runs against them all."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from jwtrole.testing import ThrowawayIssuer
from tests import postgres
from tests.behaviour.opening import ADAPTERS, People, configuration, made, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole import JWTRole
    from tests.behaviour.adapter import Adapter


@pytest.fixture(scope="session")
def issuer() -> ThrowawayIssuer:
    """Return the issuer everybody trusts here."""
    return ThrowawayIssuer()


@pytest.fixture(scope="session")
def auth(issuer: ThrowawayIssuer) -> JWTRole:
    """Return what verifies everybody's tokens."""
    return configuration(issuer, "", postgres.ANONYMOUS)


@pytest.fixture(scope="session")
def red() -> uuid.UUID:
    """Return Alice's and the boss's tenant."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def blue() -> uuid.UUID:
    """Return Bob's tenant."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def people(
    issuer: ThrowawayIssuer, auth: JWTRole, red: uuid.UUID, blue: uuid.UUID
) -> People:
    """Return everybody, each verified from a token of theirs."""
    return People(
        alice=issuer.identity(auth, sub="alice", role="member", tenant_id=str(red)),
        bob=issuer.identity(auth, sub="bob", role="member", tenant_id=str(blue)),
        boss=issuer.identity(auth, sub="boss", role="manager", tenant_id=str(red)),
    )


def _open(
    server: postgres.Server,
    worker: str,
    which: str,
    issuer: ThrowawayIssuer,
    anonymous: str | None,
) -> Iterator[Adapter]:
    auth = configuration(issuer, which, anonymous)
    with (
        made(server, worker, which, issuer, anonymous) as database,
        opened(server, database, which, auth) as adapter,
    ):
        yield adapter


@pytest.fixture(scope="session", params=sorted(ADAPTERS))
def adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[Adapter]:
    """Return one adapter after the other, with an anonymous role configured."""
    yield from _open(server, worker, request.param, issuer, postgres.ANONYMOUS)


@pytest.fixture(scope="session", params=sorted(ADAPTERS))
def strict_adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[Adapter]:
    """Return one adapter after the other, without an anonymous role."""
    yield from _open(server, worker, request.param, issuer, None)


@pytest.fixture
def filled(adapter: Adapter, people: People) -> Iterator[Adapter]:
    """Return an adapter whose table holds two red rows and one blue one."""
    adapter.add(people.alice, "red-1")
    adapter.add(people.alice, "red-2")
    adapter.add(people.bob, "blue-1")
    yield adapter
    for who in (people.alice, people.bob):
        for number in adapter.numbers(who):
            adapter.remove(who, number)
