"""Hostile input from end to end: every command ends by itself, within limits of time and memory,
and one bad picture, archive, file of settings or of features costs no more than itself."""

from __future__ import annotations

import csv
import itertools
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.exchange import BLOCK
from cache.reader import FeatureStore
from cache.strings import unpack_strings
from stages.paths import DatasetPaths
from tests.faults import hostile_pictures, trees
from tests.faults.trees import DATASET, environment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SECONDS = 120
GIB = 4.0
"""Resident at the peak: a thousand pictures that are read ahead hold 1 GiB, a decoded one 1 GB."""
REFUSED_SECONDS, REFUSED_GIB = 30, 1.5
"""Of what ends in an error."""
ADDRESSES = 64 * 2**30
MANY, EACH = 1030, 8 * 2**20


@dataclass(frozen=True)
class Ended:
    """A command's end; gib: resident memory at its peak."""

    code: int
    out: str
    err: str
    seconds: float
    gib: float

    def require_good(self, seconds: float = SECONDS, gib: float = GIB) -> str:
        assert self.code == 0, self.err[-3000:]
        self._require_within(seconds, gib)
        return self.out + self.err

    def require_refused(self, *said: str) -> None:
        """One message that says so, with a hint."""
        assert self.code == 1, (self.code, self.err[-3000:])
        self._require_within(REFUSED_SECONDS, REFUSED_GIB)
        assert self.err.count("error: ") == 1, self.err[-3000:]
        message = self.err[self.err.index("error: ") :]
        assert len(message) < 3000, message[:3000]
        for part in said:
            assert part in message, message

    def _require_within(self, seconds: float, gib: float) -> None:
        assert "Traceback" not in self.err, self.err[-3000:]
        assert self.seconds < seconds, self
        assert self.gib < gib, self


def run(root: Path, step: str, *arguments: str) -> Ended:
    """`python -m pipeline.STEP --dataset tiny ARGUMENTS`; ended after twice SECONDS."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    out, err = root / ".out", root / ".err"
    begun = time.perf_counter()
    with out.open("wb") as to, err.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", f"pipeline.{step}", "--dataset", DATASET, *arguments],
            cwd=root, env=environment(), stdin=subprocess.DEVNULL, stdout=to, stderr=errors,
            preexec_fn=limit,
        )  # fmt: skip
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - begun > 2 * SECONDS:
                child.kill()
            time.sleep(0.02)
    child.returncode = os.waitstatus_to_exitcode(status)
    said = [path.read_text(errors="replace") for path in (out, err)]
    for path in (out, err):
        path.unlink()
    seconds = time.perf_counter() - begun
    return Ended(child.returncode, said[0], said[1], seconds, used.ru_maxrss / 2**20)


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def add_lines(path: Path, rows: Iterator[dict[str, str]] | list[dict[str, str]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The tiny data set before any command, on a real disk."""
    return trees.copied("raw", tmp_path / "project")


# Pictures


def with_pictures(root: Path, names: list[str]) -> None:
    """An entity and a test mention of each picture."""
    raw = root / "data" / DATASET / "raw"
    add_lines(
        raw / "entities.jsonl",
        [{"id": f"H {n}", "name": f"Hostile {n}", "image": f"pictures/{n}"} for n in names],
    )
    add_lines(
        raw / "mentions.jsonl",
        [
            {"mention": "Hostile", "sentence": f"Hostile {n} of the river", "answer": f"H {n}",
             "split": "test", "image": f"pictures/{n}"}
            for n in names
        ],
    )  # fmt: skip


def features(root: Path) -> dict[str, tuple[bytes, bytes]]:
    """Text and picture of each of the tiny data set's own entities."""
    store = FeatureStore.open(DatasetPaths(DATASET, root).store)

    def whole(name: str) -> np.ndarray:
        return store[name].slice(0, len(store[name]))

    ids = unpack_strings(whole("entities/id_bytes"), whole("entities/id_offsets"))
    texts, images = whole("texts/global"), whole("images/global")
    found = {}
    rows = zip(ids, whole("entities/text"), whole("entities/image"), strict=True)
    for name, text, image in rows:
        if name.startswith("E"):
            found[name] = texts[text].tobytes(), images[image].tobytes() if image >= 0 else b""
    return found


def test_hostile_pictures_cost_themselves_alone(project: Path, tmp_path: Path):
    plain = trees.copied("raw", tmp_path / "plain")
    folder = project / "data" / DATASET / "raw/pictures"
    said = hostile_pictures.write(folder, project)
    with_pictures(project, list(said))
    with_pictures(plain, list(said))  # there each of them is missing
    for step in ("prepare", "extract"):
        run(plain, step).require_good()
    run(project, "validate").require_good()
    run(project, "prepare").require_good()
    run(project, "extract").require_good()
    with (project / "data" / DATASET / "extract/failed_pictures.csv").open() as file:
        reasons = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    wrong = {
        name: (reasons.get(name), reason)
        for name, reason in said.items()
        if (name in reasons if not reason else reason not in reasons.get(name, ""))
    }
    assert not wrong
    assert features(project) == features(plain)
    for step in ("graph", "train", "evaluate"):
        run(project, step, *(["--variant", "melov"] if step != "graph" else [])).require_good()
    run(project, "report").require_good()
    run(project, "verify").require_good()
    assert not list(project.rglob(hostile_pictures.MARK))


def test_hostile_pictures_of_new_mentions_cost_themselves_alone(tmp_path: Path):
    root = trees.copied("trained", tmp_path / "project")
    folder = root / "new"
    folder.mkdir()
    names = list(hostile_pictures.write(folder, root))
    new = root / "new.jsonl"
    add_lines(new, [{"mention": "Ada", "id": n, "image": f"new/{n}"} for n in [*names, "none.png"]])
    given = ["--input", "new.jsonl", "--output", "found.jsonl"]
    run(root, "link", *given).require_good()
    found = lines(root / "found.jsonl")
    assert [row["id"] for row in found] == [*names, "none.png"]
    assert not list(root.rglob(hostile_pictures.MARK))


def test_reading_ahead_is_bounded_in_bytes(project: Path):
    """A thousand pictures of 8 MB, nearly all of it behind the pixels."""
    folder = project / "data" / DATASET / "raw/pictures"
    start = hostile_pictures.png(16, 16)
    for i in range(MANY):
        with (folder / f"large{i}.png").open("wb") as file:
            file.write(start)
            file.truncate(EACH)
            file.seek(EACH)
            file.write(i.to_bytes(4, "big"))
    with_pictures(project, [f"large{i}.png" for i in range(MANY)])
    run(project, "prepare").require_good(gib=1.5)
    ended = run(project, "extract", "--set", "extract.decode_threads=4",
                "--set", "extract.batch_images=64")  # fmt: skip
    ended.require_good(gib=2.5)


# Archives

RECORD = {"id": "x", "sentence": "s", "mentions": "a", "entities": "A", "answer": "Q1"}
GOOD = json.dumps({"a": RECORD, "b": RECORD | {"sentence": "t"}})


def packed(path: Path, members: dict[str, bytes | int], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip; a number stands for GOOD and so many blanks."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                if isinstance(content, bytes):
                    file.write(content)
                    continue
                file.write(GOOD.encode())
                for _ in range(content // 2**20):
                    file.write(b" " * 2**20)
    return path


def lying(path: Path) -> None:
    """A member that tells a size of 10 bytes, and has 80 MB."""
    packed(path, {"raw.json": 80 * 2**20})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)


def overlapping(path: Path) -> None:
    """A directory of 900 members that are all the same bytes."""
    packed(path, {"raw.json": GOOD.encode()})
    data = path.read_bytes()
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry, last = data[at:end], bytearray(data[end : end + 22])
    last[8:12] = (900).to_bytes(2, "little") * 2
    last[12:16] = (900 * len(entry)).to_bytes(4, "little")
    path.write_bytes(data[:at] + entry * 900 + last)


ARCHIVES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a gigabyte of blanks": (lambda p: packed(p, {"raw.json": 2**30}), ("raw.json", "unpacks")),
    "a size that lies": (lying, ("raw.json",)),
    "900 members in one place": (overlapping, ("raw.json",)),
    "a zip in a zip": (lambda p: packed(p, {"raw.zip": GOOD.encode()}), ("json",)),
    "out of the folder": (lambda p: packed(p, {"../../raw.json": b"{}"}), ()),
    "cut": (lambda p: p.write_bytes(packed(p, {"raw.json": 2**20}).read_bytes()[:-30]), ("zip",)),
    "nothing": (lambda p: p.write_bytes(b""), ("zip",)),
    "a pipe": (os.mkfifo, ("raw.zip",)),
    "a device": (lambda p: p.symlink_to("/dev/zero"), ("raw.zip",)),
    "deep lists": (lambda p: packed(p, {"raw.json": b"[" * 10**6}), ("raw.json",)),
    "digits": (lambda p: packed(p, {"raw.json": b"1" * 10**7}), ("raw.json",)),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_hostile_archive_is_one_error(tmp_path: Path, kind: str):
    write, said = ARCHIVES[kind]
    root = tmp_path / "project"
    (root / "data" / DATASET / "raw").mkdir(parents=True)
    (root / "params.yaml").write_text("prepare: {source: melbench}\n")
    write(root / "data" / DATASET / "raw/raw.zip")
    before = {path for path in tmp_path.rglob("*") if ".locks" not in path.parts}
    run(root, "prepare").require_refused(*said)
    after = {path for path in tmp_path.rglob("*") if ".locks" not in path.parts}
    assert after <= before | {root / "data" / DATASET / ".locks"}


# Sources


def test_texts_without_measure_go_through_all_commands(project: Path):
    raw = project / "data" / DATASET / "raw"
    letters = np.random.default_rng(0).integers(97, 123, 10**7, dtype=np.uint8).tobytes().decode()
    add_lines(
        raw / "entities.jsonl",
        [
            {"id": "N", "name": letters, "description": letters},
            {"id": "S", "name": " ".join(letters[i : i + 1] for i in range(10**6))},
        ],
    )
    add_lines(
        raw / "mentions.jsonl",
        [
            {"mention": letters[:200_000], "sentence": letters, "answer": "N", "split": split}
            for split in ("train", "valid", "test")
        ],
    )
    for step in ("prepare", "extract", "graph", "train", "evaluate", "report"):
        run(project, step, *(["--variant", "melov"] if step in ("train", "evaluate") else []))\
            .require_good()  # fmt: skip


@pytest.mark.parametrize(
    ("start", "repeated"), [(b"", b"a" * 300), (b"", b"["), (b'{"id": ', b"9")]
)
def test_a_line_without_end_is_refused(project: Path, start: bytes, repeated: bytes):
    with (project / "data" / DATASET / "raw/entities.jsonl").open("wb") as file:
        file.write(start + repeated * 2**20)
    run(project, "prepare").require_refused("entities.jsonl")


# Settings

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in itertools.pairwise("abcdefghi")
)
SETTINGS = {
    "aliases": ALIASES,
    "merges": "a: &a {<<: *a}\n",
    "levels": "a: " + "[" * 100_000,
    "an object": "extract: !!python/object/apply:os.system ['touch was-run']\n",
    "ten megabytes": "a: " + "x" * 10**7,
    "keys": "".join(f"k{i}: 1\n" for i in range(90_000)),
    "binary": "extract: !!binary " + "A" * 900_000,
    "a set": "extract: !!set {text_encoder, text_encoder}\n",
    "a float": "train: {learning_rate: " + "9" * 100_000 + "}\n",
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_hostile_settings_are_one_error(project: Path, kind: str):
    (project / "params.yaml").write_text(SETTINGS[kind])
    run(project, "prepare").require_refused("params.yaml")
    assert not (project / "was-run").exists()


def test_a_grid_without_measure_is_counted_before_it_is_built(tmp_path: Path):
    root = trees.copied("graph", tmp_path / "project")
    axes = "".join(f"  train.{key}: [{', '.join(map(str, range(1, 50)))}]\n"
                   for key in ("d_v", "d_h", "d_z", "epochs", "batch_size"))  # fmt: skip
    (root / "grid.yaml").write_text(f"product:\n{axes}")
    run(root, "ablate", "--grid", "grid.yaml").require_refused("grid.yaml")


@pytest.mark.parametrize(
    "setting",
    ["gcn_layers=100000", "d_v=1000000", "batch_size=1000000000", "epochs=1e9", "seed=1e99",
     "learning_rate=1e308", "gcn_layers=" + "9" * 5000],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(tmp_path: Path, setting: str):
    root = trees.copied("graph", tmp_path / "project")
    ended = run(root, "train", "--variant", "melov", "--set", f"train.{setting}")
    ended.require_refused(setting.split("=")[0])


# Features from elsewhere


def tree_of(path: Path) -> h5py.File:
    return h5py.File(path, "r+")


def endless(path: Path) -> None:
    with tree_of(path) as file:
        file["again"] = file["/"]
        file["texts/again"] = file["texts"]
        file["texts/soft"] = h5py.SoftLink("/texts/soft")


def elsewhere(path: Path) -> None:
    with tree_of(path) as file:
        del file["texts/global"]
        file["texts/global"] = h5py.ExternalLink("/etc/passwd", "/texts")


def virtual(path: Path) -> None:
    with tree_of(path) as file:
        shape, dtype = file["texts/global"].shape, file["texts/global"].dtype
        del file["texts/global"]
        layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=shape, dtype=dtype)
        file.create_virtual_dataset("texts/global", layout)


def outside(path: Path) -> None:
    with tree_of(path) as file:
        shape, dtype = file["texts/global"].shape, file["texts/global"].dtype
        del file["texts/global"]
        size = int(np.prod(shape)) * dtype.itemsize
        file.create_dataset(
            "texts/global", shape=shape, dtype=dtype, external=[("/etc/passwd", 0, size)]
        )


def endless_rows(path: Path) -> None:
    with tree_of(path) as file:
        width, dtype = file["texts/global"].shape[1], file["texts/global"].dtype
        del file["texts/global"]
        file.create_dataset(
            "texts/global", shape=(2**40, width), dtype=dtype, chunks=(2**10, width)
        )


def endless_attribute(path: Path) -> None:
    with tree_of(path) as file:
        for i in range(2000):
            file.attrs[f"a{i}"] = "x" * 60_000


def strings(path: Path) -> None:
    with tree_of(path) as file:
        shape = file["texts/global"].shape
        del file["texts/global"]
        file.create_dataset("texts/global", shape=shape, dtype=h5py.string_dtype())


def many(path: Path) -> None:
    with tree_of(path) as file:
        for i in range(100_000):
            file.create_group(f"g{i}")


EXCHANGED: dict[str, Callable[[Path], object]] = {
    "loops": endless, "an external link": elsewhere, "a virtual data set": virtual,
    "external bytes": outside, "2^40 rows": endless_rows, "120 MB of attributes": endless_attribute,
    "strings": strings, "100,000 groups": many,
    "a pipe": lambda p: (p.unlink(), os.mkfifo(p)),
    "a device": lambda p: (p.unlink(), p.symlink_to("/dev/zero")),
    "nothing": lambda p: p.write_bytes(b""),
    "a terabyte of zeros": lambda p: os.truncate(p, 2**40),
}  # fmt: skip


def seal(path: Path) -> None:
    """Make the first block right again (docs/store.md)."""
    content = bytearray(path.read_bytes())
    crc = zlib.crc32(content[BLOCK:])
    said = f"melov feature store as HDF5: {len(content)} bytes, CRC-32 {crc:08x}"
    content[:BLOCK] = f"{said} from byte {BLOCK} on\n".encode().ljust(BLOCK, b"\0")
    path.write_bytes(content)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.copied("exported", tmp_path_factory.mktemp("exported") / "project")


HEADLESS = ("a pipe", "a device", "nothing", "a terabyte of zeros")
"""Kinds whose first block cannot be made right again."""


@pytest.mark.parametrize(
    ("kind", "is_sealed"),
    [
        (kind, sealed)
        for kind in EXCHANGED
        for sealed in (False, True)[: 1 + (kind not in HEADLESS)]
    ],
)
def test_a_hostile_file_of_features_is_one_error(exported: Path, kind: str, is_sealed: bool):
    """Both behind the checksum of the file's head and with a head that was made right again."""
    good, path = exported / trees.EXPORTED, exported / "hostile.h5"
    path.unlink(missing_ok=True)
    path.write_bytes(good.read_bytes())
    EXCHANGED[kind](path)
    if is_sealed:
        seal(path)
    before = features(exported)
    ended = run(exported, "load", "--input", "hostile.h5", "--force")
    if is_sealed and ended.code == 0:  # what was added is not read, and what was there still is
        ended.require_good(REFUSED_SECONDS, REFUSED_GIB)
    else:
        ended.require_refused("hostile.h5")
    assert features(exported) == before
