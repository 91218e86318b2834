"""Rows of the canonical tables while a reader collects them, and the quirks any source can have."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa

from stages import limits
from stages.datasets.entity_columns import ALIASES, with_optional
from stages.datasets.entity_fields import kept_aliases, prior_column
from stages.datasets.findings import Findings
from stages.datasets.records import ENTITY_SCHEMA, MENTION_SCHEMA, NIL_SCHEMA
from stages.datasets.spans import Span, found_span
from stages.paths import SPLITS
from stages.unicode import canonical

LONG_MENTION = 1000
"""Characters. The text encoder sees 40 tokens; a longer mention is most likely a wrong field."""

WORDS = {
    "entity-name": "names of entities", "alias": "aliases", "entity-text": "texts of entities",
    "mention": "mentions", "sentence": "sentences", "image-kind": "kinds of pictures",
}  # fmt: skip
"""What a cut text is called in its finding."""


class EntityRows:
    """Columns of entities.parquet; row = column of the score matrix."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._columns: dict[str, list[Any]] = {name: [] for name in ENTITY_SCHEMA.names}
        self._aliases: list[list[str]] = []
        self._priors: list[float | None] = []
        self._places: list[str] = []

    def add(
        self, id: str, name: str, text: str, pictures: Sequence[int], where: str,
        aliases: Sequence[str] = (), prior: float | None = None,
    ) -> None:  # fmt: skip
        """One entity, cut to the limits.

        Args:
            pictures: rows of pictures.parquet, -1 for one that cannot be there; the first one is
                the entity's `picture`, until it fails (`fallback.py`).
            aliases: other names, as the source has them.
            prior: a count or a probability.
        """
        name = _cut(name, limits.NAME_CHARACTERS, "entity-name", where, self._findings)
        text = _cut(text, limits.TEXT_CHARACTERS, "entity-text", where, self._findings)
        pictures = [row for row in pictures if row >= 0]
        if len(pictures) > limits.PICTURES:
            what = f"entities of more than {limits.PICTURES:,} images, of which the first are kept"
            example = f"{where}: {len(pictures):,} images"
            self._findings.add("entity-images-beyond-limit", what, example)
            pictures = pictures[: limits.PICTURES]
        if not name.strip():
            self._findings.add("entity-name-empty", "entities with an empty name", where)
        others = [
            _cut(alias, limits.NAME_CHARACTERS, "alias", where, self._findings) for alias in aliases
        ]
        self._aliases.append(kept_aliases(name, others, where, self._findings))
        self._priors.append(prior)
        self._places.append(where)
        if len(pictures) > 1:
            what = "entities with several images; the first that decodes is used, all are kept"
            self._findings.add("entity-several-images", what, f"{where}: {len(pictures)} images")
        values = (id, name, text, pictures[0] if pictures else -1, list(pictures))
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)

    def table(self) -> pa.Table:
        """The entities; with aliases and priors where any entity has them.

        Raises:
            RecordsError: a count among probabilities.
        """
        optional = prior_column(self._priors, self._places, self._findings)
        if any(self._aliases):
            optional[ALIASES] = self._aliases
        schema = with_optional(ENTITY_SCHEMA, list(optional))
        return pa.table({**self._columns, **optional}, schema=schema)


class MentionRows:
    """Columns of mentions-<split>.parquet, for each split, and of mentions-nil.parquet."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._columns: dict[str, dict[str, list[Any]]] = {
            split: {name: [] for name in MENTION_SCHEMA.names} for split in SPLITS
        }
        self._nil: dict[str, list[Any]] = {name: [] for name in NIL_SCHEMA.names}
        self._kinds: set[str] = set()

    def add(
        self,
        split: str,
        *,
        id: str,
        words: str,
        sentence: str,
        picture: int,
        answer: str,
        gold: int | None,
        image_kind: str | None,
        where: str,
        span: Span | None = None,
    ) -> None:
        """One mention, cut to the limits.

        Args:
            picture: -1 without one.
            gold: a row of the entities, or None where the source says that no entity is meant.
            span: where the words stand in the sentence, if the source says it.
        """
        words = _cut(words, limits.NAME_CHARACTERS, "mention", where, self._findings)
        sentence = _cut(sentence, limits.TEXT_CHARACTERS, "sentence", where, self._findings)
        image_kind = self._kind(image_kind, where)
        if not words.strip():
            self._findings.add("mention-empty", "mentions without any words", where)
        if len(words) > LONG_MENTION:
            what = f"mentions of more than {LONG_MENTION} characters, kept whole"
            self._findings.add("mention-long", what, f"{where}: {len(words)} characters")
        if span is None or sentence[slice(*span)] != words:  # either may have been cut
            span = found_span(words, sentence)
        start, end = span or (None, None)
        text = (words, sentence, start, end, picture, answer)
        values: tuple[Any, ...] = (id, *text, gold, image_kind, None)
        columns = self._columns[split]
        if gold is None:
            what = "mentions without an entity (nil), kept beside the splits"
            self._findings.add("nil-mention", what, where)
            values, columns = (id, split, *text, image_kind), self._nil
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)

    def _kind(self, kind: str | None, where: str) -> str | None:
        """The kind, cut; None from the first one on that is one too many."""
        if kind is None:
            return None
        kind = _cut(kind, limits.KIND_CHARACTERS, "image-kind", where, self._findings)
        if kind not in self._kinds and len(self._kinds) == limits.KINDS:
            what = f"mentions of an image_kind beyond the first {limits.KINDS}, read as none"
            self._findings.add("image-kind-beyond-limit", what, f"{where}: {kind}")
            return None
        self._kinds.add(kind)
        return kind

    def tables(self) -> dict[str, pa.Table]:
        """The tables by split. Counts sentences shared by two splits, and empty splits."""
        sentences = {
            split: [canonical(sentence) for sentence in self._columns[split]["sentence"]]
            for split in SPLITS
        }
        for one, other in combinations(SPLITS, 2):
            there = {sentence for sentence in sentences[other] if sentence.strip()}
            # dict.fromkeys: each sentence once, in file order, so the examples are stable.
            for sentence in dict.fromkeys(sentences[one]):
                if sentence in there:
                    what = f"sentences that stand in both {one} and {other}"
                    self._findings.add(f"sentence-in-{one}-and-{other}", what, sentence[:80])
        for split in SPLITS:
            if not sentences[split]:
                self._findings.add("split-empty", "splits without a single mention", split)
        return {
            split: pa.table(columns, schema=MENTION_SCHEMA)
            for split, columns in self._columns.items()
        }

    def nil(self) -> pa.Table:
        """Those without an entity, in the order in which they were added."""
        return pa.table(self._nil, schema=NIL_SCHEMA)


def _cut(text: str, most: int, of: str, where: str, findings: Findings) -> str:
    """`text` as long as it may be; what is cut is counted, as `<of>-beyond-limit`."""
    if len(text) <= most:
        return text
    what = f"{WORDS[of]} of more than {most:,} characters, cut there"
    findings.add(f"{of}-beyond-limit", what, f"{where}: {len(text):,} characters")
    return text[:most]
