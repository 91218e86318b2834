"""The shapes that users have: CLIP ViT-B/32 over a generated data set in the MIMIC layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
import zarr
from click.testing import CliRunner
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from cache.reader import FeatureStore
from pipeline.extract import main as extract
from pipeline.prepare import main as prepare
from stages.demo.encoders.tokenizer import train_tokenizer

ENTITIES = 2000
MENTIONS = {"train": 300, "dev": 60, "test": 60}


def write_jpeg(path: Path, rng: np.random.Generator) -> None:
    coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((224, 224), Image.Resampling.BICUBIC).save(path, quality=90)


def write_mimic(raw: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("kb_image", "mention_images"):
        (raw / folder).mkdir(parents=True)
    entities = []
    for i in range(ENTITIES):
        write_jpeg(raw / "kb_image" / f"Q{i}.jpg", rng)
        attr = " ".join(f"word{w}" for w in rng.integers(0, 500, rng.integers(3, 40)))
        entities.append(
            {"id": i, "type": "entity", "entity_name": f"Entity%20{i}", "attr": attr,
             "image_list": [f"Q{i}.jpg"]}
        )  # fmt: skip
    (raw / "kb_entity.json").write_text(json.dumps(entities))
    (raw / "qid2id.json").write_text(json.dumps({f"Q{i}": i for i in range(ENTITIES)}))
    for split, n in MENTIONS.items():
        mentions = []
        for i in range(n):
            write_jpeg(raw / "mention_images" / f"{split}{i}.jpg", rng)
            gold = int(rng.integers(0, ENTITIES))
            mentions.append(
                {"mentions": f"Entity%20{gold}", "sentence": f"{split} sentence {i}.",
                 "imgPath": f"{split}{i}.jpg", "answer": f"Q{gold}", "entities": "x"}
            )  # fmt: skip
        (raw / f"FULL_{split}.json").write_text(json.dumps(mentions))


def write_clip(folder: Path) -> None:
    torch.manual_seed(0)
    words = [f"word{w}" for w in range(500)] + ["Entity 0123456789", "train dev test sentence"]
    tokenizer = train_tokenizer(words, max_length=77)
    config = CLIPConfig()  # the library's default is ViT-B/32
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config.text_config, name, getattr(tokenizer, name))
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pixels = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_vit_b_32_over_two_thousand_entities_opens_with_plain_zarr(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mimic(Path("data/full/raw"))
    write_clip(Path("clip"))
    Path("params.yaml").write_text(yaml.safe_dump({"extract": {"text_encoder": "clip"}}))
    for command in (prepare, extract):
        result = CliRunner().invoke(command, ["--dataset", "full"])
        assert result.exit_code == 0, result.output

    plain = zarr.open("data/full/features.zarr", mode="r")
    store = FeatureStore.open(Path("data/full/features.zarr"))
    pictures = ENTITIES + sum(MENTIONS.values())
    assert plain["images/local"].shape == (pictures, 50, 768)
    assert plain["images/global"].shape == (pictures, 512)
    assert plain["texts/global"].shape[1] == plain["texts/local"].shape[1] == 512
    for name in store.names():
        array = store[name]
        np.testing.assert_array_equal(plain[name][:], array.slice(0, len(array)))
    rows = np.random.default_rng(1).integers(0, pictures, 256)
    np.testing.assert_array_equal(
        store["images/local"].gather(rows), plain["images/local"].oindex[rows]
    )
    assert (plain["images/ok"][:] == 1).all()
    assert float(np.abs(plain["images/global"][:].astype(np.float32)).sum(1).min()) > 0
