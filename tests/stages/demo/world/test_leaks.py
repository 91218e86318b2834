"""The audit finds every leak that the demo has on purpose, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stages.config import DemoConfig
from stages.datasets.audit import audit_of
from stages.datasets.flags import FLAGS
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.squares import Squares
from stages.demo.world.generate import generate
from stages.demo.world.leaks import SORTS, all_mentions, saved_anew
from stages.paths import SPLITS

WORLD = DemoConfig(captions=100)  # the demo as it is, but for what its encoders learn from
FILES = {"train": "train", "valid": "dev", "test": "test"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "raw"
    generate(WORLD, folder)
    return folder


@pytest.fixture(scope="module")
def told(raw: Path) -> dict[str, list[str]]:
    return json.loads((raw / "leaks.json").read_text(encoding="utf-8"))


def test_the_audit_finds_what_was_planted_and_nothing_else(raw: Path, told: dict[str, list[str]]):
    records = read_mimic(raw, "demo")
    audit = audit_of(records, Path(), Squares())
    found = {
        id: flags
        for split in SPLITS
        for id, flags in zip(
            records.mentions[split]["id"].to_pylist(), audit.flags[split], strict=True
        )
        if flags
    }
    assert {id: sorted(flags) for id, flags in found.items()} == {
        id: sorted(flags) for id, flags in told.items()
    }


def test_each_sort_of_leak_is_there_in_each_split(told: dict[str, list[str]]):
    counts = Counter((id.partition("-")[0], flag) for id, flags in told.items() for flag in flags)
    assert {flag for _, flag in counts} == set(FLAGS)
    for split, each in {"valid": 2, "test": 4}.items():
        for flag in SORTS:
            assert counts[split, flag] >= each
        assert counts[split, "sentence-in-train"] == 2 * each  # a pair repeats its sentence, too
        assert counts[split, "picture-copy-in-train"] == each
        assert counts[split, "picture-of-entity"] == each
    assert {flag for split, flag in counts if split == "train"} == {"entity-picture-shared"}


def test_a_planted_mention_is_of_the_entity_that_its_leak_is_of(raw: Path):
    mentions = all_mentions(WORLD)
    train = {m.sentence: m for m in mentions["train"]}
    for split in ("dev", "test"):
        said = json.loads((raw / f"DEMO_{split}.json").read_text(encoding="utf-8"))
        for mention in mentions[split]:
            if mention.leak is None:
                assert mention.sentence not in train
                continue
            assert said[mention.number]["answer"] == mention.entity.qid
            if mention.leak.startswith("picture"):
                source = getattr(mention.source, "entity", mention.source)
                assert source == mention.entity
            else:
                source = train[mention.sentence]
                assert source.entity == mention.entity
                assert (source.words == mention.words) == (mention.leak == "pair-in-train")


@pytest.mark.parametrize("number", range(3))
def test_a_picture_that_was_saved_anew_has_other_bytes_and_looks_the_same(number: int):
    file = BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((96, 96)).save(file, "JPEG", quality=85)
    data = saved_anew(file.getvalue(), number)
    assert data != file.getvalue()
    with Image.open(BytesIO(data)) as again:
        assert again.format == ("PNG" if number == 1 else "JPEG")
        assert again.size == ((72, 72) if number == 2 else (96, 96))


def test_a_small_world_has_none_but_its_graphics():
    mentions = all_mentions(DemoConfig(entities=50, mentions=100, captions=100))
    assert not any(m.leak for drawn in mentions.values() for m in drawn)
