"""System checks: each mistake has its number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.db import connections

from django_jwtrole import checks
from django_jwtrole.routers import ContribRouter

if TYPE_CHECKING:
    from django.conf import LazySettings

MIDDLEWARE = "django_jwtrole.middleware.JWTRoleMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


def _ids(found: list[Any]) -> list[str]:
    return [message.id for message in found]


@pytest.fixture(autouse=True)
def verifying(settings: LazySettings) -> None:
    """Have the project leave TRUST out, as the documentation does."""
    settings.JWTROLE = {k: v for k, v in settings.JWTROLE.items() if k != "TRUST"}


def test_the_application_mode_is_warned_of(settings: LazySettings) -> None:
    """Who trusts the application is told what injected SQL can do."""
    settings.JWTROLE = {**settings.JWTROLE, "TRUST": "application"}
    [found] = checks.check_settings()

    assert found.id == "jwtrole.W004"
    assert "injects SQL" in found.msg


def test_the_test_project_has_no_findings() -> None:
    """A project set up as the documentation says passes every check."""
    assert _ids(run_checks(tags=["jwtrole"])) == []


def test_invalid_settings_are_found(settings: LazySettings) -> None:
    """What JWTROLE gets wrong is said once, and breaks no other check."""
    settings.JWTROLE = {**settings.JWTROLE, "OWNER": "nobody"}

    assert _ids(run_checks(tags=["jwtrole"])) == ["jwtrole.E003"]


@pytest.mark.parametrize(
    ("middleware", "found"),
    [
        ([], ["jwtrole.E005"]),
        (["no.such.Middleware"], ["jwtrole.E005"]),
        ([SESSIONS, MIDDLEWARE], ["jwtrole.E006"]),
        ([MIDDLEWARE, SESSIONS], []),
        (["tests.django_jwtrole.test_checks.Mine", SESSIONS], []),
    ],
)
def test_the_middleware_has_its_place(
    settings: LazySettings, middleware: list[str], found: list[str]
) -> None:
    """A middleware that is missing or too late is found; a subclass counts as it."""
    settings.MIDDLEWARE = middleware

    assert _ids(checks.check_middleware()) == found


class Mine(__import__("django_jwtrole.middleware", fromlist=[""]).JWTRoleMiddleware):
    pass


@pytest.mark.parametrize(
    ("routers", "found"),
    [([], ["jwtrole.W003"]), ([ContribRouter()], []), ([ContribRouter], [])],
)
def test_contrib_needs_its_router(
    settings: LazySettings, routers: list[Any], found: list[str]
) -> None:
    """An alias for Django's own tables without the router is found."""
    settings.DATABASE_ROUTERS = routers

    assert _ids(checks.check_settings()) == found


def test_our_commands_come_first(settings: LazySettings) -> None:
    """An application whose commands win over ours is found."""
    settings.INSTALLED_APPS = ["django.contrib.auth", "django_jwtrole"]

    assert _ids(checks.check_commands()) == ["jwtrole.W002"]


@pytest.mark.parametrize(
    ("stock", "found"),
    [
        ({"default", "owner"}, ["jwtrole.E001"]),
        ({"default"}, ["jwtrole.E002"]),
        ({"owner"}, ["jwtrole.E009"]),
    ],
)
def test_other_engines_are_found(
    monkeypatch: pytest.MonkeyPatch, stock: set[str], found: list[str]
) -> None:
    """Each alias that should have our engine and has not is found."""
    for alias in stock:
        monkeypatch.setattr(connections[alias], "jwtrole_engine", False)

    assert _ids(checks.check_databases()) == found


def test_a_shared_login_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that logs in as the owner is found."""
    given = connections["owner"].settings_dict
    monkeypatch.setitem(given, "USER", connections["default"].settings_dict["USER"])

    assert _ids(checks.check_databases()) == ["jwtrole.E004"]


def test_the_login_for_tests_is_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login that may become the owner is found outside tests, not within them."""
    given = connections["default"].settings_dict
    monkeypatch.setitem(given, "USER", "app_test")
    monkeypatch.setitem(given, "TEST", {**given["TEST"], "JWTROLE_NOBODY": None})
    assert _ids(checks.check_databases()) == ["jwtrole.E008"]
    monkeypatch.setitem(given["TEST"], "JWTROLE_NOBODY", "app_owner")

    assert _ids(checks.check_databases()) == []


def test_an_old_client_library_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libpq without pipeline mode is found."""
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)

    assert _ids(checks.check_databases()) == ["jwtrole.E007"]
