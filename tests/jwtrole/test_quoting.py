"""Names and values as SQL text."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import (
    grantee,
    identifier,
    literal,
    qualified,
    short_name,
    unwritable,
)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("member", '"member"'),
        ("Order", '"Order"'),
        ('a"; DROP TABLE x; --', '"a""; DROP TABLE x; --"'),
        ("\u00e4" * 31, '"' + "\u00e4" * 31 + '"'),
    ],
)
def test_an_identifier_is_quoted(name: str, quoted: str) -> None:
    """No name can end its own quotes."""
    assert identifier(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """PostgreSQL has no empty name and none with a NUL."""
    with pytest.raises(ConfigurationError, match="is not a name"):
        identifier(name)


@pytest.mark.parametrize("name", ["x" * 64, "\u00e4" * 32])
def test_a_name_postgresql_would_cut_is_refused(name: str) -> None:
    """A name is counted in bytes, and one over 63 is an error, never cut."""
    with pytest.raises(ConfigurationError, match="64 bytes"):
        identifier(name)


def test_a_name_with_its_schema() -> None:
    """Schema and name are quoted apart from each other."""
    assert qualified("app", "note") == '"app"."note"'
    assert qualified(None, "note") == '"note"'


@pytest.mark.parametrize(
    ("role", "quoted"), [("PUBLIC", "PUBLIC"), ("Public", '"Public"'), ("a", '"a"')]
)
def test_a_grantee_is_quoted(role: str, quoted: str) -> None:
    """Everybody is spelled PUBLIC; any other name is a role's."""
    assert grantee(role) == quoted


@pytest.mark.parametrize("role", ["public", "none"])
def test_a_keyword_is_no_grantee(role: str) -> None:
    """PostgreSQL takes these for keywords even in quotes, so nobody gets them."""
    with pytest.raises(ConfigurationError, match="is no role"):
        grantee(role)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", "'plain'"),
        ("it's", "'it''s'"),
        ("back\\slash", " E'back\\\\slash'"),
        ("\\' OR 1=1 --", " E'\\\\'' OR 1=1 --'"),
    ],
)
def test_a_literal_is_quoted(value: str, quoted: str) -> None:
    """No value can end its own quotes, under either reading of the backslash."""
    assert literal(value) == quoted


def test_a_nul_stands_in_no_literal() -> None:
    """PostgreSQL's text holds no NUL."""
    with pytest.raises(ConfigurationError, match="NUL"):
        literal("a\0b")


def test_a_short_name_stays() -> None:
    """A name within the limit is left as it is."""
    assert short_name("x" * 63) == "x" * 63


def test_a_long_name_is_cut_to_the_limit() -> None:
    """A long name fits, and ends in a hash of the whole."""
    assert len(short_name("x" * 64)) == 63
    assert len(short_name("\u00e4" * 50, 30).encode()) <= 30


def test_long_names_that_differ_stay_different() -> None:
    """Two names alike up to the cut do not become one."""
    assert short_name("x" * 80 + "a") != short_name("x" * 80 + "b")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"x", "bytes"),
        (bytearray(b"x"), "bytes"),
        (memoryview(b"x"), "bytes"),
        (float("nan"), "nan is no literal"),
        (float("-inf"), "-inf is no literal"),
        (Decimal("NaN"), "NaN is no literal"),
        ("a\0b", "a NUL"),
        (dt.datetime.now, "'datetime.now' would be called anew"),
        (lambda: 1, "<lambda>"),
    ],
)
def test_some_values_have_no_literal(value: object, reason: str) -> None:
    """What would mean something else tomorrow, or nothing, is told with the reason."""
    assert reason in (unwritable(value) or "")


@pytest.mark.parametrize(
    "value", [None, "", "x", 1, 1.5, True, Decimal(1), dt.date(2026, 1, 1), [1], {}]
)
def test_other_values_have(value: object) -> None:
    """A value that stays what it is has a literal."""
    assert unwritable(value) is None
