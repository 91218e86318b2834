"""Any mutation of a source ends in one MelovError, or all of its records are accounted for: read,
or dropped and counted. What is read can be saved and is the same when it is loaded."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cache.errors import MelovError
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records
from stages.linking.mention import read_mentions
from tests.support.mimic_folder import entity, mention, write_mimic

TEXTS = st.text(max_size=8) | st.sampled_from(
    ["\ud800", "nil", "../x.png", "/dev/zero", "a|b", "\x1b[31m", "Q1", "test", "%E9%", "x" * 2000]
)
SCALARS = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ENTITIES = [
    {"id": f"E{i}", "name": f"Name {i}", "description": "words", "image": ["a.png", "b.png"]}
    for i in range(4)
]
MENTIONS = [
    {"mention": "Name", "sentence": f"Name {i}.", "answer": f"E{i % 4}", "image": "a.png",
     "image_kind": "good", "id": f"m{i}"}
    for i in range(6)
]  # fmt: skip
RAW = {
    f"{i}": {"sentence": f"S {i}", "mentions": ["A", "B"], "entities": ["T", "U"],
             "answer": ["Q1", "Q22"]}
    for i in range(4)
} | {"9": {"sentence": "S", "mentions": "A", "entities": "T", "answer": "Q3"}}  # fmt: skip


def lines_of(objects) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in objects).encode()


def write_jsonl(folder: Path) -> Path:
    (folder / "entities.jsonl").write_bytes(lines_of(ENTITIES))
    (folder / "mentions.jsonl").write_bytes(lines_of(MENTIONS))
    return folder


def write_csv(folder: Path) -> Path:
    rows = [f'{e["id"]},"{e["name"]}",words,a.png|b.png' for e in ENTITIES]
    (folder / "entities.csv").write_text("id,name,description,image\r\n" + "\r\n".join(rows))
    (folder / "mentions.jsonl").write_bytes(lines_of(MENTIONS))
    return folder


def write_melbench(folder: Path) -> Path:
    (folder / "raw.json").write_text(json.dumps(RAW))
    return folder / "raw.json"


def write_small_mimic(folder: Path) -> Path:
    pictured = [entity(i, image_list=["a.png"]) for i in range(3)]
    train = [mention(f"Q{i % 3}", imgPath="x/a.b.jpg") for i in range(3)]
    return write_mimic(folder, pictured, train=train)


def records_in(file: Path) -> int | None:
    """How many records a source's file holds, by a plain reader; None where that is not clear."""
    text = file.read_bytes().decode("utf-8-sig")
    if file.suffix == ".jsonl":
        return sum(not line.isspace() for line in text.split("\n") if line)
    if file.suffix == ".csv":
        return None
    said = json.loads(text)
    if file.name != "raw.json":
        return len(said)
    return sum(len(r["answer"]) if isinstance(r["answer"], list) else 1 for r in said.values())


@st.composite
def mutations(draw) -> Callable[[bytes], bytes]:
    """Bytes cut, doubled or replaced; or a value, a key or a record of the JSON."""
    kind = draw(
        st.sampled_from(["bytes", "bytes", "value", "value", "value", "key", "drop", "twice"])
    )
    at, length = draw(st.floats(0, 1)), draw(st.integers(0, 12))
    fresh = draw(st.binary(max_size=6)) if kind == "bytes" else draw(VALUES)
    name = draw(TEXTS)

    def mutated(data: bytes) -> bytes:
        if kind == "bytes" or not data.strip():
            place = int(at * len(data))
            new = fresh if isinstance(fresh, bytes) else b"\0"
            return data[:place] + new + data[place + length :]
        try:
            if b"\n{" not in data:
                return json.dumps(changed(json.loads(data))).encode()
            lines = data.splitlines()  # of JSON Lines, one line's object
            place = min(int(at * len(lines)), len(lines) - 1)
            lines[place] = json.dumps(changed(json.loads(lines[place]))).encode()
            return b"\n".join(lines)
        except ValueError:  # CSV, or bytes that an earlier mutation broke
            return data.replace(b"words", json.dumps(fresh).encode(), 1)

    def changed(value):
        """One place of the value, some levels down."""
        if not isinstance(value, dict | list) or not value:
            return fresh
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = places[min(int(at * len(places)), len(places) - 1)]
        if isinstance(value[place], dict | list) and length % 4:
            return replaced(value, place, changed(value[place]))
        if kind == "drop":
            return {k: v for k, v in value.items() if k != place} if isinstance(value, dict) else [
                v for i, v in enumerate(value) if i != place
            ]  # fmt: skip
        if kind == "key" and isinstance(value, dict):
            return {name if k == place else k: v for k, v in value.items()}
        if kind == "twice":
            return (
                {**value, name: value[place]} if isinstance(value, dict) else [*value, value[place]]
            )
        return replaced(value, place, fresh)

    return mutated


def replaced(value, place, new):
    if isinstance(value, dict):
        return {**value, place: new}
    return [new if i == place else v for i, v in enumerate(value)]


READERS = {
    "jsonl": (write_jsonl, read_jsonl, ["entities.jsonl"], ["mentions.jsonl"]),
    "csv": (write_csv, read_jsonl, ["entities.csv"], ["mentions.jsonl"]),
    "melbench": (write_melbench, read_melbench, [], ["raw.json"]),
    "mimic": (
        write_small_mimic, read_mimic, ["kb_entity.json"],
        ["TINY_train.json", "TINY_dev.json", "TINY_test.json"],
    ),
}  # fmt: skip


def require_named(error: MelovError, begins: str) -> None:
    said = str(error)
    assert said.startswith(begins)
    assert 0 < len(said) < 2000


@pytest.mark.parametrize("source", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mutated_source_is_one_error_or_read_in_full(source, data):
    write, read, entities, mentions = READERS[source]
    with tempfile.TemporaryDirectory() as base:
        path = write(Path(base))
        folder = path if path.is_dir() else path.parent
        names = sorted(file.name for file in folder.iterdir() if file.is_file())
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
            file = folder / name
            before = file.read_bytes()
            file.write_bytes(data.draw(mutations())(before))
        answer = data.draw(st.sampled_from(["error", "drop"]))
        try:
            records = read(path, "x", missing_answer=answer)
        except MelovError as error:
            require_named(error, "")
            return
        dropped = sum(finding.count for finding in records.findings if finding.dropped)
        kept = sum(table.num_rows for table in records.mentions.values())
        assert kept + dropped == sum(records_in(folder / name) for name in mentions)
        for name in entities:
            wanted = records_in(folder / name)
            assert wanted is None or records.entities.num_rows == wanted
        assert all(0 <= row < records.entities.num_rows for split in records.mentions
                   for row in records.gold(split))  # fmt: skip
        records.save(folder / "records")
        loaded = Records.load(folder / "records")
        assert loaded.digest == records.digest
        assert loaded.findings == records.findings


@settings(max_examples=60, deadline=None)
@given(st.lists(mutations(), min_size=1, max_size=2))
def test_mutated_new_mentions_are_one_error_or_read_in_full(changes):
    data = lines_of([{k: m[k] for k in ("mention", "sentence", "image", "id")} for m in MENTIONS])
    for change in changes:
        assume(data.strip())
        data = change(data)
    lines = data.split(b"\n")
    try:
        found = read_mentions(lines, "new.jsonl")
    except MelovError as error:
        require_named(error, "new.jsonl:")
        return
    assert len(found) == sum(bool(line.strip()) for line in lines)
    assert all(one.words.strip() for one in found)
