"""What users bring: sources of records, lines for `link`, parameter files, grids, pictures."""

from __future__ import annotations

import csv
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from cache.sealed import digest_of
from stages.ablation.grid import load_grid
from stages.config import Params, load_params
from stages.datasets.decoding.picture import PictureError, read_bytes, rgb
from stages.datasets.headers import inspect_headers
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records
from stages.encode.decode import decode_picture
from stages.encode.encoders.encoder import Pixels
from stages.linking.mention import read_mentions
from stages.paths import SPLITS
from tests.support.mimic_folder import entity, mention, write_mimic
from tests.support.mutation.damage import (
    BINARY_TOKENS,
    CSV_TOKENS,
    JSON_TOKENS,
    TEXT_TOKENS,
    YAML_TOKENS,
    changed_value,
    damaged,
    damaged_json,
    damaged_lines,
    dumped,
)
from tests.support.mutation.trials import Change

MEBIBYTE = 2**20
ROOT = Path(__file__).resolve().parents[3]


def rewrite(
    random: Random, folder: Path, name: str, tokens: tuple[bytes, ...],
    structured: Callable[[Random, bytes], tuple[bytes, str]] | None = None,
) -> Change:  # fmt: skip
    """Damage one file that nothing seals: by its bytes, or by its structure."""
    path = folder / name
    data = path.read_bytes()
    if structured is not None and random.random() < 0.6:
        data, what = structured(random, data)
    else:
        data, what = damaged(random, data, tokens)
    path.write_bytes(data)
    return Change((name,), f"{name}: {what}", sealed=False)


def whole(records: Records, folder: Path) -> str:
    """The records' digest, the same once they are written and read again."""
    records.save(folder / "records")
    assert Records.load(folder / "records").digest == records.digest, "written and read differently"
    return records.digest


def dropped(records: Records) -> int:
    return sum(finding.count for finding in records.findings if finding.dropped)


def kept(records: Records) -> int:
    return sum(records.mentions[split].num_rows for split in SPLITS) + records.nil.num_rows


def _equal(found: int, expected: int, what: str) -> None:
    assert found == expected, f"{found} of {expected} {what} are accounted for"


@dataclass(frozen=True)
class JsonLines:
    """entities.jsonl and mentions.jsonl; or a CSV of the former."""

    name: str = "jsonl"
    entities: str = "entities.jsonl"
    most_bytes: int = 100 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        rows = [
            {"id": "Q1", "name": "Ada Lovelace", "description": "wrote programs", "image": "a.png"},
            {"id": "Q2", "name": "Größe", "description": "“naïve”, 北京", "image": "b.png"},
            {"id": "Q3", "name": 'Cy, of "the" market', "description": "", "image": "a.png|b.png"},
            {"id": "4", "name": "Di", "description": "x\ny"},
        ]  # fmt: skip
        if self.entities.endswith(".csv"):
            file = io.StringIO()
            writer = csv.DictWriter(file, ["id", "name", "description", "image"])
            writer.writeheader()
            writer.writerows(rows)
            (folder / self.entities).write_text(file.getvalue(), encoding="utf-8", newline="")
        else:
            rows[2]["image"] = ["a.png", "b.png"]  # type: ignore[assignment]
            rows[3]["id"] = 4  # type: ignore[assignment]
            _write_lines(folder / self.entities, rows)
        mentions = [
            {"mention": f"M{i}", "sentence": f"M{i} “said” so", "answer": f"Q{1 + i % 3}"}
            | ({"image": "a.png"} if i % 2 else {})
            | ({"id": f"m{i}", "image_kind": "good"} if i % 3 else {"id": i})
            | {"split": ("train", "valid", "test")[i % 3]}
            for i in range(9)
        ]
        mentions[4]["answer"] = "NIL"
        _write_lines(folder / "mentions.jsonl", mentions)
        for name in ("a.png", "b.png"):
            Image.new("RGB", (8, 6), "red").save(folder / name)

    def change(self, random: Random, folder: Path) -> Change:
        if self.entities.endswith(".csv"):
            return rewrite(random, folder, self.entities, (*CSV_TOKENS, *TEXT_TOKENS), _damaged_csv)
        name = random.choice((self.entities, "mentions.jsonl"))
        return rewrite(random, folder, name, (*JSON_TOKENS, *TEXT_TOKENS), damaged_lines)

    def read(self, folder: Path) -> Any:
        records = read_jsonl(folder, "mine")
        files = (self.entities, "mentions.jsonl")
        lines = [(folder / name).read_bytes().decode("utf-8-sig") for name in files]
        if self.entities.endswith(".csv"):
            csv.field_size_limit(max(csv.field_size_limit(), len(lines[0])))
            rows = sum(row != [] for row in csv.reader(io.StringIO(lines[0], newline=""))) - 1
        else:
            rows = sum(bool(line.strip().strip("\ufeff").strip()) for line in lines[0].split("\n"))
        _equal(records.entities.num_rows, rows, "entities")
        mentions = sum(bool(line.strip().strip("\ufeff").strip()) for line in lines[1].split("\n"))
        _equal(kept(records) + dropped(records), mentions, "mentions")
        return whole(records, folder)


def _damaged_csv(random: Random, data: bytes) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    row = random.choice(rows)
    way = random.choice(("cell", "cell", "more", "fewer", "row", "twice", "header"))
    if way == "cell":
        tokens = (*CSV_TOKENS, *TEXT_TOKENS)
        row[random.randrange(len(row))] = random.choice(tokens).decode("utf-8", "replace")
    elif way == "more":
        row.append("x")
    elif way == "fewer":
        row.pop()
    elif way == "row":
        rows.insert(random.randrange(len(rows)), [])
    elif way == "twice":
        rows.insert(random.randrange(len(rows)), list(row))
    else:
        random.shuffle(rows[0])
    file = io.StringIO()
    csv.writer(file, lineterminator=random.choice(("\n", "\r\n", "\r"))).writerows(rows)
    return file.getvalue().encode(), f"csv {way}"


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


@dataclass(frozen=True)
class Mimic:
    """The MIMIC release's five files."""

    name: str = "mimic"
    most_bytes: int = 100 * MEBIBYTE
    files: tuple[str, ...] = (
        "kb_entity.json", "qid2id.json", "TINY_train.json", "TINY_dev.json", "TINY_test.json",
    )  # fmt: skip

    def make(self, world: Path, folder: Path) -> None:
        entities = [entity(i, f"Name {i}é", image_list=[f"{i}.png", "gone.svg"]) for i in range(4)]
        said = [mention("Q1", imgPath="a.b.jpg", image_kind="good"), mention("nil"), mention("Q2")]
        write_mimic(folder, entities, train=said, dev=said[:1], test=said[2:])
        Image.new("RGB", (8, 6)).save(folder / "kb_image" / "1.png")

    def change(self, random: Random, folder: Path) -> Change:
        name = random.choice(self.files)
        return rewrite(random, folder, name, (*JSON_TOKENS, *TEXT_TOKENS), damaged_json)

    def read(self, folder: Path) -> Any:
        records = read_mimic(folder, "tiny")
        lengths = [
            len(json.loads((folder / f).read_bytes().decode("utf-8-sig"))) for f in self.files
        ]
        _equal(records.entities.num_rows, lengths[0], "entities")
        _equal(kept(records) + dropped(records), sum(lengths[2:]), "mentions")
        return whole(records, folder)


@dataclass(frozen=True)
class Melbench:
    """One JSON object, alone or in a zip file."""

    name: str = "melbench"
    most_bytes: int = 100 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        said: dict[str, Any] = {
            str(i): {
                "id": i, "sentence": f"Sentence {i} é", "mentions": f"M{i}",
                "entities": f"Title {i % 3}", "answer": f"Q{i % 3}",
            }
            for i in range(6)
        }  # fmt: skip
        said["7"] = {
            "sentence": "Two of them", "mentions": ["A", "B"], "entities": ["X", "Y"],
            "answer": ["Q8", "nil"],
        }  # fmt: skip
        text = json.dumps(said)
        for kind in ("json", "zip"):
            (folder / kind).mkdir()
        (folder / "json" / "all.json").write_text(text)
        _write_zip(folder / "zip" / "all.zip", text.encode())
        (folder / "use").write_text("json")

    def change(self, random: Random, folder: Path) -> Change:
        kind = random.choice(("json", "zip"))
        (folder / "use").write_text(kind)
        name = f"{kind}/all.{kind}"
        if kind == "json" or random.random() < 0.5:
            tokens = (*JSON_TOKENS, *TEXT_TOKENS) if kind == "json" else BINARY_TOKENS
            structured = damaged_json if kind == "json" else None
            return rewrite(random, folder, name, tokens, structured)
        data, what = damaged_json(random, (folder / "json/all.json").read_bytes())
        if random.random() < 0.3:
            data, what = damaged(random, data, (*JSON_TOKENS, *TEXT_TOKENS))
        _write_zip(folder / name, data, random)
        return Change((name,), f"{name}: {what}, zipped", sealed=False)

    def read(self, folder: Path) -> Any:
        kind = (folder / "use").read_text()
        file = folder / kind / f"all.{kind}"
        records = read_melbench(file, "bench")
        data = file.read_bytes()
        if kind == "zip":
            with zipfile.ZipFile(file) as archive:
                names = [n for n in archive.namelist() if n.lower().endswith(".json")]
                (name,) = [n for n in names if not n.startswith("__MACOSX/")]
                data = archive.read(name)
        rows = json.loads(data.decode("utf-8-sig")).values()
        asked = sum(len(r["mentions"]) if isinstance(r["mentions"], list) else 1 for r in rows)
        _equal(kept(records) + dropped(records), asked, "mentions")
        return whole(records, folder)


def _write_zip(path: Path, data: bytes, random: Random | None = None) -> None:
    names = ["all.json"]
    if random is not None:
        names = random.choice((
            ["all.json"], ["all.json", "all.json"], ["all.json", "more.json"], ["é.JSON"],
            ["../all.json"], ["/all.json"], ["__MACOSX/all.json"], ["dir/", "dir/all.json"],
            ["all.json", "read.me"], [],
        ))  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a name twice
                archive.writestr(name, data if name.lower().endswith(".json") else b"")


@dataclass(frozen=True)
class LinkLines:
    """`link --input`."""

    name: str = "link lines"
    most_bytes: int = 100 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        rows = [
            {"mention": f"M{i}", "sentence": "it is “here”", "image": "a.png", "id": f"x{i}"}
            for i in range(5)
        ]
        rows += [{"mention": "é"}, {"mention": "x", "answer": "Q1", "split": "test"}]  # type: ignore[list-item]
        _write_lines(folder / "new.jsonl", rows)

    def change(self, random: Random, folder: Path) -> Change:
        return rewrite(random, folder, "new.jsonl", (*JSON_TOKENS, *TEXT_TOKENS), damaged_lines)

    def read(self, folder: Path) -> Any:
        data = (folder / "new.jsonl").read_bytes()
        mentions = read_mentions(data.split(b"\n"), str(folder / "new.jsonl"))
        _equal(len(mentions), sum(bool(line.strip()) for line in data.split(b"\n")), "lines")
        for one in mentions:
            assert one.words.strip(), one
            json.dumps(
                [one.words, one.sentence, one.id, str(one.image)], ensure_ascii=False
            ).encode()
        return [(m.words, m.sentence, str(m.image), m.id) for m in mentions]


@dataclass(frozen=True)
class Parameters:
    """params.yaml."""

    name: str = "params.yaml"
    most_bytes: int = 200 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        text = (ROOT / "params.yaml").read_text()
        (folder / "params.yaml").write_text(text)

    def change(self, random: Random, folder: Path) -> Change:
        return rewrite(random, folder, "params.yaml", (*YAML_TOKENS, *TEXT_TOKENS), _damaged_yaml)

    def read(self, folder: Path) -> Any:
        params = load_params(folder / "params.yaml", "demo")
        said = params.model_dump()
        assert Params.model_validate(said) == params
        return said


@dataclass(frozen=True)
class Grids:
    """A grid of ablations."""

    name: str = "grid"
    most_bytes: int = 200 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        (folder / "grid.yaml").write_text(
            "seeds: [0, 1]\ntrain: {epochs: 10}\ngraph: {metric: cosine}\n"
            "runs:\n  - {name: melov}\n  - {name: d_z=16, variant: melov, train: {d_z: 16}}\n"
            "reference: melov\nproduct:\n  variant: [melov, mimic]\n  train.gcn_layers: [1, 2, 3]\n"
        )

    def change(self, random: Random, folder: Path) -> Change:
        return rewrite(random, folder, "grid.yaml", (*YAML_TOKENS, *TEXT_TOKENS), _damaged_yaml)

    def read(self, folder: Path) -> Any:
        grid = load_grid(folder / "grid.yaml", Params())
        names = [run.name for run in grid.runs]
        assert len(set(names)) == len(names)
        assert grid.reference in names
        assert all("/" not in name and name.strip(".") for name in names), names
        return grid


def _damaged_yaml(random: Random, data: bytes) -> tuple[bytes, str]:
    """By its values: YAML reads what JSON text spells."""
    import yaml

    value, what = changed_value(random, yaml.safe_load(data), raw=True)
    return dumped(value), what


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
PIXELS = Pixels(24, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Pictures:
    """Pictures of every format that is read, as extraction, the report and validation see them."""

    name: str = "pictures"
    most_bytes: int = 1200 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
        base = Image.fromarray(noise)
        for name in FORMATS:
            if name not in Image.SAVE:
                Image.init()
            if name not in Image.SAVE:
                continue
            suffix = name.lower()
            base.convert("RGB").save(folder / f"rgb.{suffix}", name)
        for mode in ("L", "1", "P", "LA", "RGBA"):
            base.convert(mode).save(folder / f"{mode}.png")
        base.convert("CMYK").save(folder / "cmyk.jpeg")
        base.convert("RGB").save(folder / "progressive.jpeg", progressive=True, exif=_exif())
        deep = Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24) * 100)
        deep.save(folder / "deep.png")
        for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4"):
            mode = "1" if compression == "group4" else "RGB"
            base.convert(mode).save(folder / f"{compression}.tiff", compression=compression)
        Image.fromarray(np.linspace(0, 1, 480, dtype=np.float32).reshape(20, 24)).save(
            folder / "f.tiff"
        )
        frames = [base.rotate(90 * i).convert("RGB") for i in range(3)]
        for kind in ("gif", "webp", "png", "tiff"):
            frames[0].save(folder / f"moving.{kind}", save_all=True, append_images=frames[1:])

    def change(self, random: Random, folder: Path) -> Change:
        name = random.choice(sorted(p.name for p in folder.iterdir() if p.name != "changed"))
        data, what = damaged(random, (folder / name).read_bytes())
        (folder / "changed").write_bytes(data)
        return Change((), f"{name}: {what}", sealed=False)

    def read(self, folder: Path) -> Any:
        path = folder / "changed"
        if not path.exists():
            return None
        data = read_bytes(path)
        assert inspect_headers(folder, ["changed"]).pictures == 1
        loaded = decode_picture(data, PIXELS, "squash", "apply")
        if loaded.pixels is None:
            assert loaded.reason, "no reason"
            assert len(loaded.reason) < 400, loaded.reason
            raise PictureError(loaded.reason)
        assert loaded.pixels.shape == (24, 24, 3)
        assert loaded.pixels.dtype == np.uint8
        assert rgb(data).mode == "RGB"
        return digest_of(loaded.pixels.tobytes())


def _exif() -> Any:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SUBJECTS = [
    JsonLines(), JsonLines("csv", "entities.csv"), Mimic(), Melbench(), LinkLines(), Parameters(),
    Grids(), Pictures(),
]  # fmt: skip
