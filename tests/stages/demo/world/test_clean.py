"""The clean pictures of the demo's mentions, matched with records that lack the nil mentions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from cache.errors import MelovError
from stages.config import DemoConfig
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records
from stages.demo.world.clean import clean_pictures
from stages.demo.world.generate import generate
from stages.demo.world.mentions import draw_mentions
from stages.demo.world.pictures import as_jpeg, snapshot, spoilt
from stages.demo.world.world import build_world, draw_golds
from tests.support.demo_texts import TEXTS, digest_of_linked

TINY = DemoConfig(entities=50, mentions=100, captions=100)
FILE_OF = {"train": "train", "valid": "dev", "test": "test"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "raw"
    generate(TINY, folder)
    return folder


@pytest.fixture(scope="module")
def records(raw: Path) -> Records:
    return read_mimic(raw, "demo")


def test_the_generator_writes_what_it_wrote_before_its_draws_had_a_module(raw):
    assert digest_of_linked(raw, 100) == TEXTS
    # Mean colours and not bytes: those are also Pillow's.
    for row, colour in {
        4: (132, 156, 189),  # low_relevance
        5: (101, 121, 91),  # good
        6: (233, 202, 62),  # low_value
        8: (12, 11, 9),  # low_quality
        9: (106, 163, 82),
        26: (106, 140, 132),
    }.items():
        with Image.open(raw / "mention_image" / f"train{row:05d}.jpg") as picture:
            assert ImageStat.Stat(picture).mean == pytest.approx(colour, abs=2)


@pytest.mark.parametrize("split", FILE_OF)
def test_each_record_gets_a_picture_of_its_own_entity_over_the_gaps_of_nil_mentions(
    records, raw, split
):
    rows = records.mentions[split].to_pylist()
    source = json.loads((raw / f"DEMO_{FILE_OF[split]}.json").read_text(encoding="utf-8"))
    kept = [mention for mention in source if mention["answer"] != "nil"]
    assert len(kept) < len(source)
    pictures = list(clean_pictures(records, split, TINY))
    assert [p.entity.qid for p in pictures] == [m["answer"] for m in kept]
    assert [p.entity.row for p in pictures] == [row["gold"] for row in rows]
    assert [p.entity.title for p in pictures] == [m["entities"] for m in kept]


def test_a_spoilt_picture_is_its_clean_one_spoilt_to_the_byte(records, raw):
    golds = draw_golds(build_world(50, 0).entities, 100, 0)
    of_id = {f"train-{m.number}": m for m in draw_mentions(golds, TINY)["train"]}
    rows, files = records.mentions["train"].to_pylist(), records.pictures["path"].to_pylist()
    met = 0
    for row, clean in zip(rows, clean_pictures(records, "train", TINY), strict=True):
        if row["image_kind"] == "low_quality":
            drawn = of_id[row["id"]]
            image = snapshot(drawn.entity.kind, drawn.look, drawn.random)
            assert as_jpeg(image) == clean.data
            assert (
                as_jpeg(spoilt(image, drawn.random)) == (raw / files[row["picture"]]).read_bytes()
            )
            met += 1
    assert met > 3


def test_other_kinds_get_a_new_picture_and_always_the_same(records, raw):
    pictures = [p.data for p in clean_pictures(records, "train", TINY)]
    assert len(set(pictures)) == len(pictures)
    written = {path.read_bytes() for path in (raw / "mention_image").iterdir()}
    assert not written & set(pictures)
    assert pictures == [p.data for p in clean_pictures(records, "train", TINY)]


@pytest.mark.parametrize("other", [{"seed": 1}, {"mentions": 120}, {"entities": 60}])
def test_records_of_another_demo_are_refused_before_a_picture_is_drawn(records, other):
    with pytest.raises(MelovError, match=r"data set 'demo': mention test-\d+ is not the embedded"):
        clean_pictures(records, "test", TINY.model_copy(update=other))
