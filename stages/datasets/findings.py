"""What a reader met in a source that its user should know: counted, with the first few places."""

from dataclasses import dataclass, field
from typing import Any

from stages.shown import one_line

EXAMPLE = 300
"""Characters of a finding's example: a place, and a value that may be of any length."""


@dataclass(frozen=True)
class Finding:
    """One quirk met while reading a source.

    Args:
        code: stable name, such as `nil-mention`.
        what: one line for the reader of the report.
        count: how often it was met.
        examples: the first few places (file, record).
        dropped: whether the records concerned were left out.
    """

    code: str
    what: str
    count: int
    examples: tuple[str, ...] = ()
    dropped: bool = False


@dataclass
class Findings:
    """Collects quirks; keeps every count and the first few examples, as one line each.

    Examples are shown and nothing else, so they are spelled out here, for all who show them.
    """

    keep: int = 5
    _met: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, code: str, what: str, example: str, dropped: bool = False) -> None:
        entry = self._met.setdefault(
            code, {"what": what, "count": 0, "examples": [], "dropped": dropped}
        )
        entry["count"] += 1
        if len(entry["examples"]) < self.keep:
            shown = one_line(example[:EXAMPLE])
            entry["examples"].append(f"{shown}..." if len(example) > EXAMPLE else shown)

    def explains(self, code: str) -> bool:
        """Whether an example of `code` would still be kept: a dear one is made only then."""
        return len(self._met.get(code, {"examples": ()})["examples"]) < self.keep

    def listed(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(code, m["what"], m["count"], tuple(m["examples"]), m["dropped"])
            for code, m in sorted(self._met.items())
        )
