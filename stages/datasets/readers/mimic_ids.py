"""The MIMIC release's ids: kb_entity.json and qid2id.json must number the same entities 0..N-1.

The gold rank is read at column `qid2id[answer]` of a matrix whose columns are the knowledge base
sorted by `id`, so a gap or a disagreement would shift every rank without an error.
"""

from pathlib import Path
from typing import Any

from cache.strict import short
from stages.datasets.fields import (
    kind_of,
    normalised,
    read_json,
    require,
    require_count,
    require_identifier,
    require_object,
    well_formed,
)
from stages.datasets.findings import Findings
from stages.datasets.records import RecordsError

KB_FILE, QID_FILE = "kb_entity.json", "qid2id.json"


def list_of(path: Path, what: str) -> list[Any]:
    """A JSON file that holds a list.

    Raises:
        RecordsError: it is missing, not JSON, or holds something else.
    """
    records = read_json(path)
    if not isinstance(records, list):
        raise RecordsError(f"{path}: expected a list of {what}, found {kind_of(records)}")
    require_count(len(records), str(path))
    return records


def order_by_id(path: Path, knowledge: list[Any]) -> list[int]:
    """Record numbers sorted by id.

    Raises:
        RecordsError: an id is missing, no integer or duplicate, or the ids are not 0..N-1.
    """
    ids = []
    for number, record in enumerate(knowledge):
        where = f"{path}: record {number}"
        ids.append(require(require_object(record, where), "id", int, where))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for row, number in enumerate(order):
        if row and ids[number] == ids[order[row - 1]]:
            raise RecordsError(
                f"{path}: records {order[row - 1]} and {number}: duplicate id {ids[number]}"
            )
        if ids[number] != row:
            raise RecordsError(
                f"{path}: record {number}: id {ids[number]} where id {row} is due: sorted ids must "
                f"be 0..{len(ids) - 1} without a gap"
            )
    return order


def read_qids(path: Path, n: int, findings: Findings) -> dict[str, int]:
    """QID to entity row.

    Raises:
        RecordsError: no object of QID to integer, a QID twice, or an id outside 0..n-1.
    """
    said = read_json(path)
    if not isinstance(said, dict):
        raise RecordsError(f"{path}: expected an object of QID to id, found {kind_of(said)}")
    require_count(len(said), str(path))
    rows: dict[str, int] = {}
    for spelled in said:
        require_identifier(spelled, str(path), "QID")
        row = require(said, spelled, int, str(path))
        if not 0 <= row < n:
            has = f"{short(spelled)} has id {short(row)}"
            raise RecordsError(f"{path}: {has}, but the ids of {KB_FILE} are 0..{n - 1}")
        qid = normalised(spelled, path.name, findings, "QID")
        if qid in rows:
            raise RecordsError(f"{path}: QID {short(qid)} twice, in two Unicode forms")
        rows[qid] = row
    return rows


def first_qids(
    folder: Path, rows: dict[str, int], places: list[int], findings: Findings
) -> list[str]:
    """The QID of each row; an alias (a redirect) still resolves answers, and is counted.

    Raises:
        RecordsError: a row has no QID.
    """
    ids: list[str | None] = [None] * len(places)
    for qid, row in rows.items():
        first = ids[row]
        if first is None:
            ids[row] = well_formed(qid, QID_FILE, findings)
        else:
            what = "QIDs that share an entity with an earlier QID, which names it"
            findings.add("qid-alias", what, f"{QID_FILE}: {qid} and {first} have id {row}")
    for row, id in enumerate(ids):
        if id is None:
            raise RecordsError(
                f"{folder / QID_FILE}: no QID for id {row} ({KB_FILE} record {places[row]})"
            )
    return [id for id in ids if id is not None]
