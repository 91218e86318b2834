"""Leaks between the parts of a data set: what an answer could be read off without linking.

    audit = audit_of(records, root, Squares(path))
    audit.flags["test"]         # a list a mention: names of FLAGS
    audit.leaks                 # each with the record that it repeats

Pictures are compared by their bytes and, since a release may hold one saved twice, by what they
show (`stages/datasets/squares.py`); sentences by their characters in NFC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.datasets.fallback import files_of
from stages.datasets.findings import Findings
from stages.datasets.flags import FLAGS, clean_of
from stages.datasets.records import MENTION_SCHEMA, Records
from stages.datasets.squares import Squares, near
from stages.paths import SPLITS
from stages.unicode import canonical

HELD_OUT = ("valid", "test")


@dataclass(frozen=True)
class Leak:
    """One flag of one mention.

    Args:
        repeats: what it has in common with which record, such as `mention train-12`.
    """

    split: str
    mention: str
    flag: str
    repeats: str


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        leaks: by split and mention, in the order of the records, then in the order of FLAGS.
        undecoded: pictures that are there and have no pixels, so that only their bytes were
            compared.
    """

    leaks: tuple[Leak, ...]
    pictures: int
    undecoded: int
    flags: dict[str, list[list[str]]] = field(repr=False)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Flag -> split -> mentions."""
        found = {flag: dict.fromkeys(SPLITS, 0) for flag in FLAGS}
        for leak in self.leaks:
            found[leak.flag][leak.split] += 1
        return found

    @property
    def clean(self) -> dict[str, int]:
        """Mentions of each held-out split that no leak makes easier."""
        return {split: int(clean_of(self.flags[split]).sum()) for split in HELD_OUT}


def audited(records: Records, root: Path, squares: Squares) -> Records:
    """The records with the column `flags`, and a finding a flag.

    Args:
        root: the project's folder.
    """
    audit = audit_of(records, root, squares)
    findings = Findings()
    for leak in audit.leaks:
        where = f"{leak.split} mention {leak.mention}: {leak.repeats}"
        findings.add(leak.flag, FLAGS[leak.flag], where)
    place = MENTION_SCHEMA.get_field_index("flags")
    mentions = {
        split: table.set_column(place, "flags", pa.array(audit.flags[split], pa.list_(pa.string())))
        for split, table in records.mentions.items()
    }
    met = sorted([*records.findings, *findings.listed()], key=lambda finding: finding.code)
    return replace(records, mentions=mentions, findings=tuple(met))


def audit_of(records: Records, root: Path, squares: Squares) -> Audit:
    """Compare validation and test with training, mentions with their entities, and entities with
    one another.

    Raises:
        Nothing of its own: a picture that cannot be read is compared by its bytes' hash alone.
    """
    pictures = _Pictures.of(records, root, squares)
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for split, row, flag, repeats in (
        *_sentences(records),
        *_from_training(records, pictures),
        *_of_entities(records, pictures),
        *_shared(records, pictures),
    ):
        found[split, row].setdefault(flag, repeats)
    leaks, flags = [], {}
    for split in SPLITS:
        ids = records.mentions[split]["id"].to_pylist()
        flags[split] = [
            [flag for flag in FLAGS if flag in found[split, i]] for i in range(len(ids))
        ]
        leaks += [
            Leak(split, ids[i], flag, found[split, i][flag])
            for i, own in enumerate(flags[split])
            for flag in own
        ]
    return Audit(
        tuple(leaks), len(pictures.files), len(pictures.files) - len(pictures.of_key), flags
    )


Found = Iterator[tuple[str, int, str, str]]
"""Split, row, flag, and what it repeats."""


def _sentences(records: Records) -> Found:
    train = _said(records.mentions["train"])
    ids = records.mentions["train"]["id"].to_pylist()
    pairs, sentences = dict[tuple[str, str], str](), dict[str, str]()
    for id, (words, sentence) in zip(ids, train, strict=True):
        if sentence.strip():
            sentences.setdefault(sentence, id)
            pairs.setdefault((words, sentence), id)
    for split in HELD_OUT:
        for i, (words, sentence) in enumerate(_said(records.mentions[split])):
            if sentence in sentences:
                yield split, i, "sentence-in-train", f"mention {sentences[sentence]}"
            if (words, sentence) in pairs:
                yield split, i, "pair-in-train", f"mention {pairs[words, sentence]}"


def _said(mentions: pa.Table) -> list[tuple[str, str]]:
    """Words and sentence of each mention."""
    columns = (map(canonical, mentions[name].to_pylist()) for name in ("words", "sentence"))
    return list(zip(*columns, strict=True))


class _Pictures:
    """Every picture of the records by its key, the hash of its bytes.

    files: of each key that is there; of_key: its square, where it has pixels.
    """

    def __init__(self, keys: list[str], files: Mapping[str, Path], squares: Squares) -> None:
        self.keys, self.files = keys, files
        self.of_key = squares.of(files)

    @classmethod
    def of(cls, records: Records, root: Path, squares: Squares) -> _Pictures:
        return cls(records.pictures["key"].to_pylist(), files_of(records, root), squares)

    def key(self, row: int) -> str:
        """Of a row of the pictures; "" where there is nothing."""
        return self.keys[row] if row >= 0 else ""

    def copies(self, first: Iterable[str], second: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Pairs of keys that show one picture and are not the same bytes."""
        rows, columns = (
            [k for k in dict.fromkeys(keys) if k in self.of_key] for keys in (first, second)
        )
        if not rows or not columns:
            return
        squares = [np.stack([self.of_key[key] for key in keys]) for keys in (rows, columns)]
        for i, j in near(*squares):
            if rows[i] != columns[j]:
                yield rows[i], columns[j]


def _first_by_key(keys: Iterable[str], ids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, name in zip(keys, ids, strict=True):
        if key:
            found.setdefault(key, name)
    return found


def _keys(pictures: _Pictures, table: pa.Table) -> list[str]:
    return [pictures.key(row) for row in table["picture"].to_pylist()]


def _from_training(records: Records, pictures: _Pictures) -> Found:
    table = records.mentions["train"]
    train = _first_by_key(_keys(pictures, table), table["id"].to_pylist())
    own = {split: _keys(pictures, records.mentions[split]) for split in HELD_OUT}
    copies: dict[str, str] = {}
    for first, second in pictures.copies((k for keys in own.values() for k in keys), train):
        copies.setdefault(first, second)
    for split, keys in own.items():
        for i, key in enumerate(keys):
            if key in train:
                yield split, i, "picture-in-train", f"mention {train[key]}"
            elif key in copies:
                yield split, i, "picture-copy-in-train", f"mention {train[copies[key]]}"


def _of_entities(records: Records, pictures: _Pictures) -> Found:
    entities = records.entities
    ids = entities["id"].to_pylist()
    rows = [set(own) for own in entities["pictures"].to_pylist()]
    for i, picture in enumerate(entities["picture"].to_pylist()):
        rows[i] |= {picture} - {-1}
    for split in SPLITS:
        table = records.mentions[split]
        for i, (key, gold) in enumerate(
            zip(_keys(pictures, table), table["gold"].to_pylist(), strict=True)
        ):
            if not key:
                continue
            theirs = {pictures.key(row) for row in rows[gold]} - {""}
            if key in theirs:
                yield split, i, "picture-of-entity", f"entity {ids[gold]}"
            elif next(pictures.copies([key], sorted(theirs)), None) is not None:
                yield split, i, "picture-copy-of-entity", f"entity {ids[gold]}"


def _shared(records: Records, pictures: _Pictures) -> Found:
    ids, keys = records.entities["id"].to_pylist(), _keys(pictures, records.entities)
    of_key: dict[str, list[str]] = defaultdict(list)
    for key, name in zip(keys, ids, strict=True):
        if key:
            of_key[key].append(name)
    copies: dict[str, str] = {}
    for first, second in pictures.copies(of_key, of_key):
        copies.setdefault(first, second)

    def other(row: int) -> str | None:
        """Another entity with the picture of this one."""
        same = of_key.get(keys[row], [])
        if len(same) > 1:
            return next(name for name in same if name != ids[row])
        return of_key[copies[keys[row]]][0] if keys[row] in copies else None

    for split in SPLITS:
        for i, gold in enumerate(records.mentions[split]["gold"].to_pylist()):
            name = other(gold)
            if name is not None:
                yield split, i, "entity-picture-shared", f"entity {name}"
