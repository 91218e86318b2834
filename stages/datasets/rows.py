"""Rows of the canonical tables while a reader collects them, and the quirks any source can have."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa

from stages.datasets.records import ENTITY_SCHEMA, MENTION_SCHEMA, Findings
from stages.paths import SPLITS

LONG_MENTION = 1000
"""Characters. The text encoder sees 40 tokens; a longer mention is most likely a wrong field."""


class EntityRows:
    """Columns of entities.parquet; row = column of the score matrix."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._columns: dict[str, list[Any]] = {name: [] for name in ENTITY_SCHEMA.names}

    def add(self, id: str, name: str, text: str, pictures: Sequence[int], where: str) -> None:
        """One entity; `pictures` are rows of pictures.parquet, the first one is its `picture`."""
        if not name.strip():
            self._findings.add("entity-name-empty", "entities with an empty name", where)
        if len(pictures) > 1:
            what = "entities with several images; the first one is used, all are kept"
            self._findings.add("entity-several-images", what, f"{where}: {len(pictures)} images")
        values = (id, name, text, pictures[0] if pictures else -1, list(pictures))
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)

    def table(self) -> pa.Table:
        return pa.table(self._columns, schema=ENTITY_SCHEMA)


class MentionRows:
    """Columns of mentions-<split>.parquet, for each split."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._columns: dict[str, dict[str, list[Any]]] = {
            split: {name: [] for name in MENTION_SCHEMA.names} for split in SPLITS
        }

    def add(
        self,
        split: str,
        *,
        id: str,
        words: str,
        sentence: str,
        picture: int,
        answer: str,
        gold: int,
        image_kind: str | None,
        where: str,
    ) -> None:
        """One mention; `picture` is -1 without one, `gold` a row of the entities."""
        if not words.strip():
            self._findings.add("mention-empty", "mentions without any words", where)
        if len(words) > LONG_MENTION:
            what = f"mentions of more than {LONG_MENTION} characters, kept whole"
            self._findings.add("mention-long", what, f"{where}: {len(words)} characters")
        values = (id, words, sentence, picture, answer, gold, image_kind)
        for column, value in zip(self._columns[split].values(), values, strict=True):
            column.append(value)

    def tables(self) -> dict[str, pa.Table]:
        """The tables by split. Counts sentences shared by two splits, and empty splits."""
        sentences = {split: self._columns[split]["sentence"] for split in SPLITS}
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
