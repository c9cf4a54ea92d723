"""What it costs to begin a transaction as somebody, by every way there is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks import identities
from tests.benchmarks.identities import Verification
from tests.benchmarks.measuring import Aim, Section, Table, interleave
from tests.benchmarks.pipeline import Transaction

if TYPE_CHECKING:
    from tests.benchmarks.measuring import Measured, Subject
    from tests.benchmarks.worlds import World

__all__ = ["begin"]

_READ = "SELECT jwtrole.claim('tenant_id')"

_EMPTY, _RESUME = "empty transaction", "resume"
_FIRST = (
    _EMPTY,
    "application mode: set_config",
    "anonymous",
    _RESUME,
    "application mode + one claim",
    "resume + one claim",
)

_EXPLAINED = (
    "One transaction: BEGIN, what jwtrole sends before the first statement, SELECT 1, "
    "COMMIT; {batch} of them in one pipeline of libpq, bound and not prepared. Time is "
    "that of the backend's processor. In Python it is that of the thread's."
)


def begin(world: World, rounds: int, seconds: float) -> Table:
    """Measure transactions, and the same tokens in Python."""
    subjects = [*_transactions(world), *_in_python(world)]
    found = interleave(subjects, rounds, seconds)
    logins = [f"login {one.name}" for one in world.signers]
    transactions = Section(
        "whole transactions, against an empty one",
        {name: found[name] for name in (*_FIRST, *logins)},
    )
    tokens = [_same_token(found, one.name) for one in world.signers]
    return Table(
        "begin",
        _EXPLAINED.format(batch="4 to 20"),
        [transactions, *tokens],
        _aims(transactions, asked=world.version >= 18),
    )


def _transactions(world: World) -> list[Subject]:
    sealed, application = world.line(world.sealed), world.line(world.application)
    resumed, pushed = world.resumed(sealed), world.pushed()
    empty, plain, anonymous, resume, plain_claim, claim = _FIRST
    return [
        Transaction(empty, sealed, []),
        Transaction(plain, sealed, pushed),
        Transaction(anonymous, sealed, world.anonymous()),
        Transaction(resume, sealed, resumed),
        Transaction(plain_claim, application, pushed, _READ),
        Transaction(claim, sealed, resumed, _READ),
        *(
            Transaction(f"login {one.name}", sealed, world.logged_in(one), batch=4)
            for one in world.signers
        ),
    ]


def _in_python(world: World) -> list[Subject]:
    auth = identities.configuration(world.signers, "application")
    found: list[Subject] = []
    for one in world.signers:
        found += [
            Verification(f"PyJWT decode {one.name}", one.decoded),
            Verification(f"JWTRole.verify {one.name}", partial(auth.verify, one.token)),
        ]
    return found


def _same_token(found: dict[str, Measured], name: str) -> Section:
    ways = ("PyJWT decode", "JWTRole.verify", "login")
    measured = {way: found[f"{way} {name}"] for way in ways}
    return Section(f"one {name} token, against PyJWT", measured)


def _aims(found: Section, *, asked: bool) -> list[Aim]:
    resume = Aim(
        "resume, over an empty transaction", found.over(_RESUME), 60, "us", asked
    )
    limits = {"RS256-2048": 600, "ES256": 1200, "EdDSA": 1200}
    logins = [
        Aim(
            f"login {name}, the whole transaction",
            found.measured[f"login {name}"].median, limit, "us", asked,
        )
        for name, limit in limits.items()
    ]  # fmt: skip
    return [resume, *logins]
