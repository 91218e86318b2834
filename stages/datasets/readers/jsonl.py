"""A knowledge base of one's own.

    entities    {id, name, description?, image?, aliases?, prior?}
    mentions    {mention, sentence?, start?, end?, image?, answer, id?, split?, image_kind?}
    | mentions-train, mentions-valid, mentions-test

each a file of JSON Lines (.jsonl) or CSV (.csv: with commas, semicolons or tabs). One JSON object a
line; blank lines are skipped. `image` of an entity is a path or a list of paths, `aliases` a list
of names (in CSV: separated by `|`), `prior` a count or a probability. Entity row = order in the
file. Mentions without any split get a seeded one (`splits.py`).

A relative image path lies below the folder of these files, and must not climb out of it. An
absolute one is allowed, since the pictures may be a collection kept elsewhere: it is stored as it
stands (joined to the image root it stays itself), and ties the records to this machine.
"""

from pathlib import Path
from typing import Any, Literal

from cache.errors import nearest
from cache.strict import plain, short
from stages.datasets.entity_fields import ALIASES, PRIOR, said_aliases, said_images, said_prior
from stages.datasets.fields import (
    normalised,
    optional_text,
    require,
    require_identifier,
    says_nil,
    well_formed,
)
from stages.datasets.findings import Findings
from stages.datasets.lines import records_of
from stages.datasets.pictures import KeyCache, PictureTable, inner_path
from stages.datasets.records import Records, RecordsError
from stages.datasets.rows import EntityRows, MentionRows
from stages.datasets.spans import SPAN, said_span
from stages.datasets.splits import split_with_nil
from stages.paths import SPLITS, project_path

ENTITY_FIELDS = ("id", "name", "description", "image", ALIASES[0], PRIOR[0])
KNOWN = (*ENTITY_FIELDS, *ALIASES[1:], *PRIOR[1:])
MENTION_FIELDS = ("mention", "sentence", *SPAN, "image", "answer", "id", "split", "image_kind")
ENDINGS = (".jsonl", ".csv")
OWN_FILES = tuple(f"{name}{ending}" for name in ("entities", "mentions") for ending in ENDINGS)
"""Of which a folder of this format has one."""
SPLIT_NAMES = {**{split: split for split in SPLITS}, "dev": "valid", "validation": "valid"}


def read_jsonl(
    folder: Path, dataset: str, *, root: Path = Path(), seed: int = 0,
    missing_answer: Literal["error", "drop"] = "error", keys: KeyCache | None = None,
) -> Records:  # fmt: skip
    """Read a folder of JSON Lines (entities also as CSV).

    A mention without `id` is called `<split or "mention">-<position in its file>`; `nil` mentions
    have no entity, unless one has that id, and are kept beside the splits.

    Parameters are those of `Reader`; a missing answer is no entity's id.

    Raises:
        RecordsError: with file:line of whatever cannot be read.
    """
    if not folder.is_dir():
        raise RecordsError(
            f"{folder}: no such folder", "expected entities.jsonl and mentions.jsonl, or .csv"
        )
    findings, pictures = Findings(), PictureTable(folder)
    name = project_path(folder, root)
    entities, rows = _read_entities(folder, name, pictures, findings)
    mentions: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    files = _mention_files(folder)
    if not files:
        what = "files of mentions that are not there: a knowledge base alone"
        findings.add("mentions-missing", what, name)
    for split, file in files.items():
        for position, (where, record) in enumerate(records_of(file, name, MENTION_FIELDS)):
            _count_unknown(record, MENTION_FIELDS, where, findings)
            mention = _read_mention(record, split, position, where, findings)
            if mention["id"] in seen:
                first = seen[mention["id"]]
                raise RecordsError(
                    f"{where}: duplicate id {short(mention['id'])}, first in {first}"
                )
            seen[mention["id"]] = where
            answer = mention["answer"]
            if answer is None:
                findings.add("answer-blank", "mentions without an answer", where, dropped=True)
                continue
            nil = says_nil(answer, rows)
            if not nil and answer not in rows:
                if missing_answer == "error":
                    near = nearest(answer, [*rows])
                    raise RecordsError(
                        f"{where}: answer {short(answer)} is no entity's id{near}",
                        "--set prepare.missing_answer=drop leaves such mentions out, counted",
                    )
                what = "mentions whose answer is no entity's id"
                findings.add("answer-not-in-kb", what, f"{where}: {answer}", dropped=True)
                continue
            image = mention.pop("image")
            mention["picture"] = -1
            if image:
                mention["picture"] = pictures.row(_own_path(image, folder, where), where)
            gold = None if nil else rows[answer]
            mentions.append({**mention, "gold": gold, "where": where})

    table = MentionRows(findings)
    splits = _splits_of(mentions, seed)
    for split, mention in zip(splits, mentions, strict=True):
        table.add(split, **{name: mention[name] for name in mention if name != "split"})
    tables = table.tables()
    return Records(
        dataset, "jsonl", name, "description", entities.table(), tables,
        pictures.build(findings, keys), findings.listed(), nil=table.nil(),
    )  # fmt: skip


def _read_entities(
    folder: Path, name: str, pictures: PictureTable, findings: Findings
) -> tuple[EntityRows, dict[str, int]]:
    file = _one_of(folder, "entities")
    entities, lines = EntityRows(findings), list[str]()
    rows: dict[str, int] = {}
    csv = file.suffix == ".csv"
    for where, record in records_of(file, name, KNOWN):
        _count_unknown(record, KNOWN, where, findings)
        id = _identifier(record, where, findings)
        if id in rows:
            raise RecordsError(f"{where}: duplicate id {short(id)}, first in {lines[rows[id]]}")
        rows[id] = len(rows)
        lines.append(where)
        title = well_formed(require(record, "name", str, where), where, findings)
        text = well_formed(optional_text(record, "description", where) or "", where, findings)
        images = said_images(record, where, findings, csv)
        paths = [_own_path(path, folder, where) for path in images]
        entities.add(
            id, title, text, [pictures.row(path, where) for path in paths], where,
            said_aliases(record, where, findings, csv), said_prior(record, where, findings, csv),
        )  # fmt: skip
    if not rows:
        raise RecordsError(f"{file}: the knowledge base is empty: no mention can link")
    return entities, rows


def _read_mention(
    record: dict[str, Any], split: str, position: int, where: str, findings: Findings
) -> dict[str, Any]:
    """A mention's values; `split` is "" where neither the file nor the record says it."""
    own = optional_text(record, "split", where)
    if own and own not in SPLIT_NAMES:
        raise RecordsError(f"{where}: split {short(own)}, expected one of {', '.join(SPLITS)}")
    own = SPLIT_NAMES[own] if own else ""
    if own and split and own != split:
        raise RecordsError(f"{where}: split '{own}' in the file of the split '{split}'")
    id = f"{split or 'mention'}-{position}"
    if record.get("id") is not None:
        id = _identifier(record, where, findings)
    kind = optional_text(record, "image_kind", where)
    sentence = well_formed(optional_text(record, "sentence", where) or "", where, findings)
    span = said_span(record, sentence, where)
    if span is not None and record.get("mention") is None:
        record = {**record, "mention": sentence[slice(*span)]}
    words = well_formed(require(record, "mention", str, where), where, findings)
    if span is not None and sentence[slice(*span)] != words:
        raise RecordsError(
            f"{where}: from {span[0]} to {span[1]} the sentence has "
            f"{short(sentence[slice(*span)])}, not the mention {short(words)}"
        )
    return {
        "id": id,
        "words": words,
        "sentence": sentence,
        "span": span,
        "image": well_formed(optional_text(record, "image", where) or "", where, findings),
        "answer": _answer(record, where, findings),
        "image_kind": None if kind is None else well_formed(kind, where, findings),
        "split": own or split,
    }


def _splits_of(mentions: list[dict[str, Any]], seed: int) -> list[str]:
    """Each mention's split: as the source says, or seeded; some with and some without raises."""
    without = [mention for mention in mentions if not mention["split"]]
    if not without:
        return [mention["split"] for mention in mentions]
    if len(without) < len(mentions):
        raise RecordsError(
            f"{without[0]['where']}: no field 'split', but other mentions have one",
            "give every mention a split, or none",
        )
    ids, sentences = ([mention[name] for mention in mentions] for name in ("id", "sentence"))
    nil = [mention["gold"] is None for mention in mentions]
    return split_with_nil(ids, sentences, nil, seed)


def _mention_files(folder: Path) -> dict[str, Path]:
    """Files by split; the split is "" for one file of all mentions. None of a knowledge base alone.

    Raises:
        RecordsError: some splits have a file, or there is one of all mentions besides; or a file
            is there in both forms.
    """
    names = {"": "mentions", **{split: f"mentions-{split}" for split in SPLITS}}
    files = {split: _forms(folder, name) for split, name in names.items()}
    there = [split for split, found in files.items() if found]
    if there in ([], [""], [*SPLITS]):
        return {split: _one_of(folder, names[split]) for split in there}
    found = ", ".join(file.name for split in there for file in files[split])
    expected = f"mentions, or {', '.join(names[split] for split in SPLITS)}, each .jsonl or .csv"
    raise RecordsError(f"{folder}: expected {expected}; found {found}")


def _forms(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}{e}" for e in ENDINGS if (folder / f"{name}{e}").exists()]


def _one_of(folder: Path, name: str) -> Path:
    found = _forms(folder, name)
    if len(found) != 1:
        names, listed = " and ".join(f"{name}{e}" for e in ENDINGS), "both" if found else "neither"
        raise RecordsError(f"{folder}: expected one of {names}, found {listed}")
    return found[0]


def _identifier(record: dict[str, Any], where: str, findings: Findings, field: str = "id") -> str:
    """An id as text; a number is as good as its digits."""
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = well_formed(require(record, field, str, where), where, findings)
    if not text.strip():
        raise RecordsError(f"{where}: field '{field}' is blank")
    return normalised(require_identifier(text, where, field), where, findings, field)


def _answer(record: dict[str, Any], where: str, findings: Findings) -> str | None:
    """None where it is absent, null or blank: nobody has said what the mention means."""
    value = record.get("answer")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return _identifier(record, where, findings, "answer")


def _own_path(path: str, folder: Path, where: str) -> str:
    """Relative to `folder` where it lies below it; another absolute path stays as it stands."""
    if not Path(path).is_absolute():
        return inner_path(path, where)
    return project_path(Path(path), folder) if Path(path).is_relative_to(folder) else path


def _count_unknown(
    record: dict[str, Any], known: tuple[str, ...], where: str, findings: Findings
) -> None:
    what = "fields that the reader does not know, ignored"
    for name in record:
        if name not in known:
            require_identifier(name, where, "the field")
            # The nearest name is dear, and a field that is wrong once is wrong in every record.
            near = nearest(name, [*known]) if findings.explains("field-ignored") else ""
            findings.add("field-ignored", what, f"{where}: '{plain(name)}'{near}")
