"""What a store was made from, and how that differs from what is asked now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cache.errors import StoreError

_ABSENT = "nothing"
_LONGEST = 200
"""Characters of a key or a value in a message."""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def canonical(value: Any) -> str:
    """JSON text that depends on the value alone: keys sorted, no NaN.

    Raises:
        TypeError, ValueError: the value is no JSON.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


class Fingerprint:
    """A JSON mapping, flat or nested, that two stores must share to be the same.

    Args:
        fields: such as the encoder, its revision, the weights' hash, the records' hash.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        # Through JSON, so that a tuple asked for equals the list that was stored.
        self.fields: dict[str, Any] = json.loads(canonical(dict(fields)))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; names the work folder."""
        return hashlib.sha256(canonical(self.fields).encode()).hexdigest()[:16]

    def differences(self, other: Fingerprint) -> list[str]:
        """`field: stored X, asked Y` for every field; self is the stored one, `other` the asked."""
        stored, asked = dict(_leaves(self.fields)), dict(_leaves(other.fields))
        return [
            f"{_cut('.'.join(key))}: stored {_cut(stored.get(key, _ABSENT))}, "
            f"asked {_cut(asked.get(key, _ABSENT))}"
            for key in sorted(stored.keys() | asked.keys())
            if stored.get(key) != asked.get(key)
        ]

    def require_equal(self, other: Fingerprint, path: Path | str, hint: str | None) -> None:
        """Raises StoreError with every differing field and `hint`, the command that mends it."""
        differences = self.differences(other)
        if differences:
            lines = "".join(f"\n  {line}" for line in differences)
            raise StoreError(f"{path}: made from something else than asked:{lines}", hint)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fingerprint):
            return NotImplemented
        return canonical(self.fields) == canonical(other.fields)

    def __hash__(self) -> int:
        return hash(canonical(self.fields))

    def __repr__(self) -> str:
        return f"Fingerprint({self.fields!r})"


def _leaves(
    fields: dict[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every field that is no mapping (or an empty one), its value as JSON text."""
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), canonical(value)
