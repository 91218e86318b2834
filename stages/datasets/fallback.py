"""The picture of an entity that has several: the first one that decodes.

A picture that fails is passed over for the next one of its entity, and counted. The records' column
`picture` has the one that is taken; extraction tries those before it, too, and has the last word.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from stages.datasets.findings import Findings
from stages.datasets.records import ENTITY_SCHEMA, Records
from stages.datasets.squares import Squares

PASSED_OVER = "entity-picture-passed-over"


def files_of(records: Records, root: Path) -> dict[str, Path]:
    """The file of each picture that is there, by its key, the hash of its bytes; `root` is the
    project's folder."""
    folder = records.image_folder(root)
    paths, keys = (records.pictures[name].to_pylist() for name in ("path", "key"))
    files = {key: folder / path for path, key in reversed(list(zip(paths, keys, strict=True)))}
    files.pop("", None)  # of those that are not there
    return dict(reversed(files.items()))


def with_pictures_that_decode(records: Records, root: Path, squares: Squares | None) -> Records:
    """The records, where an entity with several pictures has the first that decodes, and a finding
    of those that were passed over; where none does, the first one stays.

    Args:
        squares: says which pictures decode; None opens none, and a file that is there will do.
    """
    several = [len(own) > 1 for own in records.entities["pictures"].to_pylist()]
    if not any(several):
        return records
    decodes = None if squares is None else squares.of(files_of(records, root)).keys()
    findings = Findings()
    column = _chosen(records, decodes, findings)
    place = ENTITY_SCHEMA.get_field_index("picture")
    entities = records.entities.set_column(place, "picture", pa.array(column, pa.int32()))
    met = sorted([*records.findings, *findings.listed()], key=lambda finding: finding.code)
    return replace(records, entities=entities, findings=tuple(met))


def _chosen(records: Records, decodes: Collection[str] | None, findings: Findings) -> list[int]:
    """The picture of each entity, a row of the pictures or -1."""
    paths, keys, status = (records.pictures[name].to_pylist() for name in ("path", "key", "status"))

    def fails(row: int) -> bool:
        return status[row] != "ok" or (decodes is not None and keys[row] not in decodes)

    found = []
    rows = (records.entities[name].to_pylist() for name in ("id", "picture", "pictures"))
    for id, first, own in zip(*rows, strict=True):
        taken = next((row for row in own if not fails(row)), first)
        if taken != first:
            what = "entities whose first picture fails; the next one that decodes is used"
            findings.add(PASSED_OVER, what, f"entity {id}: {paths[first]}, then {paths[taken]}")
        found.append(taken)
    return found


def tried(picture: int, pictures: list[int]) -> list[int]:
    """The pictures of an entity that are tried, in their order: up to the one that is taken."""
    return pictures[: pictures.index(picture) + 1] if picture in pictures else [picture]
