"""Settings that are missing, empty or of another form are no identity.

A setting that a session never had is NULL, and NULL is left out where the fields of a
seal are put together.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest

from tests import postgres
from tests.database.acting import ANONYMOUS, Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

ZEROS = "0" * 64
SEALS = [None, "", "0", ZEROS[1:], ZEROS, f"{ZEROS}Infinity", f"{ZEROS}junk", "Å" * 65]
CLAIMS = [None, "", " ", "{}", "null", "{", '{"sub": "victim"}']
IN_FORCE = "SELECT current_setting('jwtrole.seal'), current_setting('jwtrole.claims')"
MISSING = (
    "SELECT current_setting('jwtrole.seal', true) IS NULL,"
    " current_setting('jwtrole.claims', true) IS NULL"
)
# The seal of this very session and transaction, as only who has the secret makes it.
FITTING = (
    "SELECT jwtrole._seal_of(h.ipad, h.opad, jwtrole._place(h.installation),"
    " jwtrole._binding(), session_user::text, 'Infinity', %s) || 'Infinity'"
    " FROM jwtrole._home AS h"
)


def put(attempt: Attempt, seal: str | None, claims: str | None) -> None:
    """Set what is given, for the transaction, and leave the rest as it is."""
    for name, value in (("seal", seal), ("claims", claims)):
        if value is not None:
            attempt.value("SELECT set_config(%s, %s, true)", f"jwtrole.{name}", value)


def every(*parts: Sequence[str | None]) -> list[tuple[str | None, ...]]:
    """Return every combination."""
    return list(itertools.product(*parts))


@pytest.mark.parametrize("role", ["NONE", "member"])
@pytest.mark.parametrize(("seal", "claims"), every(SEALS, CLAIMS))
def test_on_a_session_that_never_had_any(
    attempt: Attempt, seal: str | None, claims: str | None, role: str
) -> None:
    """No combination of settings made up by hand is anybody, nor another error."""
    attempt.run("BEGIN", f"SET LOCAL ROLE {role}")
    put(attempt, seal, claims)

    assert attempt.run(MISSING) == [(seal is None, claims is None)]
    assert attempt.nobody


def test_each_part_of_a_genuine_identity_is_needed(
    attempt: Attempt, owner: psycopg.Connection
) -> None:
    """With one setting as it was made and the other of any form nobody acts."""
    owner.execute(f"SELECT jwtrole.set_anonymous('{postgres.ANONYMOUS}')".encode())
    attempt.run("BEGIN", ANONYMOUS)
    seal, claims = attempt.run(IN_FORCE)[0]
    assert attempt.sealed
    others = [(other, claims) for other in (*SEALS[1:], seal[:64], seal[:64] + " ")]
    others += [(seal, other) for other in CLAIMS[1:] if other != claims]
    for other in others:
        put(attempt, *other)
        assert attempt.nobody, other

    put(attempt, seal, claims)
    assert attempt.sealed
    assert attempt.value("SELECT jwtrole.claims()") == {}


def test_missing_claims_are_refused_by_name(owner: psycopg.Connection) -> None:
    """Even a seal that fits what is missing is no good, for that one test's sake."""
    attempt = Attempt(owner)
    [view] = attempt.run("SELECT pg_get_viewdef('jwtrole._worn'::regclass)")[0]
    untested, tests = re.subn(r"\b(w\.)?claims IS NOT NULL", "true", view)
    assert tests == 1
    attempt.run("BEGIN")
    fitting = attempt.value(FITTING, None)
    put(attempt, fitting, None)
    assert len(fitting) == 72
    assert attempt.run(MISSING) == [(False, True)]
    assert attempt.nobody

    # The controls: without the test it would be somebody; with claims it fits, too.
    attempt.run(f"CREATE OR REPLACE VIEW jwtrole._worn AS {untested}")
    assert attempt.sealed
    attempt.run("ROLLBACK", "BEGIN")
    put(attempt, attempt.value(FITTING, "{}"), "{}")
    assert attempt.sealed
    attempt.end()


@pytest.mark.parametrize(
    "ticket",
    [None, "", ZEROS, f"{ZEROS}\n", f"{ZEROS}[]\n{{}}", f"{ZEROS}null\n", "\n"],
)
def test_a_ticket_of_nothing_is_refused(attempt: Attempt, ticket: str | None) -> None:
    """A ticket that is missing, empty or without fields puts nobody on."""
    assert attempt.resume_refused(ticket) == "JW001"
    attempt.run("BEGIN")
    assert attempt.nobody
