"""Values that lose something on the way into SQL text, and settings that take it."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import uuid
from decimal import Decimal

#: Settings under which a literal that depends on one reads as another.
SETTINGS = (
    {},
    {
        "standard_conforming_strings": "off",
        "escape_string_warning": "off",
        "backslash_quote": "on",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Kolkata",
        "extra_float_digits": "-15",
    },
)


class Mood(enum.Enum):
    """Be an enumeration whose names and values are awkward."""

    FINE = "it's fine"
    SLASHED = "back\\slash: 50%"


TEXTS = (
    "50%",
    "%s %(x)s %%",
    "it's",
    "back\\slash\\",
    "\\' OR true --",
    ":name ::text",
    'say "no"',
    "{a,b}",
    "$1 $$x$$",
    "Größe 日本 \N{PILE OF POO}",
    "line\nbreak\ttab",
    "",
    " ",
    "E'x'",
)
EAST = dt.timezone(dt.timedelta(hours=5, minutes=45))

#: A value of each kind, and another that must not be taken for it.
PAIRS: dict[str, list[tuple[object, object]]] = {
    "body": [(text, f"{text}x") for text in TEXTS],
    "number": [(-5, 5), (2**40, 2**40 + 1)],
    "price": [
        (Decimal("1.50"), Decimal("1.51")),
        (Decimal("-0.10"), Decimal("0.10")),
        (Decimal("123456789012.34"), Decimal("123456789012.35")),
    ],
    "ratio": [(0.1, 0.2), (-1e300, 1e300), (1 / 3, 0.3333333333)],
    "flag": [(True, False), (False, True)],
    "who": [(uuid.UUID(int=10), uuid.UUID(int=11))],
    "day": [(dt.date(2026, 3, 4), dt.date(2026, 4, 3))],
    "clock": [(dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5))],
    "made": [
        (
            dt.datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=EAST),
            dt.datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=dt.UTC),
        ),
        (
            dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC),
            dt.datetime(2026, 3, 29, 2, 30, tzinfo=dt.UTC),
        ),
    ],
    "span": [
        (dt.timedelta(days=-1, seconds=3), dt.timedelta(days=1, seconds=3)),
        (dt.timedelta(microseconds=7), dt.timedelta(microseconds=8)),
    ],
    "address": [
        (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")),
        (ipaddress.ip_address("2001:db8::1"), ipaddress.ip_address("2001:db8::2")),
    ],
    "data": [({"k": text}, {"k": f"{text}x"}) for text in (*TEXTS[:6], *TEXTS[9:11])],
    "tags": [
        (["50%", "it's", "a\\b", 'q"', "a,b", "{", ""], ["50%", "it's"]),
        ([], ["x"]),
        (["NULL"], ["null"]),
    ],
    "whos": [([uuid.UUID(int=1)], [uuid.UUID(int=2)])],
}
CASES = [
    (name, wanted, other) for name, pairs in PAIRS.items() for wanted, other in pairs
]
