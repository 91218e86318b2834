"""The MIMIC release (WikiMEL, RichpediaMEL, WikiDiverse), with its quirks.

    kb_entity.json          [{id, entity_name, attr | desc, image_list, aliases?, prior?}, ...]
    qid2id.json             {QID: id}
    *train.json             [{mentions, sentence, imgPath, answer}, ...]
    *dev.json | *valid.json
    *test.json
    kb_image/  mention_images/ | mention_image/

Records are numbered from 0, as in the files' lists.
"""

from pathlib import Path
from typing import Any, Literal

from cache.strict import short
from stages.datasets.entity_fields import said_aliases, said_prior
from stages.datasets.fields import (
    decoded_text,
    kind_of,
    normalised,
    optional_text,
    require,
    require_object,
    says_nil,
    well_formed,
)
from stages.datasets.findings import Findings
from stages.datasets.names import Names
from stages.datasets.pictures import KeyCache, PictureTable, inner_path
from stages.datasets.readers.mimic_ids import (
    KB_FILE,
    QID_FILE,
    first_qids,
    list_of,
    order_by_id,
    read_qids,
)
from stages.datasets.readers.mimic_images import MentionImages
from stages.datasets.records import Records, RecordsError
from stages.datasets.rows import EntityRows, MentionRows
from stages.paths import project_path

PATTERNS = {
    "train": ("*train.json",),
    "valid": ("*dev.json", "*valid.json"),
    "test": ("*test.json",),
}
TEXT_FIELDS = ("attr", "desc")
"""The release's field, then the one that later papers ship."""
IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "svg", "gif", "webp", "tif", "tiff", "bmp")
KB_IMAGES = "kb_image"


def read_mimic(
    folder: Path, dataset: str, *, root: Path = Path(), seed: int = 0,
    missing_answer: Literal["error", "drop"] = "error", keys: KeyCache | None = None,
) -> Records:  # fmt: skip
    """Read a folder in the layout of the MIMIC release.

    Entity row = KB `id`, entity id = QID; mention id = `<split>-<position in its file>`, so a
    dropped mention leaves a gap. `nil` mentions have no entity and are kept beside the splits.

    Parameters are those of `Reader`; `seed` is not used, since the release has its split.

    Raises:
        RecordsError: a file is missing, ambiguous or malformed; the ids are not 0..N-1; qid2id.json
            disagrees with the knowledge base. The message names file, record and field.
    """
    if not folder.is_dir():
        raise RecordsError(
            f"{folder}: no such folder", f"expected {KB_FILE}, {QID_FILE} and the mention files"
        )
    files = find_mention_files(folder)
    findings, pictures = Findings(), PictureTable(folder)
    knowledge = list_of(folder / KB_FILE, "entities")
    if not knowledge:
        raise RecordsError(f"{folder / KB_FILE}: the knowledge base is empty: no mention can link")
    places = order_by_id(folder / KB_FILE, knowledge)
    rows = read_qids(folder / QID_FILE, len(places), findings)
    ids = first_qids(folder, rows, places, findings)

    text_field = next((f for f in TEXT_FIELDS if f in knowledge[0]), TEXT_FIELDS[0])
    entities, present = EntityRows(findings), Names.of(folder / KB_IMAGES)
    if present is None:
        what = "folders of entity images that are not there (text only)"
        findings.add("entity-image-folder-missing", what, KB_IMAGES)
    for id, number in zip(ids, places, strict=True):
        record, where = knowledge[number], f"{KB_FILE} record {number}"
        name = decoded_text(require(record, "entity_name", str, where), where, findings)
        text = _entity_text(record, text_field, where, findings)
        images = _entity_images(record, present or Names(), where, findings)
        entities.add(
            id, name, text, [pictures.row(path, where) for path in images], where,
            said_aliases(record, where, findings, decoded=decoded_text),
            said_prior(record, where, findings),
        )  # fmt: skip

    mentions, finder = MentionRows(findings), MentionImages(folder, findings)
    for split, file in files.items():
        for number, record in enumerate(list_of(file, "mentions")):
            where = f"{file.name} record {number}"
            require_object(record, where)
            answer = normalised(require(record, "answer", str, where), where, findings, "answer")
            nil = says_nil(answer, rows)
            if not nil and answer not in rows:
                if missing_answer == "error":
                    raise RecordsError(
                        f"{file}: record {number}: answer {short(answer)} is not in {QID_FILE}",
                        "--set prepare.missing_answer=drop leaves such mentions out, counted",
                    )
                what = f"mentions whose answer is not in {QID_FILE}"
                findings.add("answer-not-in-kb", what, f"{where}: {answer}", dropped=True)
                continue
            # A null imgPath is as blank as an empty one.
            image = (
                "" if record.get("imgPath", "") is None else require(record, "imgPath", str, where)
            )
            path = finder.path(well_formed(image, where, findings), where)
            kind = optional_text(record, "image_kind", where)
            mentions.add(
                split,
                id=f"{split}-{number}",
                words=decoded_text(require(record, "mentions", str, where), where, findings),
                sentence=well_formed(require(record, "sentence", str, where), where, findings),
                picture=-1 if path is None else pictures.row(path, where),
                answer=well_formed(answer, where, findings),
                gold=None if nil else rows[answer],
                image_kind=None if kind is None else well_formed(kind, where, findings),
                where=where,
            )
    finder.count_collisions()

    tables = mentions.tables()
    table = pictures.build(findings, keys)
    return Records(
        dataset, "mimic", project_path(folder, root), text_field, entities.table(), tables, table,
        findings.listed(), nil=mentions.nil(),
    )  # fmt: skip


def find_mention_files(folder: Path) -> dict[str, Path]:
    """The mention file of each split.

    Raises:
        RecordsError: a split has no file, or several; names what was found and expected.
    """
    files = {}
    for split, patterns in PATTERNS.items():
        # Hidden files: macOS leaves `._WIKIMEL_train.json` in archives.
        found = sorted(
            path for pattern in patterns for path in folder.glob(pattern)
            if not path.name.startswith(".")
        )  # fmt: skip
        if len(found) != 1:
            listed = ", ".join(path.name for path in (found or sorted(folder.glob("*.json"))))
            problem = "several mention files" if found else "no mention file"
            raise RecordsError(
                f"{folder}: {problem} for {split}: expected exactly one {' or '.join(patterns)}, "
                f"found {listed or 'no .json file'}"
            )
        files[split] = found[0]
    return files


def _entity_text(record: dict[str, Any], field: str, where: str, findings: Findings) -> str:
    if all(name in record for name in TEXT_FIELDS):
        what = f"entities with both {' and '.join(TEXT_FIELDS)}; {field} is read"
        findings.add("entity-two-texts", what, where)
    value = record.get(field, "")
    if value is None or value != value:  # null, or the NaN that pandas writes
        findings.add("entity-text-null", f"entities whose {field} is null, read as empty", where)
        return ""
    return well_formed(require(record, field, str, where), where, findings)


def _entity_images(
    record: dict[str, Any], present: Names, where: str, findings: Findings
) -> list[str]:
    """Paths below the root; the names are used as they stand, unlike those of mentions."""
    paths = []
    for name in require(record, "image_list", list, where):
        if not isinstance(name, str):
            raise RecordsError(f"{where}: field 'image_list' holds {kind_of(name)}, expected names")
        name = well_formed(name, where, findings)
        if not name.strip():
            findings.add("entity-image-blank", "blank names in image_list, left out", where)
            continue
        paths.append(f"{KB_IMAGES}/{inner_path(name, where)}")
        # A name with a folder in it is looked up when the pictures are hashed.
        if "/" not in name and present.find(name) is None:
            suffix = name.rpartition(".")[2].lower()
            suffix = suffix if suffix in IMAGE_SUFFIXES else "other"
            what = f"entity images ({suffix}) that are not in {KB_IMAGES}/"
            findings.add(f"entity-image-missing-{suffix}", what, f"{where}: {name}")
    return paths
