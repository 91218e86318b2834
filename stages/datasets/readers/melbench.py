"""MELBench's raw files: one JSON object keyed by id, as .json or as a .zip that holds one.

    Richpedia-MEL   {id: {id, sentence, mentions: str, entities: str, answer: QID}}
    Wikidata-MEL    the same keys with parallel lists in mentions, entities, answer

There is no knowledge base, no split, no attribute and no picture: the gold titles become the
entities, and a seeded split is made (`splits.py`).
"""

import re
from pathlib import Path
from typing import Any, Literal

from cache.strict import plain, short
from stages.datasets.fields import (
    kind_of,
    normalised,
    read_json,
    require,
    require_count,
    require_identifier,
    require_object,
    says_nil,
    well_formed,
)
from stages.datasets.findings import Findings
from stages.datasets.pictures import KeyCache, PictureTable
from stages.datasets.records import Records, RecordsError
from stages.datasets.rows import EntityRows, MentionRows
from stages.datasets.splits import split_with_nil
from stages.datasets.zipped import json_in_zip
from stages.paths import project_path

PARALLEL = ("mentions", "entities", "answer")
IMAGE_FIELD = re.compile("img|image", re.IGNORECASE)
QID = re.compile(r"Q(\d+)", re.ASCII)


def read_melbench(
    path: Path, dataset: str, *, root: Path = Path(), seed: int = 0,
    missing_answer: Literal["error", "drop"] = "error", keys: KeyCache | None = None,
) -> Records:  # fmt: skip
    """Read a .json or .zip file, or a folder that holds exactly one of them.

    Entities are sorted by QID number. Mentions keep the file's order within their split; the id
    is the record's key, with `#k` behind it for the k-th mention of a record with lists.

    Parameters are those of `Reader`; a missing answer is a blank one.

    Raises:
        RecordsError: no file or several, no JSON object, a field is missing, or parallel lists
            differ in length.
    """
    file = find_file(path)
    where = str(file)
    is_zip = file.suffix.lower() == ".zip"
    records = json_in_zip(file) if is_zip else read_json(file)
    if not isinstance(records, dict):
        raise RecordsError(f"{where}: expected an object keyed by id, found {kind_of(records)}")
    require_count(len(records), where)

    findings = Findings()
    titles: dict[str, dict[str, None]] = {}
    mentions: list[dict[str, Any]] = []
    for key, record in records.items():
        require_identifier(key, str(file), "record's key")
        where = f"{file.name} record {short(key)}"
        sentence = well_formed(
            require(require_object(record, where), "sentence", str, where), where, findings
        )
        if any(IMAGE_FIELD.search(name) for name in record):
            what = "records with image fields, which this reader ignores"
            findings.add("image-field-ignored", what, where)
        for id, words, title, answer in _mentions_of(key, record, where):
            if not answer.strip():
                if missing_answer == "error":
                    hint = "--set prepare.missing_answer=drop leaves such mentions out, counted"
                    raise RecordsError(f"{file}: record {short(key)}: the answer is blank", hint)
                findings.add("answer-blank", "mentions with a blank answer", where, dropped=True)
                continue
            answer = require_identifier(well_formed(answer, where, findings), where, "answer")
            answer = normalised(answer, where, findings, "answer")
            if not says_nil(answer):
                titles.setdefault(answer, {})[well_formed(title, where, findings)] = None
            mentions.append(
                {
                    "id": normalised(well_formed(id, where, findings), where, findings),
                    "words": well_formed(words, where, findings),
                    "sentence": sentence,
                    "answer": answer,
                    "where": where,
                }
            )
    if not titles:
        raise RecordsError(f"{file}: the knowledge base is empty: no mention has an answer")

    entities = EntityRows(findings)
    gold = {qid: row for row, qid in enumerate(sorted(titles, key=qid_order))}
    for qid in gold:
        first, *others = titles[qid]
        if others:
            what = (
                "QIDs with several titles; the first one met names the entity, others are aliases"
            )
            findings.add("entity-several-titles", what, f"{qid}: {', '.join(titles[qid])}")
        entities.add(qid, first, "", (), f"{file.name} answer {plain(qid)}", others)

    rows = MentionRows(findings)
    splits = _split(file, mentions, seed)
    for split, mention in zip(splits, mentions, strict=True):
        rows.add(split, **mention, picture=-1, gold=gold.get(mention["answer"]), image_kind=None)
    tables = rows.tables()
    return Records(
        dataset, "melbench", project_path(file.parent, root), "none", entities.table(), tables,
        PictureTable(file.parent).build(findings, keys), findings.listed(), nil=rows.nil(),
    )  # fmt: skip


def qid_order(qid: str) -> tuple[bool, int, str, str]:
    """Sort key: QIDs by number, then anything else by spelling."""
    match = QID.fullmatch(qid)
    # By length and digits: Python makes no number of more than 4,300 of them.
    digits = match[1].lstrip("0") if match else ""
    return match is None, len(digits), digits, qid


def find_file(path: Path) -> Path:
    """`path` itself, or the one .json or .zip of the folder `path`."""
    if not path.exists():
        raise RecordsError(f"{path}: no such file or folder", "expected a .json or a .zip")
    if not path.is_dir():
        return path
    found = sorted(
        file for file in path.iterdir()
        if file.suffix.lower() in (".json", ".zip") and not file.name.startswith(".")
    )  # fmt: skip
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise RecordsError(
            f"{path}: expected exactly one .json or .zip, found {names}",
            "pass the file itself as --input",
        )
    return found[0]


def _mentions_of(key: str, record: dict[str, Any], where: str) -> list[tuple[str, str, str, str]]:
    """Id, words, title and answer of each mention in a record."""
    kind = list if isinstance(record.get("mentions"), list) else str
    columns = [require(record, name, kind, where) for name in PARALLEL]
    if kind is str:
        return [(key, *columns)]
    if len({len(column) for column in columns}) > 1:
        pairs = zip(PARALLEL, columns, strict=True)
        lengths = ", ".join(f"{name} has {len(column)}" for name, column in pairs)
        raise RecordsError(f"{where}: parallel lists of different lengths: {lengths}")
    for name, column in zip(PARALLEL, columns, strict=True):
        for value in column:
            if not isinstance(value, str):
                raise RecordsError(
                    f"{where}: field '{name}' holds {kind_of(value)}, expected strings"
                )
    return [(f"{key}#{k}", *values) for k, values in enumerate(zip(*columns, strict=True))]


def _split(file: Path, mentions: list[dict[str, Any]], seed: int) -> list[str]:
    ids = [mention["id"] for mention in mentions]
    if len(set(ids)) != len(ids):
        raise RecordsError(f"{file}: two mentions have one id; is a record's key like 'x#0'?")
    nil = [says_nil(mention["answer"]) for mention in mentions]
    return split_with_nil(ids, [mention["sentence"] for mention in mentions], nil, seed)
