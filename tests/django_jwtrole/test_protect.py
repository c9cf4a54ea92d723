"""Tables whose models are not the project's to change."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations.state import ModelState
from django.db.migrations.writer import OperationWriter
from django.db.models import Q

from django_jwtrole import Claim, Grant, Policy
from django_jwtrole.policy import RowSecurity
from django_jwtrole.protect import Protect
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.history import History, rows
from tests.django_jwtrole.test_life import PROTECTION, Table, state_of

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

OWN = Policy(
    name="bank_mine",
    using=Q(account__gt=Claim("number", models.IntegerField())),
    to=["member"],
)
READ = Grant(name="bank_read", to="member", on=["SELECT"])


@pytest.fixture
def history() -> History:
    """Return two models of which one has many of the other."""
    history = History()
    state = state_of([Table(), Table("Tag")])
    tags = models.ManyToManyField("bank.Tag")
    fields = [("id", models.BigAutoField(primary_key=True)), ("tags", tags)]
    state.remove_model("bank", "account")
    state.add_model(ModelState("bank", "Account", fields, {}))
    history.go(state)
    return history


@pytest.mark.parametrize("given", [[OWN, READ], [RowSecurity(name="x"), OWN, READ]])
def test_a_table_that_django_made_is_protected(
    history: History, given: list[Any]
) -> None:
    """What a many-to-many field made gets row security, policy and grant, and back."""
    history.run(Protect("bank.Account_tags", given))
    assert rows("owner", PROTECTION)[1] == (
        "bank_account_tags", True, True, ["bank_mine"], ["member:SELECT"],
    )  # fmt: skip

    history.back()
    assert rows("owner", PROTECTION) == []


def test_grants_alone_turn_no_row_security_on(history: History) -> None:
    """Somebody else's table can be granted without policies, as by hand."""
    history.run(Protect("bank.Tag", [READ]))

    assert rows("owner", PROTECTION)[2] == (
        "bank_tag", False, False, [], ["member:SELECT"],
    )  # fmt: skip


def test_it_can_be_written() -> None:
    """A migration and its listing can show it."""
    operation = Protect("auth.User", [READ])
    text, imports = OperationWriter(operation).serialize()

    assert "model='auth.User'" in text
    assert "import django_jwtrole.protect" in imports
    assert operation.describe() == "Protect auth.User"
    assert operation.migration_name_fragment == "protect_auth_user"
    assert operation.reduces_to_sql


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [("User", [READ], "no label"), ("auth.User", ["x"], "no Policy and no Grant")],
)
def test_what_cannot_work_is_refused(model: str, given: Any, said: str) -> None:
    """A label without an application and a thing of another kind are errors."""
    with pytest.raises(ConfigurationError, match=said):
        Protect(model, given)


def test_other_databases_are_left_alone(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where routers keep the model away nothing happens."""
    monkeypatch.setattr(Protect, "allow_migrate_model", lambda *_: False)
    with connections["owner"].schema_editor() as editor:
        for way in ("database_forwards", "database_backwards"):
            method = getattr(Protect("bank.Tag", [OWN, READ]), way)
            method("bank", editor, history.state, history.state)

    assert rows("owner", PROTECTION)[2][1:] == (False, False, [], [])
