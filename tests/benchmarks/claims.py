"""What it costs to read a claim, once an identity is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.measuring import Section, Table, interleave
from tests.benchmarks.pipeline import Message, Repeated

if TYPE_CHECKING:
    from tests.benchmarks.measuring import Subject
    from tests.benchmarks.worlds import World

__all__ = ["claims"]

#: How often each is called in one query.
TURNS = 1000

_EXPLAINED = (
    "One call, out of {turns} in one query of an open transaction, by the backend's "
    "processor. Policies call it once a statement, not once a row; what the first call "
    "of a transaction costs besides stands under begin."
)

_BASELINE = "current_setting"
# name -> the expression, and whether the database verifies tokens
_CALLS = {
    _BASELINE: ("current_setting('jwtrole.claims')", True),
    "current_setting, one key of it": (
        "current_setting('jwtrole.claims')::jsonb ->> 'tenant_id'",
        True,
    ),
    "application mode: claim()": ("jwtrole.claim('tenant_id')", False),
    "claim()": ("jwtrole.claim('tenant_id')", True),
    "claims()": ("jwtrole.claims()", True),
    "subject()": ("jwtrole.subject()", True),
    "sealed()": ("jwtrole.sealed()", True),
}


def claims(world: World, rounds: int, seconds: float) -> Table:
    """Measure the accessors in a loop."""
    application, sealed = world.line(world.application), world.line(world.sealed)
    openings = {False: world.pushed(), True: world.resumed(sealed)}
    lines = {False: application, True: sealed}
    subjects: list[Subject] = [
        Repeated(
            name, lines[verifies], openings[verifies], _loop(expression),
            rows=TURNS, counted=True, batch=1, calls=TURNS,
        )
        for name, (expression, verifies) in _CALLS.items()
    ]  # fmt: skip
    found = interleave(subjects, rounds, seconds)
    section = Section("one call, against reading a setting", found)
    return Table("claim", _EXPLAINED.format(turns=TURNS), [section], [])


def _loop(expression: str) -> Message:
    return Message(f"SELECT count({expression}) FROM generate_series(1, {TURNS})")
