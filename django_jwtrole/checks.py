"""System checks: what is missing or stands in the wrong place.

========  ======================================================================
Id        Says
========  ======================================================================
E001      no alias has the engine ``django_jwtrole.postgresql``
E002      the alias ``default`` has another engine
E003      ``JWTROLE`` is invalid
E004      owner and application have one login
E005      the middleware is missing
E006      the middleware stands after one that uses the database
E007      psycopg has no pipeline mode
E008      the login for tests is used outside tests
E009      the owner's alias has another engine
W001      a model's rows are in two tables
W002      Django's own commands come before ours
W003      ``CONTRIB`` is set and its router is not
W004      the application is trusted, not the database
========  ======================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string
from psycopg import Pipeline

from django_jwtrole.conf import auth, conf, protected_aliases
from django_jwtrole.middleware import JWTRoleMiddleware
from django_jwtrole.postgresql.creation import nobody
from django_jwtrole.routers import ContribRouter
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check_commands", "check_databases", "check_middleware", "check_settings"]

_ENGINE = "django_jwtrole.postgresql"
_MIDDLEWARE = "django_jwtrole.middleware.JWTRoleMiddleware"
_ROUTER = "django_jwtrole.routers.ContribRouter"
_USES_DATABASE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
_WITH_COMMANDS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Say what is wrong with ``JWTROLE``."""
    try:
        auth()
    except ConfigurationError as error:
        return [Error(str(error), id="jwtrole.E003")]
    found: list[CheckMessage] = []
    if conf().contrib and not _has(settings.DATABASE_ROUTERS, ContribRouter):
        found.append(
            Warning(
                "JWTROLE['CONTRIB'] is set, but nothing sends Django's models there.",
                hint=f"Add {_ROUTER!r} to DATABASE_ROUTERS.",
                id="jwtrole.W003",
            )
        )
    if auth().trust != "database":
        found.append(
            Warning(
                "JWTROLE['TRUST'] is 'application': whoever injects SQL can become any "
                "tenant and any role.",
                hint="Leave it out: PostgreSQL then verifies each token itself.",
                id="jwtrole.W004",
            )
        )
    return found


def check_databases(**_: Any) -> list[CheckMessage]:
    """Say what is wrong with ``DATABASES``, without connecting."""
    if not any(_is_ours(alias) for alias in connections):
        hint = f"Set ENGINE to {_ENGINE!r}: nothing protects the rows now."
        return [Error("No alias in DATABASES is ours.", hint=hint, id="jwtrole.E001")]
    found: list[CheckMessage] = []
    if not _is_ours(DEFAULT_DB_ALIAS):
        hint = f"Set its ENGINE to {_ENGINE!r}, or protect no model that uses it."
        text = f"DATABASES[{DEFAULT_DB_ALIAS!r}] has an engine that protects nothing."
        found.append(Error(text, hint=hint, id="jwtrole.E002"))
    if not Pipeline.is_supported():
        hint = "Install psycopg[binary], or a libpq of PostgreSQL 14 or newer."
        found.append(
            Error("psycopg has no pipeline mode.", hint=hint, id="jwtrole.E007")
        )
    try:
        found += _check_logins()
    except ConfigurationError:
        # E003 says it.
        return found
    return found


def _check_logins() -> Iterator[CheckMessage]:
    owner = connections[conf().owner]
    if not _is_ours(conf().owner):
        text = f"DATABASES[{conf().owner!r}] has another engine than the rest."
        hint = f"Set its ENGINE to {_ENGINE!r}, so that tests share its database."
        yield Error(text, hint=hint, id="jwtrole.E009")
    for alias in protected_aliases():
        given = connections[alias].settings_dict
        if given["USER"] == owner.settings_dict["USER"]:
            text = f"DATABASES[{alias!r}] logs in as the owner of the tables."
            hint = "Give it a login that owns nothing; `jwtrole bootstrap` makes one."
            yield Error(text, hint=hint, id="jwtrole.E004")
        tests = given["TEST"].get("USER")
        if tests and tests == given["USER"] and nobody(given) is None:
            text = f"DATABASES[{alias!r}] logs in as {tests!r}, the login for tests."
            hint = "That login may become the owner: use the application's own."
            yield Error(text, hint=hint, id="jwtrole.E008")


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Say whether the middleware is there, and in its place."""
    given = list(settings.MIDDLEWARE)
    ours = next((i for i, p in enumerate(given) if _is(p, JWTRoleMiddleware)), None)
    if ours is None:
        hint = f"Put {_MIDDLEWARE!r} first: without it no request acts as anybody."
        return [Error("The middleware is missing.", hint=hint, id="jwtrole.E005")]
    early = [path for path in given[:ours] if path in _USES_DATABASE]
    if early:
        text = f"The middleware stands after {', '.join(early)}."
        hint = "Put it first: what stands before it uses the database as nobody."
        return [Error(text, hint=hint, id="jwtrole.E006")]
    return []


def check_commands(**_: Any) -> list[CheckMessage]:
    """Say whether our commands are the ones that run."""
    given = list(settings.INSTALLED_APPS)
    ours = next(i for i, path in enumerate(given) if path.startswith("django_jwtrole"))
    early = [path for path in given[:ours] if path in _WITH_COMMANDS]
    if not early:
        return []
    text = f"'django_jwtrole' stands after {', '.join(early)} in INSTALLED_APPS."
    hint = (
        "Put it first: createsuperuser, changepassword, remove_stale_contenttypes and "
        "runserver would run as the application's login, which may do nothing."
    )
    return [Warning(text, hint=hint, id="jwtrole.W002")]


def _is_ours(alias: str) -> bool:
    return getattr(connections[alias], "jwtrole_engine", False)


def _is(path: object, wanted: type) -> bool:
    try:
        found = import_string(path) if isinstance(path, str) else path
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, wanted)


def _has(paths: Sequence[object], wanted: type) -> bool:
    return any(_is(path, wanted) or isinstance(path, wanted) for path in paths)
