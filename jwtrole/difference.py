"""One thing in the database that is not what was declared."""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Difference", "Kind", "as_json", "as_text"]


class Kind(enum.StrEnum):
    """Say what differs, the worst first."""

    PERMISSIVE_POLICY_UNDECLARED = "permissive-policy-undeclared"
    ROW_SECURITY_OFF = "row-security-off"
    OWNER = "owner"
    POLICY_CHANGED = "policy-changed"
    RESTRICTIVE_POLICY_MISSING = "restrictive-policy-missing"
    ROW_SECURITY_NOT_FORCED = "row-security-not-forced"
    GRANT_SURPLUS = "grant-surplus"
    SEQUENCE_GRANT_SURPLUS = "sequence-grant-surplus"
    POLICY_UNKNOWN = "policy-unknown"
    TABLE_MISSING = "table-missing"
    PERMISSIVE_POLICY_MISSING = "permissive-policy-missing"
    RESTRICTIVE_POLICY_UNDECLARED = "restrictive-policy-undeclared"
    GRANT_MISSING = "grant-missing"
    SEQUENCE_GRANT_MISSING = "sequence-grant-missing"


_SAID = {
    Kind.PERMISSIVE_POLICY_UNDECLARED: (
        "nobody declared the policy {0!r}, which is PERMISSIVE, the worst there is: "
        "it opens rows beside every policy that was declared"
    ),
    Kind.ROW_SECURITY_OFF: "row security is off: no policy counts",
    Kind.OWNER: "it belongs to {0!r}, who can turn row security off",
    Kind.POLICY_CHANGED: "the policy {0!r} is another than the declared one",
    Kind.RESTRICTIVE_POLICY_MISSING: (
        "the RESTRICTIVE policy {0!r} is missing: rows are open that it would close"
    ),
    Kind.ROW_SECURITY_NOT_FORCED: "row security does not hold for the owner",
    Kind.GRANT_SURPLUS: "{0!r} may do what nobody declared",
    Kind.SEQUENCE_GRANT_SURPLUS: "{0!r} may draw from a sequence undeclared",
    Kind.POLICY_UNKNOWN: (
        "the policy {0!r} is unknown: its recorded hash is the declared one, but "
        "PostgreSQL would not spell the declared text here, so that nobody knows "
        "whether it was altered since. Look again as the table's owner with the right "
        "to TEMPORARY on the database, not on a standby"
    ),
    Kind.TABLE_MISSING: "the table is missing",
    Kind.PERMISSIVE_POLICY_MISSING: "the policy {0!r} is missing: its rows are closed",
    Kind.RESTRICTIVE_POLICY_UNDECLARED: (
        "nobody declared the policy {0!r}, which is RESTRICTIVE: it may close rows"
    ),
    Kind.GRANT_MISSING: "{0!r} may not do what was declared",
    Kind.SEQUENCE_GRANT_MISSING: "{0!r} may not draw from a sequence: INSERT fails",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Be one thing that differs.

    Args:
        kind: What differs.
        table: The table, with its schema where that was declared.
        object: The policy or role, empty where it is the table itself.
        declared: What was declared, empty where nothing was.
        there: What is there, empty where nothing is.
        repair: The SQL, or the command, that repairs it.
    """

    kind: Kind
    table: str
    object: str = ""
    declared: str = ""
    there: str = ""
    repair: str

    def __str__(self) -> str:
        lines = [f"{self.table}: {_SAID[self.kind].format(self.object)}."]
        for name in ("declared", "there", "repair"):
            text = getattr(self, name) or "nothing"
            lines.append(f"  {name}: {text}".replace("\n", "\n    "))
        return "\n".join(lines)


def as_text(differences: Iterable[Difference]) -> str:
    """Return differences for people to read."""
    return "\n".join(map(str, differences))


def as_json(differences: Iterable[Difference]) -> str:
    """Return differences for programs to read, as a list of objects."""
    return json.dumps([dataclasses.asdict(one) for one in differences], indent=2)
