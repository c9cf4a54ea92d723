"""The form of a token: the database reads as strictly as Python does, no more, no less.

All tokens here are rightly signed; only their form, header or claims are at fault.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jwtrole.tokens import Issuer
from tests.database.test_signatures import oracle
from tests.jwtrole.making import AUDIENCE, ISSUER, NOW, SECRET, claims, part, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.database.conftest import Verifier

JWK = {"kty": "oct", "k": part(SECRET), "alg": "HS256", "kid": "k"}
TRUSTED = Issuer(ISSUER, audience=AUDIENCE, jwks={"keys": [JWK]}, algorithms=["HS256"])
HEADER = '{"alg":"HS256"}'
LAST = 253_402_300_799


@pytest.fixture
def trusting(verifier: Verifier) -> Verifier:
    """Return the verifier with the one issuer and its secret."""
    verifier.trust(ISSUER)
    verifier.add_key(ISSUER, JWK)
    return verifier


def raw(header: str | bytes, payload: str | bytes) -> str:
    """Return a token of these very bytes, rightly signed."""
    first, second = (
        part(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        for text in (header, payload)
    )
    mac = hmac.digest(SECRET, f"{first}.{second}".encode(), hashlib.sha256)
    return f"{first}.{second}.{part(mac)}"


def with_text(text: str) -> str:
    """Return a token with good claims and one more, written as given."""
    return raw(HEADER, json.dumps(claims())[:-1] + f', "x": {text}}}')


def with_claims(**changes: Any) -> str:
    """Return a token with good claims and these changes, ``None`` being null."""
    return raw(HEADER, json.dumps({**claims(), **changes}))


def without(name: str) -> str:
    """Return a token with good claims but one."""
    return raw(HEADER, json.dumps({k: v for k, v in claims().items() if k != name}))


def with_header(text: str) -> str:
    """Return a token with good claims and a header written as given."""
    return raw(text, json.dumps(claims()))


def both(verifier: Verifier, tokens: Sequence[str]) -> list[tuple[bool, bool]]:
    """Return what the database and Python say of each token."""
    found = verifier.verified(tokens)
    return [
        (got is not None, oracle(TRUSTED, token))
        for got, token in zip(found, tokens, strict=True)
    ]


TAKEN = {
    "plain": sign(),
    "with kid": sign(kid="k"),
    "blanks": raw(' {"alg" : "HS256"}\n', f"\t{json.dumps(claims(), indent=2)}\r\n"),
    "escaped alg": with_header('{"\\u0061lg":"HS\\u003256"}'),
    "typ": with_header('{"alg":"HS256","typ":"At+JWT"}'),
    "typ application": with_header('{"alg":"HS256","typ":"application/JWT"}'),
    "unknown header": with_header('{"alg":"HS256","cty":"JWT","x5t":"x"}'),
    "audience list": with_claims(aud=["other", ""]),
    "empty audience": with_claims(aud=""),
    "fractions": with_claims(exp=NOW + 0.5, nbf=0.0, iat=1.5e9),
    "last second": with_claims(exp=LAST),
    "rounded down": raw(HEADER, json.dumps(claims()).replace(
        str(NOW + 600), f"{LAST}.0000152587890625")),
    "minus zero": with_claims(nbf=-0.0, iat=0),
    "astral": with_text('"\\ud83d\\ude00 \U0001f600"'),
    "quotes": with_text('"\\"\\\\\\"\\\\\\\\ \\/ \\b\\f\\n\\r\\t"'),
    "quoted names": with_text('{"a\\"":1,"a\\\\":2,"a":3,"\\"a":4}'),
    "brackets in a string": with_text(json.dumps("[{" * 100)),
    "numbers in a string": with_text(json.dumps("1e100 " + "9" * 300)),
    "empty": with_text('[{}, [], "", {"": ""}]'),
    "long number": with_text("9" * 200),
    "small number": with_text("1e-99"),
    "large number": with_text("-1E+99"),
    "32 deep": with_text("[" * 31 + "]" * 31),
    "wide": with_text("[" + "[1]," * 100 + "{}]"),
    "same name apart": with_text('[{"a":1},{"a":{"a":1}}]'),
    "delete character": with_text('"\x7f\x85\u2028\ufffe"'),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(trusting: Verifier, name: str) -> None:
    """Whatever the standards allow and nobody can misread is taken by both."""
    assert both(trusting, [TAKEN[name]]) == [(True, True)]


GOOD = sign()
FIRST, SECOND, THIRD = GOOD.split(".")
NO_DATES: list[Any] = [
    None, "1", True, [NOW], {}, -1, -0.5, LAST + 1, LAST + 0.5, 1e99,
]  # fmt: skip
NO_STRINGS: list[Any] = [None, 1, True, ["x"], {}]
NO_AUDIENCES: list[Any] = [None, 1, [], [1], ["billing", None], [["billing"]], {}]
REFUSED = {
    "nothing": "",
    "dots": "..",
    "two parts": f"{FIRST}.{SECOND}",
    "four parts": f"{GOOD}.{THIRD}",
    "no header": f".{SECOND}.{THIRD}",
    "no claims": f"{FIRST}..{THIRD}",
    "no signature": f"{FIRST}.{SECOND}.",
    "padding": f"{GOOD}=",
    "padding inside": f"{FIRST}=.{SECOND}.{THIRD}",
    "line end": f"{GOOD}\n",
    "line end inside": f"{GOOD[:20]}\n{GOOD[20:]}",
    "blank": f" {GOOD}",
    "other alphabet": GOOD.replace("_", "/").replace("-", "+") + "+",
    "no ASCII": f"{GOOD[:-1]}\u00e4",
    "one character over": f"{FIRST}.{SECOND}.{THIRD}AA",
    "too long": with_text(json.dumps("x" * 12300)),
    "bad UTF-8": raw(HEADER, json.dumps(claims()).encode()[:-1] + b',"x":"\xff"}'),
    "surrogate bytes": with_text('"\ud800"'),
    "overlong": raw(HEADER, json.dumps(claims()).encode()[:-1] + b',"x":"\xc0\x80"}'),
    "byte order mark": raw("\ufeff" + HEADER, json.dumps(claims())),
    "NUL": with_text('"\0"'),
    "escaped NUL": with_text('"\\u0000"'),
    "escaped NUL as name": with_text('{"\\u0000":1}'),
    "half a pair": with_text('"\\ud83d"'),
    "pair reversed": with_text('"\\ude00\\ud83d"'),
    "control character": with_text('"\x01"'),
    "line end in a string": with_text('"\n"'),
    "bad escape": with_text('"\\x41"'),
    "trailing comma": with_text("[1,]"),
    "comment": with_text("1 /* no */"),
    "single quotes": with_text("'x'"),
    "two texts": raw(HEADER, json.dumps(claims()) + "{}"),
    "list": raw(HEADER, "[]"),
    "string": raw(HEADER, '"x"'),
    "null": raw(HEADER, "null"),
    "header list": with_header('["alg"]'),
    "header string": with_header('"alg"'),
    "repeated": with_text('1, "x": 1'),
    "repeated claim": with_text('1, "sub": "bob"'),
    "repeated in depth": with_text('[[{"a":1,"b":{"c":1,"c":1}}]]'),
    "repeated by escape": with_text('{"a":1,"\\u0061":1}'),
    "repeated quote": with_text('{"\\"":1,"\\u0022":1}'),
    "repeated backslash": with_text('{"\\\\":1,"\\u005c":1}'),
    "repeated header": with_header('{"alg":"HS256","alg":"HS256"}'),
    "33 deep": with_text("[" * 32 + "]" * 32),
    "33 deep, mixed": with_text('{"a":[' * 16 + "]}" * 16),
    "6000 deep": with_text("[" * 6000 + "]" * 6000),
    "deep header": with_header('{"alg":"HS256","x":' + "[" * 32 + "]" * 32 + "}"),
    "open": with_text("[" * 9000),
    "number too long": with_text("9" * 201),
    "negative number too long": with_text("-" + "9" * 200),
    "fraction too long": with_text("0." + "1" * 199),
    "exponent too long": with_text("1e100"),
    "exponent with zeros": with_text("1e+001"),
    "tiny": with_text("[1, -1E-100]"),
    "huge": with_text("1e99999999999"),
    "zero, hugely": with_text("0e99999999999"),
    "number in header": with_header('{"alg":"HS256","x":[1e100]}'),
    "NaN": with_text("NaN"),
    "infinity": with_text("-Infinity"),
    "leading zero": with_text("01"),
    "point": with_text("1."),
    "plus": with_text("+1"),
    "no alg": with_header("{}"),
    "alg none": with_header('{"alg":"none"}'),
    "alg null": with_header('{"alg":null}'),
    "alg list": with_header('{"alg":["HS256"]}'),
    "alg other": with_header('{"alg":"HS512"}'),
    "alg case": with_header('{"alg":"hs256"}'),
    "typ other": with_header('{"alg":"HS256","typ":"dpop+jwt"}'),
    "typ null": with_header('{"alg":"HS256","typ":null}'),
    "typ list": with_header('{"alg":"HS256","typ":["JWT"]}'),
    "typ dotless": with_header('{"alg":"HS256","typ":"applicat\u0131on/jwt"}'),
    "kid other": sign(kid="K"),
    "kid null": with_header('{"alg":"HS256","kid":null}'),
    "kid number": with_header('{"alg":"HS256","kid":1}'),
    "kid empty": with_header('{"alg":"HS256","kid":""}'),
    "kid with a line end": with_header('{"alg":"HS256","kid":"k\\n"}'),
    **{
        f"header {name}": with_header(f'{{"alg":"HS256","{name}":null}}')
        for name in ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip")
    },
    **{f"no {name}": without(name) for name in ("exp", "aud", "iss")},
    **{
        f"{name} {value!r}": with_claims(**{name: value})
        for name in ("exp", "nbf", "iat")
        for value in NO_DATES
    },
    **{
        f"{name} {value!r}": with_claims(**{name: value})
        for name in ("sub", "jti", "iss")
        for value in NO_STRINGS
    },
    **{
        f"aud {value!r}": with_claims(aud=value)
        for value in NO_AUDIENCES
    },
    "iss empty": with_claims(iss=""),
    "iss other": with_claims(iss=ISSUER + "/"),
    "iss case": with_claims(iss=ISSUER.upper()),
    "rounded up": raw(HEADER, json.dumps(claims()).replace(
        str(NOW + 600), f"{LAST}.0000152587890626")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(trusting: Verifier, name: str) -> None:
    """Whatever could be read in two ways, or is none of ours, is refused by both."""
    assert both(trusting, [REFUSED[name]]) == [(False, False)]


def test_the_longest_token(trusting: Verifier) -> None:
    """16 KiB are read, one byte more is not."""
    room = (16 * 1024 - len(with_text('""'))) // 4 * 3
    tokens = [with_text(json.dumps("x" * (room + more))) for more in range(-4, 8)]
    answers = both(trusting, tokens)

    assert {database == python for database, python in answers} == {True}
    assert {database for database, _ in answers} == {True, False}
    assert [database for database, _ in answers] == [
        len(token) <= 16 * 1024 for token in tokens
    ]


@pytest.mark.parametrize("token", [None, "\u00e4" * 9000, "x" * 2**20, "." * 2**20])
def test_junk_is_refused_in_our_words(trusting: Verifier, token: str | None) -> None:
    """NULL, a megabyte or another alphabet is a token that is refused, no more."""
    with pytest.raises(psycopg.Error) as caught:
        trusting.connection.execute("SELECT jwtrole._verified(%s)", (token,))
    assert caught.value.sqlstate == "JW003"
    assert len(str(caught.value)) < 400


def test_no_message_holds_any_of_the_token(trusting: Verifier) -> None:
    """Header, claims and signature stay out of messages, details and contexts."""
    for name, token in REFUSED.items():
        with pytest.raises(psycopg.Error) as caught:
            trusting.connection.execute("SELECT jwtrole._verified(%s)", (token,))
        diag = caught.value.diag
        words = " ".join(
            text or ""
            for text in (
                diag.message_primary, diag.message_detail, diag.message_hint,
                diag.context, diag.internal_query,
            )
        )  # fmt: skip

        assert caught.value.sqlstate == "JW003", name
        for secret in ("alice", "issuer.test", "billing", "HS256", *[
            piece for piece in token.split(".") if len(piece) > 8
        ]):  # fmt: skip
            assert secret not in words, name


def test_nobody_else_may_call_or_read(trusting: Verifier) -> None:
    """No function and no table of the verifier is open to PUBLIC."""
    rows = trusting.connection.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
        " WHERE pronamespace = 'jwtrole'::regnamespace AND proname LIKE '\\_%'"
        " AND has_function_privilege('member', p.oid, 'EXECUTE') UNION ALL"
        " SELECT c.oid::regclass::text FROM pg_class AS c"
        " WHERE relnamespace = 'jwtrole'::regnamespace AND relkind IN ('r', 'S')"
        " AND has_table_privilege('member', c.oid, 'SELECT')"
    ).fetchall()
    owners = trusting.connection.execute(
        "SELECT DISTINCT proowner::regrole::text FROM pg_proc"
        " WHERE pronamespace = 'jwtrole'::regnamespace UNION"
        " SELECT DISTINCT relowner::regrole::text FROM pg_class"
        " WHERE relnamespace = 'jwtrole'::regnamespace"
    ).fetchall()

    assert rows == []
    assert owners == [("jwtrole_owner",)]


def test_every_function_pins_how_it_is_read(trusting: Verifier) -> None:
    """Each is bound to core's names and to standard strings, and needs no escapes."""
    rows = trusting.connection.execute(
        "SELECT proname, proconfig, prosrc FROM pg_proc"
        " WHERE pronamespace = 'jwtrole'::regnamespace"
        " AND (proname LIKE '\\_%' OR proname IN ('add_key', 'retire_key'))"
    ).fetchall()

    assert len(rows) == 20
    for name, config, source in rows:
        assert {
            "search_path=pg_catalog, pg_temp",
            "standard_conforming_strings=on",
        } <= set(config), name
        assert "\\" not in source, name


HOSTILE = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "escape_string_warning": "off",
    "search_path": "evil, public, pg_catalog",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "quote_all_identifiers": "on",
    "lc_numeric": "C",
    "xmlbinary": "hex",
    "client_encoding": "LATIN1",
    "plpgsql.extra_errors": "all",
    "plpgsql.extra_warnings": "all",
    "plan_cache_mode": "force_custom_plan",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "geqo": "off",
    "from_collapse_limit": "1",
    "work_mem": "64",
    "jit": "off",
    "row_security": "off",
    "transaction_read_only": "on",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_setting_of_the_session_changes_an_answer(
    trusting: Verifier, name: str
) -> None:
    """Good tokens are taken and bad ones refused under each setting, turned hostile."""
    connection = trusting.connection
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE SCHEMA evil")
        connection.execute(
            "CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS"
            " 'SELECT decode(repeat(''00'', 32), ''hex'')'"
        )
        connection.execute("SELECT set_config(%s, %s, true)", (name, HOSTILE[name]))
        if name == "client_encoding":
            tokens = [GOOD, *list(REFUSED.values())[:3]]
        else:
            tokens = [*TAKEN.values(), *REFUSED.values()]
        rows = connection.execute(
            "SELECT public.attempt(t) IS NOT NULL FROM unnest(%s::text[])"
            " WITH ORDINALITY AS u (t, o) ORDER BY o",
            (tokens,),
        ).fetchall()

        assert [taken for (taken,) in rows] == [
            token in TAKEN.values() for token in tokens
        ]
