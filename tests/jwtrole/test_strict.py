"""The strict reading of base64url, JSON and key ids."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtrole.strict import Malformed, decode_part, json_object, key_id


@given(st.binary(min_size=1))
def test_canonical_base64url_is_read(data: bytes) -> None:
    """Every non-empty string of bytes has one form, and that form is read."""
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert decode_part(text) == data


@pytest.mark.parametrize(
    "text",
    ["", "A", "QQ==", "QQ=", "QR", "QUJ", "a+b_", "a/b_", "Q Q", "QQ\n", "\nQQ", "Q.Q"],
)
def test_another_base64_is_refused(text: str) -> None:
    """Padding, stray bits, the other alphabet and white space are refused."""
    with pytest.raises(Malformed, match="canonical base64url"):
        decode_part(text)


@given(st.text(alphabet="AQgwBRhx-_9", min_size=1, max_size=8))
def test_what_is_read_is_written_the_same(text: str) -> None:
    """No two texts are read as the same bytes."""
    try:
        data = decode_part(text)
    except Malformed:
        return
    assert base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text


def test_a_json_object_is_read() -> None:
    """Objects, arrays, numbers, white space and escapes are JSON as ever."""
    found = json_object(b' {"a": [1, 2.5, -3e2, true, null], "b": {"\\u00e4": ""}}\r\n')
    assert found == {"a": [1, 2.5, -300.0, True, None], "b": {"\u00e4": ""}}


def test_a_surrogate_pair_is_a_character() -> None:
    """A character outside the basic plane may be escaped as two halves."""
    assert json_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("text", ["[1]", '"a"', "1", "null", "true"])
def test_only_an_object_is_read(text: str) -> None:
    """JSON of another type is refused."""
    with pytest.raises(Malformed, match="no JSON object"):
        json_object(text.encode())


@pytest.mark.parametrize(
    "text", ["", "{", "{} {}", "{'a': 1}", '{"a": 01}', '{"a": "\t"}']
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """Broken JSON is refused."""
    with pytest.raises(Malformed, match="no JSON text"):
        json_object(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": "\xff"}',
        b'{"a": "\xc0\x80"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
    ],
)
def test_another_encoding_is_refused(data: bytes) -> None:
    """JSON is UTF-8, without overlong forms and surrogates."""
    with pytest.raises(Malformed, match="no JSON text in UTF-8"):
        json_object(data)


def test_a_byte_order_mark_is_refused() -> None:
    """A BOM before the object makes it no JSON."""
    with pytest.raises(Malformed, match="no JSON text"):
        json_object(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '{"x": [{"a": 1, "\\u0061": 2}]}', '{"": 0, "": 0}']
)
def test_a_repeated_key_is_refused(text: str) -> None:
    """The same key twice is refused at any depth, however it is written."""
    with pytest.raises(Malformed, match="same key twice"):
        json_object(text.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number: str) -> None:
    """NaN and the infinities are no JSON."""
    with pytest.raises(Malformed, match="NaN or an infinity"):
        json_object(f'{{"a": [{number}]}}'.encode())


@pytest.mark.parametrize("number", ["1e400", "-1e-400", "1E+100", "9" * 310 + ".0"])
def test_a_number_beyond_a_double_is_refused(number: str) -> None:
    """A number that might become an infinity or be rounded to zero is refused."""
    with pytest.raises(Malformed, match="too large"):
        json_object(f'{{"a": {number}}}'.encode())


@pytest.mark.parametrize("digits", [201, 5000])
def test_a_huge_integer_is_refused(digits: int) -> None:
    """An integer of any length is refused in our own words."""
    with pytest.raises(Malformed, match="over 200 digits"):
        json_object(b'{"a": ' + b"9" * digits + b"}")


def test_a_long_integer_is_kept_exactly() -> None:
    """An integer within the limit loses no digit and is a finite float."""
    number = 10**199 + 1
    found = json_object(json.dumps({"a": number}).encode())["a"]
    assert found == number
    assert float(found) < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x\\u0000"}',
        '{"x\\u0000": 1}',
        '{"a": [{"b": "\\ud800"}]}',
        '{"a": "\\ude00\\ud83d"}',
        '{"\\udfff": 1}',
    ],
)
def test_what_no_text_column_holds_is_refused(text: str) -> None:
    """A NUL or half a surrogate pair is refused, in values and in keys."""
    with pytest.raises(Malformed, match="NUL or half a surrogate"):
        json_object(text.encode())


def test_thirty_two_levels_are_read() -> None:
    """Nesting up to the limit is read, whatever stands in the innermost object."""
    text = '{"a": ' * 32 + '"x"' + "}" * 32
    assert json_object(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * 33 + "1" + "}" * 33,
        '{"a": ' + "[" * 33 + "]" * 33 + "}",
        '{"a": ' + "[" * 6000 + "]" * 6000 + "}",
        '{"a": ' * 2000 + "1" + "}" * 2000,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    """Nesting over the limit is refused, also where Python's own reader gives up."""
    with pytest.raises(Malformed, match="nested more than 32"):
        json_object(text.encode())


@pytest.mark.parametrize(
    "data",
    [b'{"secret": nope}', b'{"secret": "\xff"}', b'{"secret": 1e999}', b'["secret"]'],
)
def test_an_error_drags_nothing_along(data: bytes) -> None:
    """Neither message nor cause nor context holds what was read."""
    with pytest.raises(Malformed) as caught:
        json_object(data)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kid", ["k", "2024-01", "a b", "\u00e4", "x" * 256])
def test_a_printable_kid_is_read(kid: str) -> None:
    """A key id is any printable string up to 256 characters."""
    assert key_id(kid) == kid


@pytest.mark.parametrize(
    "kid", ["", "a\nb", "a\x9fb", "a\u2028b", "x" * 257, None, 7, ["k"], "\ud800"]
)
def test_another_kid_is_refused(kid: object) -> None:
    """What could forge a log line, or is no string, is no key id."""
    with pytest.raises(Malformed, match="'kid'"):
        key_id(kid)
