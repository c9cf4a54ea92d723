"""The setting JWTROLE: read once, wrong ones named with the right one beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_jwtrole import conf
from jwtrole import Role
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from django.conf import LazySettings

_ISSUER = {"issuer": "https://x.example/", "audience": "a", "algorithms": ["HS256"]}


def test_settings_become_core_objects() -> None:
    """What the settings say is what tokens are verified against."""
    auth = conf.auth()

    assert auth.roles == ("member", "manager")
    assert auth.anonymous is not None
    assert auth.anonymous.role == "anon"
    assert auth.app_name == "jwtrole"
    assert conf.conf() == conf.Conf(
        owner="owner",
        roles=("member", "manager"),
        anonymous="anon",
        fixed_roles={name: Role(name) for name in ("member", "manager", "anon")},
        contrib="owner",
    )


def test_settings_are_read_once_and_again_when_they_change(
    settings: LazySettings,
) -> None:
    """One object serves all requests until a setting changes."""
    before = conf.auth()
    assert conf.auth() is before
    settings.JWTROLE = {**settings.JWTROLE, "APP_NAME": "billing"}

    assert conf.auth().app_name == "billing"


def test_a_mapping_of_roles_is_understood(settings: LazySettings) -> None:
    """ROLES may map claim values to roles, ROLE_CLAIM be a path."""
    settings.JWTROLE = {
        **settings.JWTROLE,
        "ROLES": {"users": "member", "others": "member"},
        "ROLE_CLAIM": ["realm_access", "roles"],
        "ANONYMOUS": None,
    }

    assert conf.conf().roles == ("member",)
    assert conf.auth().role_map.path == ("realm_access", "roles")
    assert conf.auth().anonymous is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"OWNERS": "owner"}, r"'OWNERS'.*did you mean 'OWNER'"),
        ({"OWNER": "nobody"}, "'nobody', which is no alias.*'default', 'owner'"),
        ({"OWNER": ""}, r"'OWNER'.*missing"),
        ({"CONTRIB": "nobody"}, "'CONTRIB'.*no alias"),
        ({"ROLES": []}, r"'ROLES'.*missing"),
        ({"ROLES": ["none"]}, "reserved"),
        ({"ANONYMOUS": "pg_read_all_data"}, "reserved"),
        ({"ISSUERS": [{**_ISSUER, "algorithm": "x"}]}, "did you mean 'algorithms'"),
        ({"ISSUERS": ["https://x.example/"]}, r"ISSUERS'\]\[0\] is a dictionary"),
        ({"ISSUERS": [{"audience": "a"}]}, r"ISSUERS'\]\[0\] is a dictionary"),
        ({"ISSUERS": [{"issuer": "https://x.example/"}]}, r"ISSUERS'\]\[0\] lacks"),
        ({"ISSUERS": [_ISSUER]}, "."),
    ],
)
def test_a_setting_that_cannot_work_is_refused(
    settings: LazySettings, changes: dict[str, Any], message: str
) -> None:
    """A wrong setting is an error that names it, and the next valid one."""
    settings.JWTROLE = {**settings.JWTROLE, **changes}

    with pytest.raises(ConfigurationError, match=message):
        conf.auth()


@pytest.mark.parametrize("value", [None, [], "JWTROLE"])
def test_a_missing_setting_is_refused(settings: LazySettings, value: Any) -> None:
    """Without JWTROLE nothing works, and the message says what to set."""
    settings.JWTROLE = value

    with pytest.raises(ConfigurationError, match=r"settings.JWTROLE.*OWNER"):
        conf.conf()


def test_other_engines_are_never_protected(settings: LazySettings) -> None:
    """Only an alias of our engine, not the owner's, is protected."""
    assert conf.protected_aliases() == ("default",)
    assert not conf.is_protected("owner")
