"""The embedded data set: reproducible, well-formed, and with the quirks of the MIMIC release."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from urllib.parse import unquote

import pytest
from PIL import Image

from cache.files import replacing_folder
from stages.config import DemoConfig
from stages.demo.world.generate import generate
from stages.demo.world.leaks import all_mentions
from stages.demo.world.mentions import IMAGE_KINDS
from stages.demo.world.names import surfaces
from stages.demo.world.words import WORDS
from stages.demo.world.world import build_world, draw_golds

TINY = DemoConfig(entities=50, mentions=100, captions=100)
SMALL = DemoConfig(entities=200, mentions=600, captions=100, seed=3)
SPLITS = ("train", "dev", "test")


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "raw"
    generate(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def mentions(raw: Path) -> dict[str, list[dict[str, str]]]:
    return {s: json.loads((raw / f"DEMO_{s}.json").read_text(encoding="utf-8")) for s in SPLITS}


@pytest.fixture(scope="module")
def entities(raw: Path) -> list[dict]:
    return json.loads((raw / "kb_entity.json").read_text(encoding="utf-8"))


def disk_name(image_path: str) -> str:
    return image_path.rpartition("/")[2].partition(".")[0] + ".jpg"


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    generate(TINY, tmp_path / "a")
    generate(TINY, tmp_path / "b")
    generate(TINY.model_copy(update={"seed": 1}), tmp_path / "c")
    first, second, other = (digest(tmp_path / name) for name in "abc")
    assert first == second
    # The same bytes in both seeds: the empty file, and nothing else.
    shared = set(first.values()) & set(other.values())
    assert shared == {hashlib.sha256(b"").hexdigest()}


def test_counts_and_splits_are_as_configured(mentions, entities):
    assert len(entities) == 200
    assert {s: len(rows) for s, rows in mentions.items()} == {"train": 420, "dev": 66, "test": 132}


def test_a_tenth_of_dev_and_test_means_what_the_knowledge_base_lacks(mentions, entities):
    titles = {unquote(entity["entity_name"]) for entity in entities}
    world = build_world(SMALL.entities, SMALL.seed)
    surfaces_there = {entity.surface for entity in world.entities}
    namesakes = 0
    for split in ("dev", "test"):
        nil = [m for m in mentions[split] if m["answer"] == "nil"]
        assert len(nil) / len(mentions[split]) == pytest.approx(0.1, abs=0.01)
        assert {m["entities"] for m in nil} == {""}
        assert len({m["image_kind"] for m in nil}) > 1
        namesakes += sum(unquote(m["mentions"]) in surfaces_there for m in nil)
    assert 3 <= namesakes <= 15  # of 20: some have the names of others, some have their own
    drawn = all_mentions(SMALL)
    absent = [m.entity for s in ("dev", "test") for m in drawn[s] if m.entity.is_absent]
    assert len(absent) == 6 + 12
    assert not {entity.title for entity in absent} & titles


def test_sentences_of_two_splits_never_share_a_mention(mentions):
    pictures = [{disk_name(m["imgPath"]) for m in mentions[s] if m["imgPath"]} for s in SPLITS]
    assert all(pictures)
    assert not pictures[0] & pictures[1]
    assert not (pictures[0] | pictures[1]) & pictures[2]


def test_ids_are_the_rows_and_every_answer_is_in_the_knowledge_base(raw, mentions, entities):
    qids = json.loads((raw / "qid2id.json").read_text(encoding="utf-8"))
    assert [e["id"] for e in entities] == list(range(200)) == sorted(qids.values())
    titles = {e["id"]: unquote(e["entity_name"]) for e in entities}
    for rows in mentions.values():
        for mention in rows:
            if mention["answer"] != "nil":
                assert titles[qids[mention["answer"]]] == mention["entities"]


def test_a_fifth_of_dev_and_test_golds_never_occur_in_training():
    golds = draw_golds(build_world(1500, 0).entities, 4000, 0)
    seen = {entity.row for entity in golds["train"]}
    for split in ("dev", "test"):
        unseen = sum(entity.row not in seen for entity in golds[split])
        assert unseen == len(golds[split]) // 5


def test_titles_are_unique_and_names_are_shared_within_and_across_kinds():
    world = build_world(1500, 0)
    assert len({entity.title for entity in world.entities}) == 1500
    groups = defaultdict(list)
    for entity in world.entities:
        groups[entity.surface].append(entity)
    complete = list(groups.values())[:-1]  # the last group is cut off at 1,500
    assert {len(group) for group in complete} <= set(range(6, 11))
    for group in complete:
        per_kind = Counter(entity.kind.label for entity in group)
        assert 2 <= len(per_kind) <= 4
        assert set(per_kind.values()) <= {2, 3}


def test_looks_are_shared_over_the_base_but_tell_entities_of_one_name_and_kind_apart():
    world = build_world(1500, 0)
    assert 150 <= len({entity.look for entity in world.entities}) <= 250
    rivals = defaultdict(list)
    for entity in world.entities:
        rivals[entity.surface, entity.kind.label].append(entity.look)
    groups = [looks for looks in rivals.values() if len(looks) > 1]
    distinct = sum(len(set(looks)) == len(looks) for looks in groups)
    assert distinct > 0.95 * len(groups)


def test_attributes_tell_the_kind_and_never_the_look_nor_an_occasion(entities):
    world = build_world(SMALL.entities, SMALL.seed)
    colours = {
        *WORDS.looks.main_colours,
        *WORDS.looks.second_colours,
        *WORDS.looks.emblem_colours,
    } - {"silver"}
    for entity, record in zip(world.entities, entities, strict=True):
        assert record["attr"].startswith(f"{entity.kind.label};")
        words = set(record["attr"].lower().replace(";", " ").split())
        assert not words & colours
        assert not any(occasion.phrase in record["attr"] for occasion in world.occasions)


def test_sentences_hold_the_mention_and_often_an_occasion_and_seldom_the_kinds_label(mentions):
    world = build_world(SMALL.entities, SMALL.seed)
    by_title = {entity.title: entity for entity in world.entities}
    rows = [m for m in mentions["train"] if m["answer"] != "nil"]
    assert all(unquote(m["mentions"]).lower() in m["sentence"].lower() for m in rows)
    lengths = [len(m["sentence"].split()) for m in rows]
    assert min(lengths) >= 5
    assert 9 <= sum(lengths) / len(lengths) <= 25
    named = sum(
        any(o.phrase in m["sentence"] for o in by_title[m["entities"]].occasions) for m in rows
    )
    assert 0.6 < named / len(rows) < 0.8
    labelled = sum(by_title[m["entities"]].kind.label in m["sentence"].split() for m in rows)
    assert labelled < 0.05 * len(rows)


def test_every_image_kind_occurs_in_its_share(mentions):
    kinds = Counter(m["image_kind"] for rows in mentions.values() for m in rows)
    assert set(kinds) == set(IMAGE_KINDS)
    for kind, share in IMAGE_KINDS.items():
        assert kinds[kind] / 618 == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("config", [TINY, SMALL], ids=["tiny", "small"])
def test_every_quirk_of_the_release_is_present(config, tmp_path):
    generate(config, tmp_path)
    rows = [m for s in SPLITS for m in json.loads((tmp_path / f"DEMO_{s}.json").read_text("utf-8"))]
    base = json.loads((tmp_path / "kb_entity.json").read_text("utf-8"))
    assert any("%" in m["mentions"] for m in rows)
    assert any("%" in e["entity_name"] for e in base)
    scripts = [unquote(e["entity_name"]) for e in base]
    assert any(ord(letter) > 0x370 for name in scripts for letter in name)
    assert any(m["answer"] == "nil" for m in rows)
    assert any(m["imgPath"] == "" for m in rows)
    assert {m["imgPath"].rpartition(".")[2] for m in rows} >= {"png", "svg", "jpg"}
    assert any("/" in m["imgPath"] for m in rows)
    assert any(m["imgPath"].rpartition("/")[2].count(".") > 1 for m in rows)
    assert any(not e["image_list"] for e in base)
    assert any(len(e["image_list"]) == 2 for e in base)

    folder = tmp_path / "mention_image"
    placed = [(m, folder / disk_name(m["imgPath"])) for m in rows if m["imgPath"]]
    missing = [m for m, path in placed if not path.exists()]
    assert missing
    assert all(m["image_kind"] == "missing" for m in missing)
    broken = []
    for mention, path in placed:
        if path.exists():
            try:
                with Image.open(path) as picture:
                    picture.load()
                    assert picture.size == (96, 96)
            except OSError:
                broken.append(mention)
    assert [m["image_kind"] for m in broken] == ["missing"]  # the truncated one
    kb_pictures = [tmp_path / "kb_image" / name for e in base for name in e["image_list"]]
    assert all(path.exists() for path in kb_pictures)
    assert sum(path.stat().st_size == 0 for path in kb_pictures) == 1


def test_low_value_graphics_are_reused_under_several_names(raw, mentions):
    shown = Counter(
        (raw / "mention_image" / disk_name(m["imgPath"])).read_bytes()
        for m in mentions["train"]
        if m["image_kind"] == "low_value" and m["imgPath"]
    )
    assert max(shown.values()) > 1


def test_no_caption_picture_is_an_entitys_or_a_mentions(raw):
    prints = {
        name: {hashlib.sha256(p.read_bytes()).digest() for p in (raw / name).iterdir()}
        for name in ("caption_image", "kb_image", "mention_image")
    }
    assert len(prints["caption_image"]) == SMALL.captions
    assert not prints["caption_image"] & (prints["kb_image"] | prints["mention_image"])


def test_surface_names_never_run_out_nor_repeat():
    names = surfaces(Random(0))
    drawn = [next(names) for _ in range(2000)]
    assert len(set(drawn)) == 2000


def test_a_failure_leaves_the_old_folder_and_no_scraps(tmp_path):
    path = tmp_path / "raw"
    with replacing_folder(path) as folder:
        (folder / "old").touch()

    def fail() -> None:
        with replacing_folder(path) as folder:
            (folder / "new").touch()
            raise RuntimeError("no space")

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.rglob("*")] == ["raw", "old"]
    with replacing_folder(path) as folder:
        (folder / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["raw", "new"]
