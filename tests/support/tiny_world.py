"""A small data set with a real CLIP checkpoint: extracted, with its graph, below a folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from stages.config import load_params
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.store import open_store, provenance_of
from stages.demo.encoders.tokenizer import train_tokenizer
from stages.encode.extract import extract
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths

NAMES = [f"{first} {last}" for first in ("Ada", "Bo", "Cy", "Di") for last in "ABCDEFG"]
PLACES = ("river", "market", "tower", "garden", "station")
PARAMS = """\
extract: {text_encoder: clip, max_tokens: 20, dtype: float32, batch_texts: 8, batch_images: 8}
graph: {bandwidth_fraction: 0.5, floor: 0.05, max_neighbors: 6}
train: {preset: paper, d_v: 8, d_h: 8, d_z: 4, epochs: 2, batch_size: 16, tau_init: 0.2}
"""


def tiny_world(base: Path) -> Path:
    """The project folder `base`/world, made once: params.yaml, clip/, data/tiny with 28 entities,
    48 + 12 + 24 mentions, records, features.zarr and graph."""
    root = base / "world"
    if (root / "data/tiny/graph/graph.json").exists():
        return root
    raw = root / "data/tiny/raw"
    raw.mkdir(parents=True)
    texts = write_records(raw, np.random.default_rng(0))
    write_clip(root / "clip", texts)
    (root / "params.yaml").write_text(PARAMS)
    paths = DatasetPaths("tiny")
    with contextlib.chdir(root):
        params = load_params("params.yaml", "tiny")
        read_jsonl(paths.raw, "tiny").save(paths.records)
        extract(paths, params.extract)
        store = open_store(paths)
        source = GraphSource.of(store)
        graph = build_graph(source.features, source.pictures, params.graph)
        graph.save(paths.graph, provenance_of(store))
    return root


def write_records(raw: Path, rng: np.random.Generator) -> list[str]:
    (raw / "pictures").mkdir()
    entities, mentions = [], []
    for i, name in enumerate(NAMES):
        place = PLACES[i % len(PLACES)]
        entities.append(
            {"id": f"E{i}", "name": name, "description": f"{name} of the {place}"}
            | ({} if i % 5 == 4 else {"image": _picture(raw, f"e{i}", rng)})
        )
    for j in range(84):
        i = int(rng.integers(len(NAMES)))
        split = "train" if j < 48 else "valid" if j < 60 else "test"
        words = NAMES[i].split()[0]
        sentence = f"{PLACES[j % 5]} of {words} {'again ' * (j % 3)} {PLACES[j % 7 % 5]}"
        image = {} if j % 4 == 3 else {"image": _picture(raw, f"m{j % 70}", rng)}
        mentions.append(
            {"mention": words, "sentence": sentence, "answer": f"E{i}", "split": split, **image}
        )
    for name, rows in (("entities", entities), ("mentions", mentions)):
        (raw / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [e["description"] for e in entities] + [m["sentence"] for m in mentions]


def _picture(raw: Path, name: str, rng: np.random.Generator) -> str:
    path = raw / "pictures" / f"{name}.png"
    if not path.exists():
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return f"pictures/{name}.png"


def write_clip(folder: Path, texts: list[str]) -> None:
    tokenizer: CLIPTokenizer = train_tokenizer(texts, vocabulary=560, max_length=24)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 24, **ends}
    config = CLIPConfig(
        text_config={**tower, **text, "num_hidden_layers": 1},
        vision_config={**tower, "image_size": 16, "patch_size": 8, "num_hidden_layers": 1},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(config)
        for weight in model.parameters():  # wider than the initialisation, so that texts differ
            weight.data.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    square = {"height": 16, "width": 16}
    CLIPImageProcessor(size=square, crop_size=square, do_center_crop=False).save_pretrained(folder)
