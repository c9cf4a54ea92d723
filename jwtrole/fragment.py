"""SQL text that must stand as one expression, whatever is put around it.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re

from jwtrole.errors import ConfigurationError

__all__ = ["whole"]

_TOKENS = re.compile(
    r"""
      (?<!\w)[eE]'(?:[^'\\]|\\.|'')*'  # a string whose backslashes mean something
    | (?P<string>'(?:[^']|'')*')
    | "(?:[^"]|"")*"                    # a quoted name
    | (?P<bracket>[()\[\]])
    | (?P<never>--|/\*|[;$'"\0])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENS = {")": "(", "]": "["}
_NEVER = {
    "--": "a comment",
    "/*": "a comment",
    ";": "a semicolon",
    "$": "a parameter or dollar quotes",
    "'": "a string without its end",
    '"': "a name without its end",
    "\0": "a NUL",
}


def whole(sql: str) -> str:
    """Return SQL text that neither closes a parenthesis around it nor hides one.

    A string with a backslash must be in the E form, which means the same under every
    setting.

    Raises:
        ConfigurationError: It is empty, or could reach past its end.
    """
    if not sql.strip():
        msg = "An SQL expression is empty: write one, or leave the policy out."
        raise ConfigurationError(msg)
    open_brackets: list[str] = []
    for token in _TOKENS.finditer(sql):
        if reason := _reason(token, open_brackets):
            msg = (
                f"The SQL expression {sql!r} holds {reason}: it must be one expression "
                "by itself, its strings in '...' or, with a backslash, in E'...'."
            )
            raise ConfigurationError(msg)
    if open_brackets:
        msg = f"The SQL expression {sql!r} lacks the end of a {open_brackets[-1]!r}."
        raise ConfigurationError(msg)
    return sql


def _reason(token: re.Match[str], open_brackets: list[str]) -> str | None:
    if never := token["never"]:
        return _NEVER[never]
    if "\\" in (token["string"] or ""):
        return "a backslash that depends on a setting"
    bracket = token["bracket"]
    if bracket in _OPENS:
        if not open_brackets or open_brackets.pop() != _OPENS[bracket]:
            return f"a {bracket!r} that closes nothing"
    elif bracket:
        open_brackets.append(bracket)
    return None
