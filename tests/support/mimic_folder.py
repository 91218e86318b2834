"""Writes small data sets in the layout of the MIMIC release, for the tests beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image


def entity(id: int, name: str = "Somebody", **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "type": "entity", "entity_name": quote(name, safe=""), "attr": "Sex: male.",
        "image_list": [], **fields,
    }  # fmt: skip


def mention(answer: str, words: str = "Some", **fields: Any) -> dict[str, Any]:
    return {
        "mentions": quote(words, safe=""), "sentence": f"{answer} did it.", "imgPath": "",
        "answer": answer, "entities": "ignored", **fields,
    }  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_mimic(
    folder: Path,
    entities: list | None = None,
    train: list | None = None,
    dev: list | None = None,
    test: list | None = None,
    qids: dict[str, int] | None = None,
) -> Path:
    """Three entities Q0, Q1, Q2 and a mention of each, unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    entities = [entity(i) for i in range(3)] if entities is None else entities
    qids = {f"Q{i}": i for i in range(len(entities))} if qids is None else qids
    write_json(folder / "kb_entity.json", entities)
    write_json(folder / "qid2id.json", qids)
    for index, (split, rows) in enumerate({"train": train, "dev": dev, "test": test}.items()):
        rows = [mention(f"Q{index}")] if rows is None else rows
        write_json(folder / f"TINY_{split}.json", rows)
    for name in ("kb_image", "mention_images"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def write_picture(path: Path, color: str = "red", mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), color).convert(mode).save(path)
    return path
