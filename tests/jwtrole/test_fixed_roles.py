"""What is declared of a role: its name, what it inherits, its settings."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import django_jwtrole
import sqlalchemy_jwtrole
from jwtrole import ConfigurationError, JWTRole, Role
from jwtrole.fixed_roles import every_role, reach
from jwtrole.testing import ThrowawayIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

READER = Role("reader", settings={"work_mem": "16MB"})
MEMBER = Role("member", inherits=[READER], settings={"Statement_Timeout": "2s"})
WEAKENING = (
    "role", "session_authorization", "ROLE", "row_security", "search_path",
    "session_replication_role", "application_name", "is_superuser",
    "jwtrole.claims", "JWTROLE.role", "request.jwt.claims", "client_encoding",
    "standard_conforming_strings", "backslash_quote", "transform_null_equals",
    "log_parameter_max_length_on_error", "debug_print_plan", "client_min_messages",
    "local_preload_libraries", "lo_compat_privileges", "transaction_isolation",
    "transaction_read_only", "plpgsql.variable_conflict", "pg_stat_statements.track",
    "app.theme, row_security", "app.a.b", "statement_timeout ", "", "app.", ".x",
)  # fmt: skip


@pytest.fixture(scope="module")
def issuer() -> ThrowawayIssuer:
    """Return the issuer everybody trusts here."""
    return ThrowawayIssuer()


def test_a_role_is_one_and_the_same_everywhere() -> None:
    """Core and adapters have one Role, which never changes and can be copied."""
    assert django_jwtrole.Role is sqlalchemy_jwtrole.Role is Role
    for twin in (copy.deepcopy(MEMBER), pickle.loads(pickle.dumps(MEMBER))):
        assert twin == MEMBER
        assert hash(twin) == hash(MEMBER)
    with pytest.raises(TypeError):
        MEMBER.settings["work_mem"] = "1TB"  # type: ignore[index]
    with pytest.raises(AttributeError):
        MEMBER.name = "other"  # type: ignore[misc]


def test_a_role_stands_wherever_a_name_does(issuer: ThrowawayIssuer) -> None:
    """In a list, as a value of a mapping and as the anonymous role."""
    listed = JWTRole([issuer.issuer], ["manager", MEMBER], anonymous=Role("anon"))
    mapped = JWTRole([issuer.issuer], {"m": MEMBER, "n": "member"}, anonymous="anon")

    assert listed.roles == ("manager", "member")
    assert listed.role_map.values == {"manager": "manager", "member": "member"}
    assert mapped.role_map.values == {"m": "member", "n": "member"}
    assert list(listed.fixed_roles) == ["manager", "member", "anon", "reader"]
    assert mapped.fixed_roles == {
        "member": MEMBER, "reader": READER, "anon": Role("anon")
    }  # fmt: skip
    assert mapped.anonymous is not None
    assert mapped.anonymous.role == "anon"
    assert issuer.identity(mapped, sub="ann", role="m").role == "member"


def test_a_name_says_nothing_of_a_role_that_is_declared(
    issuer: ThrowawayIssuer,
) -> None:
    """Whichever comes first, what is declared of a role counts."""
    for given in ([MEMBER, "member"], ["member", MEMBER]):
        assert JWTRole([issuer.issuer], given).fixed_roles["member"] == MEMBER


def test_settings_are_a_roles_own(issuer: ThrowawayIssuer) -> None:
    """They are kept by role in lower case, and are not inherited."""
    auth = JWTRole([issuer.issuer], [MEMBER, "manager"])

    assert auth.settings == {
        "member": {"statement_timeout": "2s"}, "reader": {"work_mem": "16MB"}
    }  # fmt: skip


def test_a_role_reaches_what_it_inherits_by_way_of_others(
    issuer: ThrowawayIssuer,
) -> None:
    """What is inherited goes on inheriting, and a name reaches itself."""
    manager = Role("manager", inherits=["member", "auditor"])
    auth = JWTRole([issuer.issuer], [manager, MEMBER])

    assert auth.reach("manager") == {"manager", "member", "auditor", "reader"}
    assert auth.reach("member") == {"member", "reader"}
    assert auth.reach("nobody") == {"nobody"}


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Role("a", inherits=["a"]),
        lambda: Role("a", inherits=[Role("b", inherits=["a"])]),
    ],
    ids=["itself", "by way of another"],
)
def test_a_circle_is_refused(declare: Callable[[], Role]) -> None:
    """No role inherits itself."""
    with pytest.raises(ConfigurationError, match="'a' inherits itself"):
        every_role([declare()])


def test_a_longer_circle_is_refused() -> None:
    """A circle that no single declaration shows is found, and ends the search."""
    circle = [Role("a", inherits=["b"]), Role("b", inherits=["c"]), Role("c", ["a"])]

    with pytest.raises(ConfigurationError, match="inherits itself"):
        every_role(circle)


def test_a_role_with_two_heirs_is_no_circle() -> None:
    """Two ways to one role are fine."""
    left, right = Role("left", ["base"]), Role("right", ["base"])
    found = every_role([Role("top", [left, right])])

    assert reach(found, "top") == {"top", "left", "right", "base"}


def test_two_declarations_of_one_role_are_refused() -> None:
    """Nobody knows which of two different declarations is meant."""
    with pytest.raises(ConfigurationError, match="'member' is declared in two ways"):
        every_role([MEMBER, Role("member")])


@pytest.mark.parametrize(
    "name", ["", "none", "PUBLIC", "pg_monitor", "r" * 64, "jwtrole_owner", None, 7]
)
def test_an_unusable_name_is_never_inherited(name: Any) -> None:
    """Reserved names, PostgreSQL's own and the schema's owner are refused."""
    with pytest.raises(ConfigurationError):
        Role("member", inherits=[name])


@pytest.mark.parametrize("given", ["reader", None, 7])
def test_what_is_inherited_is_a_list(given: Any) -> None:
    """A lone name would be read letter by letter."""
    with pytest.raises(ConfigurationError, match="inherits= is a list"):
        Role("member", inherits=given)


@pytest.mark.parametrize("name", WEAKENING)
def test_a_setting_that_could_weaken_anything_is_refused(name: str) -> None:
    """Who acts, what protects, how SQL is read and what is logged are not a role's."""
    with pytest.raises(ConfigurationError, match="is not for a role to set"):
        Role("member", settings={name: "on"})


@pytest.mark.parametrize(
    "given",
    [["work_mem"], "work_mem", None, {7: "1"}, {"work_mem": 64}, {"work_mem": None},
     {"work_mem": "1\0"}],
)  # fmt: skip
def test_settings_of_another_shape_are_refused(given: Any) -> None:
    """They are a mapping of strings."""
    with pytest.raises(ConfigurationError, match="'member'"):
        Role("member", settings=given)
