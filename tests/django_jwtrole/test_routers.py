"""Django's own tables on their alias; everything made by the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections, router

from tests.django_jwtrole.conftest import ALICE, RED
from tests.django_project.billing.models import Invoice

if TYPE_CHECKING:
    from django.conf import LazySettings

    from django_jwtrole.testing import Client


def test_djangos_own_models_have_their_alias(settings: LazySettings) -> None:
    """Users and sessions are read and written on CONTRIB, where there is one."""
    assert router.db_for_read(User) == router.db_for_write(Session) == "owner"
    assert router.db_for_read(Invoice) == "default"
    settings.JWTROLE = {**settings.JWTROLE, "CONTRIB": None}

    assert router.db_for_read(User) == "default"


def test_relations_cross_aliases_of_one_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row may name a user of another alias, as long as the database is the same."""
    user, invoice = User(), Invoice()
    user._state.db, invoice._state.db = "owner", "default"
    default = connections["default"].settings_dict
    monkeypatch.setitem(default, "NAME", connections["owner"].settings_dict["NAME"])
    assert router.allow_relation(user, invoice)
    monkeypatch.setitem(default, "NAME", "elsewhere")
    assert not router.allow_relation(user, invoice)
    monkeypatch.setattr(connections["owner"], "jwtrole_engine", False)
    user._state.db = None

    assert router.allow_relation(user, invoice)


def test_tables_are_made_by_the_owner(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    """Nothing is migrated on a protected alias, nor on another for Django's tables."""
    given = connections["default"].settings_dict
    monkeypatch.setitem(given, "TEST", {**given["TEST"], "JWTROLE_NOBODY": None})
    assert not router.allow_migrate("default", "billing")
    assert router.allow_migrate("owner", "billing")
    monkeypatch.setitem(given["TEST"], "JWTROLE_NOBODY", "app_owner")
    assert router.allow_migrate("default", "billing")
    settings.JWTROLE = {**settings.JWTROLE, "CONTRIB": "default"}

    assert not router.allow_migrate("default", "billing")


@pytest.mark.django_db(databases=["default", "owner"])
def test_sessions_and_users_work_in_a_request(client: Client) -> None:
    """A request under a token reads its session and its user on their own alias."""
    user = User.objects.create_user("alice")
    client.force_login(user)
    client.acting_as(role="member", sub=str(ALICE), tenant_id=str(RED))

    assert client.get("/user/").json() == {"user": "alice"}
    assert client.get("/invoices/").json() == {"numbers": []}


@pytest.mark.django_db(databases=["default", "owner"])
def test_the_admin_logs_in(client: Client) -> None:
    """The stock admin logs a user in without any token."""
    User.objects.create_superuser("root", password="for tests")
    form = {"username": "root", "password": "for tests"}

    assert client.post("/admin/login/?next=/admin/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
