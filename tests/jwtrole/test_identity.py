"""Identities, and how claims become one of the fixed roles."""

from __future__ import annotations

import copy
import json
from types import MappingProxyType
from typing import Any

import pytest

from jwtrole.errors import ConfigurationError, RoleDenied
from jwtrole.fixed_roles import allowed_role
from jwtrole.identity import Identity, RoleMap


def make(role: str = "member", **claims: Any) -> Identity:
    """Return an identity of the tests' issuer."""
    return Identity(role, claims, issuer="i", expires=10.0, token="secret.token.x")


def test_an_identity_says_who() -> None:
    """Role, claims, issuer, end and token are what was given."""
    who = make(sub="alice", tenant_id=7)
    assert (who.role, who.issuer, who.expires) == ("member", "i", 10.0)
    assert who.claims["tenant_id"] == 7
    assert who.subject == "alice"
    assert who.token == "secret.token.x"


def test_the_anonymous_identity_is_a_role_alone() -> None:
    """Without claims there is no issuer, no end, no token, no subject."""
    who = Identity("anon")
    assert (who.issuer, who.expires, who.token, who.subject) == (None,) * 4
    assert who.claims_json == "{}"


def test_a_subject_is_a_string() -> None:
    """A sub of another type is no subject."""
    assert make(sub=7).subject is None


@pytest.mark.parametrize("name", ["role", "claims", "expires", "_token", "new"])
def test_an_identity_cannot_be_changed(name: str) -> None:
    """No attribute can be set or deleted."""
    who = make()
    with pytest.raises(AttributeError, match="immutable"):
        setattr(who, name, "manager")
    with pytest.raises(AttributeError, match="immutable"):
        delattr(who, name)


def test_claims_cannot_be_changed_at_any_depth() -> None:
    """Objects and arrays within the claims are frozen with them."""
    given = {"realm_access": {"roles": ["member"]}}
    who = make(**given)
    given["realm_access"]["roles"].append("manager")
    assert who.claims["realm_access"]["roles"] == ("member",)
    with pytest.raises(TypeError):
        who.claims["realm_access"]["roles"] = ()


def test_claims_json_is_the_claims() -> None:
    """What policies read is compact JSON of the same claims."""
    claims = {"sub": "a", "list": [1, {"x": None}], "text": "\u00e4 \U0001f600"}
    who = make(**claims)
    assert json.loads(who.claims_json) == claims
    assert " " not in who.claims_json.replace("\\u00e4 ", "")
    assert who.claims_json is who.claims_json


def test_claims_json_refuses_nan() -> None:
    """NaN is no JSON and never reaches the database."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = make(x=float("nan")).claims_json


def test_identities_compare_by_what_they_are() -> None:
    """The same role, claims and issuer are the same identity, whatever the token."""
    one, two = make(sub="a"), Identity("member", {"sub": "a"}, issuer="i")
    assert one == two
    assert hash(one) == hash(two)


@pytest.mark.parametrize(
    "other",
    [
        make("manager", sub="a"),
        make(sub="b"),
        Identity("member", {"sub": "a"}, issuer="j"),
        Identity("member", {"sub": "a"}),
    ],
)
def test_identities_that_differ_are_different(other: Identity) -> None:
    """Another role, claim or issuer is another identity."""
    assert make(sub="a") != other


def test_an_identity_equals_nothing_else() -> None:
    """An identity is not equal to its role's name."""
    assert make() != "member"


def test_a_fingerprint_is_short_and_says_nothing() -> None:
    """Sixteen hexadecimal digits, none of them the claims'."""
    fingerprint = make(sub="alice").fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0


def test_a_repr_holds_no_claim_and_no_token() -> None:
    """What reaches a log by accident names role and issuer alone."""
    text = repr(make(sub="alice", email="alice@example.com"))
    assert text == "<Identity role='member' issuer='i'>"


def test_a_copy_is_the_same() -> None:
    """Test frameworks may copy an identity, which changes nothing."""
    who = make(sub="alice", nested={"a": [1]})
    assert copy.copy(who) is who
    assert copy.deepcopy({"who": who})["who"] is who


@pytest.mark.parametrize("name", ["member", "Billing Manager", "r\u00f4le", "x" * 63])
def test_an_ordinary_role_is_allowed(name: str) -> None:
    """Any printable name of up to 63 bytes may be a role."""
    assert allowed_role(name) == name


@pytest.mark.parametrize(
    "name", ["none", "NONE", "public", "current_user", "session_user", "current_role"]
)
def test_a_name_with_a_meaning_is_no_role(name: str) -> None:
    """`none` and its like never become a role."""
    with pytest.raises(ConfigurationError, match="reserved"):
        allowed_role(name)


@pytest.mark.parametrize("name", ["pg_read_all_data", "PG_x", "pg_"])
def test_a_pg_role_is_no_role(name: str) -> None:
    """PostgreSQL's own roles can be named by no token."""
    with pytest.raises(ConfigurationError, match="reserved"):
        allowed_role(name)


@pytest.mark.parametrize("name", ["x" * 64, "\u00e4" * 32])
def test_a_role_over_63_bytes_is_no_role(name: str) -> None:
    """A name PostgreSQL would cut could become another role."""
    with pytest.raises(ConfigurationError, match="over 63 bytes"):
        allowed_role(name)


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", None, 7, ["member"]])
def test_what_is_no_printable_string_is_no_role(name: object) -> None:
    """A role is a non-empty printable string."""
    with pytest.raises(ConfigurationError, match="printable string"):
        allowed_role(name)


def test_a_claim_names_a_role() -> None:
    """The claim's value is the role where roles is a list."""
    found = RoleMap(["member", "manager"])
    assert found.role_of({"role": "manager"}) == "manager"
    assert found.roles == ("member", "manager")
    assert found.path == ("role",)


def test_a_claim_is_looked_up_in_a_map() -> None:
    """Where roles is a mapping, the value is looked up and is no role itself."""
    found = RoleMap({"User": "member", "Admin": "manager", "Root": "manager"})
    assert found.role_of({"role": "Root"}) == "manager"
    assert found.roles == ("member", "manager")
    assert dict(found.values) == {
        "User": "member",
        "Admin": "manager",
        "Root": "manager",
    }
    with pytest.raises(RoleDenied):
        found.role_of({"role": "manager"})


def test_a_claim_name_is_literal() -> None:
    """Neither dots nor slashes in a claim's name make a path."""
    found = RoleMap(["member"], "https://example.com/user.role")
    assert found.role_of({"https://example.com/user.role": "member"}) == "member"
    assert found.path == ("https://example.com/user.role",)


def test_a_path_goes_into_objects() -> None:
    """A list of names is a path, as Keycloak needs it."""
    found = RoleMap(["member"], ["realm_access", "roles"])
    assert found.role_of({"realm_access": {"roles": ["x", "member"]}}) == "member"
    assert found.path == ("realm_access", "roles")


def test_in_an_array_the_first_allowed_role_wins() -> None:
    """The token's order decides, not the configuration's."""
    found = RoleMap(["member", "manager"])
    assert found.role_of({"role": ["other", "manager", "member"]}) == "manager"
    assert found.role_of({"role": ("member", "manager")}) == "member"


def test_a_callable_reads_the_claims() -> None:
    """A callable answers with the value to look up."""
    found = RoleMap(["member"], lambda claims: claims["x"]["y"])
    assert found.role_of({"x": {"y": "member"}}) == "member"
    assert found.path is None
    with pytest.raises(RoleDenied, match="read by a callable"):
        found.role_of({"x": {"y": "other"}})


@pytest.mark.parametrize(
    "value",
    [None, True, 7, {"role": "member"}, ["member", 7], [["member"]], "", [], "Member"],
)
def test_a_claim_that_names_no_allowed_role_is_denied(value: object) -> None:
    """Only strings, and only exactly those of the list, name a role."""
    with pytest.raises(RoleDenied) as caught:
        RoleMap(["member"]).role_of({"role": value})
    assert caught.value.allowed == ("member",)


@pytest.mark.parametrize("value", ["none", "pg_read_all_data", "x" * 64])
def test_a_reserved_value_is_denied_without_repeating_it(value: str) -> None:
    """A value outside the list is denied whatever it is, and not shown."""
    with pytest.raises(RoleDenied) as caught:
        RoleMap(["member"]).role_of({"role": value})
    assert value not in str(caught.value).replace("none of the", "")


@pytest.mark.parametrize(
    "claims", [{}, {"a": {}}, {"a": "b"}, {"a": ["b"]}, {"a": None}, {"a.b": "member"}]
)
def test_a_missing_role_claim_is_denied(claims: dict[str, Any]) -> None:
    """A path that ends early, or in no object, is no role."""
    with pytest.raises(RoleDenied, match=r"no role claim \['a', 'b'\]"):
        RoleMap(["member"], ["a", "b"]).role_of(claims)


@pytest.mark.parametrize("roles", [[], {}, ()])
def test_no_roles_is_an_error(roles: Any) -> None:
    """An empty list of roles could let nobody in."""
    with pytest.raises(ConfigurationError, match="roles is empty"):
        RoleMap(roles)


def test_a_string_is_no_list_of_roles() -> None:
    """A string would be read as its letters."""
    with pytest.raises(ConfigurationError, match="not the string 'member'"):
        RoleMap("member")


@pytest.mark.parametrize("value", ["", 7, None])
def test_a_claim_value_is_a_string(value: Any) -> None:
    """A mapping's keys are what a token can hold: non-empty strings."""
    with pytest.raises(ConfigurationError, match="claim value"):
        RoleMap({value: "member"})


def test_a_map_leads_to_allowed_roles_only() -> None:
    """A reserved role cannot be reached through a map either."""
    with pytest.raises(ConfigurationError, match="reserved"):
        RoleMap({"superuser": "pg_monitor"})


@pytest.mark.parametrize("claim", ["", [], [""], ["a", 7], ()])
def test_an_empty_path_is_an_error(claim: Any) -> None:
    """A role claim has a name, or a path of names."""
    with pytest.raises(ConfigurationError, match="role_claim"):
        RoleMap(["member"], claim)


def test_the_map_cannot_be_changed_from_outside() -> None:
    """What a token may name is fixed when it is declared."""
    given = {"User": "member"}
    found = RoleMap(given)
    given["User"] = "manager"
    assert found.role_of({"role": "User"}) == "member"
    assert isinstance(found.values, MappingProxyType)
