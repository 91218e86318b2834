"""Tiny random checkpoints, and a small prepared data set to extract with them.

Run in a process of its own by the test that kills it: see `run_extract`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from tokenizers import pre_tokenizers

from stages.datasets.findings import Findings
from stages.datasets.pictures import PictureTable
from stages.datasets.records import ENTITY_SCHEMA, MENTION_SCHEMA, Records
from stages.paths import SPLITS, DatasetPaths

ROOT = Path(__file__).resolve().parents[2]
NORMALISATION = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}

# Of different lengths and scripts; one is empty, one far longer than any model reads.
TEXTS = [
    "a cat", "The dog, 42 years old!", "", "x", "größe naïve", "北京是首都", "кошка и собака",
    "العربية", "emoji 🙂🙂", "long words " * 900, "it's the end <|endoftext|> of it",
    "a\x00b\tc\nd",
]  # fmt: skip


def random_picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def picture_bytes(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


# Checkpoints


def _save(model: Any, folder: Path) -> Path:
    """Every weight moved off its start, layer norms too, so that no step is the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.15)
    model.save_pretrained(folder)
    return folder


def build_clip(folder: Path, seed: int = 0) -> Path:
    """Text width 32, vision width 48 (16 patches and CLS), projection 24, 77 positions."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>")]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(m) for m in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: number for number, token in enumerate(tokens)}
    start, end = len(tokens) - 2, len(tokens) - 1
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    special = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = CLIPConfig(
        text_config={"vocab_size": len(tokens), "hidden_size": 32, **layers, **special},
        vision_config={"hidden_size": 48, "image_size": 32, "patch_size": 8, **layers},
        projection_dim=24,
    )
    torch.manual_seed(seed)
    _save(CLIPModel(config), folder)
    CLIPTokenizer(vocab=ids, merges=merges, model_max_length=77).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION))
    return folder


def build_bert(folder: Path, pooling: dict[str, Any] | None = None) -> Path:
    """Width 28, 64 positions, a WordPiece vocabulary of letters."""
    from transformers import BertConfig, BertModel

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]
    vocabulary += [*letters, *(f"##{letter}" for letter in letters)]
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=28, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=56, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    _save(BertModel(config), folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def build_vit(folder: Path) -> Path:
    """Width 40, pictures of 24 pixels, 9 patches and CLS."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=40, num_hidden_layers=2, num_attention_heads=4, intermediate_size=80,
        image_size=24, patch_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    _save(ViTModel(config), folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION))
    return folder


# The data set


def write_pictures(folder: Path) -> list[str]:
    """Good and bad ones, one after the other; returns their names."""
    good = picture_bytes(random_picture(0))
    jpeg = picture_bytes(random_picture(1), "JPEG")
    files = {
        "a.png": good,
        "broken.png": good[:60] + bytes(40) + good[100:],
        "b.jpg": jpeg,
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "same-as-a.png": good,
        "empty.png": b"",
        "c.gif": picture_bytes(random_picture(2), "GIF"),
        "words.jpg": b"<html>not found</html>",
        "same-as-words.jpg": b"<html>not found</html>",
        "d.webp": picture_bytes(random_picture(3), "WEBP"),
    }
    files |= {f"{i}.png": picture_bytes(random_picture(i)) for i in range(4, 14)}
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [*files, "missing.png"]


def write_project(root: Path, encoder: Path, image_encoder: str = "same") -> DatasetPaths:
    """`data/tiny/records`, its pictures and params.yaml, of the project's folder `root`."""
    paths = DatasetPaths("tiny", root)
    names = write_pictures(paths.raw)
    pictures, findings = PictureTable(paths.raw), Findings()

    def picture(i: int) -> int:
        return pictures.row(names[i], f"record {i}") if i < len(names) else -1

    entities = []
    for i in range(24):
        first = picture(i)
        entities.append(
            {
                "id": f"Q{i}", "name": f"Name {i % 20}", "text": TEXTS[i % 20 % len(TEXTS)],
                "picture": first, "pictures": [] if first < 0 else [first],
            }
        )  # fmt: skip
    mentions = {}
    for split, (lo, hi) in zip(SPLITS, ((0, 16), (16, 22), (22, 30)), strict=True):
        mentions[split] = [
            {
                "id": f"m{i}", "words": f"Name {i % 9}", "sentence": TEXTS[-i % 13 % len(TEXTS)],
                "picture": picture(5 * i % 23), "answer": f"Q{i % 24}", "gold": i % 24,
                "image_kind": "",
            }
            for i in range(lo, hi)
        ]  # fmt: skip
    records = Records(
        "tiny", "jsonl", str(paths.raw), "text", pa.Table.from_pylist(entities, ENTITY_SCHEMA),
        {s: pa.Table.from_pylist(rows, MENTION_SCHEMA) for s, rows in mentions.items()},
        pictures.build(findings), findings.listed(),
    )  # fmt: skip
    records.save(paths.records)
    (root / "params.yaml").write_text(
        "datasets: [tiny]\nextract:\n"
        f"  text_encoder: {encoder}\n  image_encoder: {image_encoder}\n"
        "  max_tokens: 20\n  dtype: float32\n  device: cpu\n  batch_texts: 2\n  batch_images: 1\n"
    )
    return paths


def prepare_again(
    paths: DatasetPaths, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    """Prepare the data set again with other entities and with the pictures as they are now;
    mentions of entities that are gone are dropped.

    A row that `change` adds may name its picture's file instead of its row: `"picture": "x.png"`.
    """
    records = Records.load(paths.records)
    pictures, findings = PictureTable(paths.raw), Findings()
    for path in records.pictures["path"].to_pylist():
        pictures.row(path, "again")
    rows = change(records.entities.to_pylist())
    for row in rows:
        if isinstance(row["picture"], str):
            row["picture"] = pictures.row(row["picture"], row["id"])
            row["pictures"] = [row["picture"]]
    ids = records.entities["id"].to_pylist()
    place = {row["id"]: number for number, row in enumerate(rows)}
    mentions = {
        split: pa.Table.from_pylist(
            [
                {**mention, "gold": place[ids[mention["gold"]]]}
                for mention in table.to_pylist()
                if ids[mention["gold"]] in place
            ],
            MENTION_SCHEMA,
        )
        for split, table in records.mentions.items()
    }
    Records(
        records.dataset, records.source, records.image_root, records.text_field,
        pa.Table.from_pylist(rows, ENTITY_SCHEMA), mentions,
        pictures.build(findings), findings.listed(),
    ).save(paths.records)  # fmt: skip


def add_entities(paths: DatasetPaths) -> None:
    """Three more: two texts that are new, one that is not; two new pictures and one shared one.

    One stands before all others, so that no old row keeps its number.
    """
    for number in (50, 51):
        random_picture(number).save(paths.raw / f"{number}.png")
    new = [
        {"id": "Q50", "name": "Fifty", "text": "first of all", "picture": "50.png"},
        {"id": "Q51", "name": "Fifty-one", "text": "a new one", "picture": "51.png"},
        {"id": "Q52", "name": "Name 1", "text": TEXTS[1], "picture": "a.png"},
    ]
    prepare_again(paths, lambda rows: [new[0], *rows, *new[1:]])


def tree(folder: Path) -> dict[str, str]:
    """Hash of every file below `folder`, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_extract(
    root: Path, arguments: list[str], seconds: float, output: Path, locks: bool = True
) -> None:
    """`python -m pipeline.extract` inside this process, each unit, each write and renaming slower.

    Does not return: the process ends with the command's exit code.

    Args:
        locks: False for a file system whose locks do nothing.
    """
    from cache import build, finish
    from stages.encode import feature_job

    def slowly(module: Any, name: str) -> None:
        real = getattr(module, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            time.sleep(seconds)
            result = real(*args, **kwargs)
            time.sleep(seconds)
            return result

        setattr(module, name, wrapped)

    if not locks:
        fcntl.flock = lambda *_: None  # type: ignore[assignment]
    os.chdir(root)
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    slowly(feature_job, "encode_texts")
    slowly(feature_job, "encode_pictures")
    slowly(build.Build, "write")
    slowly(finish, "sync_folder")
    sys.argv = ["extract", "--dataset", "tiny", *arguments]
    runpy.run_module("pipeline.extract", run_name="__main__", alter_sys=True)
