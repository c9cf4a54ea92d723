"""Two verifiers, one answer: whatever is done to a token, they agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.database.test_reading import GOOD, HEADER, JWK, LAST, both, raw
from tests.jwtrole.making import ISSUER, NOW, claims

if TYPE_CHECKING:
    from tests.database.conftest import Verifier


@pytest.fixture
def trusting(verifier: Verifier) -> Verifier:
    """Return the verifier with the one issuer and its secret."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, JWK)
    return verifier


NUMBERS = st.sampled_from([
    "0", "-0", "1", "-1", "1.5", "1e9", "1E+99", "1e-99", "1e100", "1e099", "-1e-999",
    "0e0", "0.0", "-0.0", "01", "1.", ".5", "+1", "1e", "NaN", "Infinity", "-",
    "9" * 200, "9" * 201, "1." + "0" * 250, f"{LAST}", f"{LAST + 1}", f"{LAST}.5",
    f"{NOW}", f"{LAST}.00001", f"{LAST}.00002", "2.5341e11", "true", "false", "null",
])  # fmt: skip
PIECES = st.sampled_from([
    "a", "sub", "\\u0061", "\\u0000", "\\ud800", "\\ud83d\\ude00", "\\udc00", '\\"',
    "\\\\", "\\/", "\\n", "\n", "\0", "\x01", "\x7f", "[", "{", "}", ":", ",", "1e100",
    "\u00e4", "\U0001f600", "\ud800", "\ufeff", "\u2028", "'", "\\u00",
    "\\x", "9" * 210,
])  # fmt: skip
STRINGS = st.lists(PIECES, max_size=4).map(lambda found: f'"{"".join(found)}"')
NAMES = st.sampled_from(['"a"', '"b"', '"\\u0061"', '""', '"sub"']) | STRINGS
BLANK = st.sampled_from(["", "", "", " ", "\n", "\t", "\r", "\x0b", "\xa0"])


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return the texts of objects, seldom with a name twice."""
    pairs = st.lists(st.tuples(NAMES, BLANK, values), max_size=3)
    return pairs.map(
        lambda found: "{" + ",".join(f"{n}{b}:{v}" for n, b, v in found) + "}"
    )


VALUES = st.recursive(
    NUMBERS | STRINGS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: f"[{','.join(found)}]")
        | objects(inner)
        | st.tuples(st.integers(28, 34), inner).map(
            lambda found: "[" * found[0] + found[1] + "]" * found[0]
        )
    ),
    max_leaves=6,
)
KINDS = st.sampled_from(['"JWT"', '"at+jwt"', '"JOSE"', '"k"', '"K"', '"HS256"'])


@st.composite
def texts(draw: st.DrawFn, good: dict[str, str], names: tuple[str, ...]) -> str:
    """Return the text of an object: good, with some members changed or added."""
    members = list(good.items())
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(names))
        value = draw(VALUES | KINDS)
        if draw(st.booleans()):
            members = [member for member in members if member[0] != name]
        members.append((name, value))
    blank = draw(BLANK)
    return "{" + ",".join(f'"{n}":{blank}{v}' for n, v in members) + "}" + draw(BLANK)


HEADERS = texts({"alg": '"HS256"'}, ("alg", "typ", "kid", "crit", "x", "jwk"))
PAYLOADS = texts(
    {name: json.dumps(value) for name, value in claims().items()},
    ("exp", "nbf", "iat", "sub", "jti", "aud", "iss", "x", "y", "\\u0065xp"),
)
# At a place in the token: take away, put in, or put in place of.
CHANGES = st.tuples(
    st.integers(0, 10_000),
    st.integers(0, 2),
    st.sampled_from([*"AQgwB-_=.+/ \n\u00e4", "", "..", "\u212a"]),
)


def changed(token: str, change: tuple[int, int, str]) -> str:
    """Return a token with a few characters changed."""
    at, away, put = change
    at %= len(token) + 1
    return token[:at] + put + token[at + away :]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(st.tuples(HEADERS | st.just(HEADER), PAYLOADS), max_size=40),
    changes=st.lists(CHANGES, max_size=10),
)
def test_both_verifiers_always_agree(
    trusting: Verifier,
    parts: list[tuple[str, str]],
    changes: list[tuple[int, int, str]],
) -> None:
    """Whatever header, claims and form a token has, both say the same of it."""
    tokens = [raw(header, payload) for header, payload in parts]
    tokens += [changed(GOOD, change) for change in changes]
    answers = both(trusting, [token for token in tokens if "\0" not in token])

    assert [pair for pair in answers if pair[0] is not pair[1]] == []
