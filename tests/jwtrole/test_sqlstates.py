from __future__ import annotations

import pytest

from jwtrole.errors import (
    ConfigurationError,
    NoIdentity,
    RoleDenied,
    TokenExpired,
    TokenRejected,
)
from jwtrole.sqlstates import TICKET_REFUSED, error_of

KINDS = ("plain", "login", "resume", "anonymous")
MEANING = {
    "JW001": TokenRejected,
    "JW002": TokenExpired,
    "JW003": TokenRejected,
    "JW004": TokenExpired,
    "JW005": RoleDenied,
    "JW006": NoIdentity,
    "JW007": ConfigurationError,
    "42883": ConfigurationError,
    "3F000": ConfigurationError,
    "42501": ConfigurationError,
    "22023": ConfigurationError,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sqlstate", MEANING)
def test_each_state_has_its_error(sqlstate: str, kind: str) -> None:
    """What the database answers with is one of the errors that users know."""
    denied = (kind, sqlstate) == ("anonymous", "JW005")

    found = error_of(sqlstate, "member", kind)

    assert type(found) is (NoIdentity if denied else MEANING[sqlstate])
    assert str(found).endswith(".")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sqlstate", [None, "57014", "40001", "23505", "JW999"])
def test_of_other_states_the_driver_speaks(sqlstate: str | None, kind: str) -> None:
    """A failure that means nothing to us stays the driver's own error."""
    assert error_of(sqlstate, "member", kind) is None


@pytest.mark.parametrize(
    ("sqlstate", "said"),
    [("42501", "'member' was not granted"), ("22023", "'member' does not exist")],
)
def test_a_role_that_cannot_be_put_on_is_named(sqlstate: str, said: str) -> None:
    """Where the application puts the role on, the error names it and the command."""
    text = str(error_of(sqlstate, "member", "plain"))

    assert said in text
    assert "jwtrole bootstrap" in text


@pytest.mark.parametrize("kind", ["login", "resume", "anonymous"])
def test_a_login_that_may_not_ask_is_told_both_causes(kind: str) -> None:
    """Where the database puts the role on, a lack of rights has two causes."""
    text = str(error_of("42501", "member", kind))

    assert "'member'" not in text
    assert "install the schema jwtrole" in text
    assert "jwtrole bootstrap" in text


def test_only_tickets_are_worth_another_login() -> None:
    """A rejected token stays rejected; a refused or expired ticket is replaced."""
    assert frozenset({"JW001", "JW002"}) == TICKET_REFUSED
