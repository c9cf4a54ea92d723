"""SQL text that reaches past its end is refused, everything else left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.fragment import whole

if TYPE_CHECKING:
    from tests.jwtrole.conftest import Sandbox


@pytest.mark.parametrize(
    "sql",
    [
        "a = 1",
        "(a) OR (b)",
        "body LIKE '50%' AND body <> ':x'",
        "body = 'it''s ) -- /* ; $1'",
        "body = E'back\\\\slash \\') ' OR body = e'\\\\'",
        '"a)b" = "say ""no"""',
        "tags[1:2] = ARRAY['x', ')']",
        "body = E'\\'' AND '' <> E'\\\\'",
        "EXISTS (SELECT 1 FROM t WHERE (t.a))",
    ],
)
def test_one_expression_stays_as_it_is(sql: str) -> None:
    """Brackets, quotes and marks inside strings and names mean nothing."""
    assert whole(sql) == sql


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("true) OR (true", r"'\)' that closes nothing"),
        ("a[1)", r"'\)' that closes nothing"),
        ("(a", r"lacks the end of a '\('"),
        ("a[1", r"lacks the end of a '\['"),
        ("true -- yes", "a comment"),
        ("true /* yes", "a comment"),
        ("true; DROP TABLE t", "a semicolon"),
        ("a = $1", "a parameter or dollar quotes"),
        ("a = $$x$$", "a parameter or dollar quotes"),
        ("a = 'x", "a string without its end"),
        ('a = "x', "a name without its end"),
        ("a = 'x\\' OR true OR a = '", "a backslash that depends"),
        ("a = E'x\\' OR true", "a backslash that depends"),
        ("a = E'x\\' OR b = 'y'", "a string without its end"),
        ("a = date'\\' OR b = E'\\''", "a backslash that depends"),
        ("a\0", "a NUL"),
    ],
)
def test_what_reaches_past_its_end_is_refused(sql: str, complaint: str) -> None:
    """Whatever could close a bracket, or hide one, is an error that says what."""
    with pytest.raises(ConfigurationError, match=complaint):
        whole(sql)


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_what_is_let_through_means_the_same_under_every_setting(
    sandbox: Sandbox, conforming: str
) -> None:
    """A string with a backslash reads the same whatever the session's setting."""
    sandbox.run(f"SET LOCAL standard_conforming_strings = {conforming}")
    text = whole("E'a\\\\b''c' = chr(97) || chr(92) || 'b' || chr(39) || 'c'")

    assert sandbox.run(f"SELECT {text}") == [(True,)]
