"""The words of the embedded data set: a file of data, checked, whose order the draws depend on."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from stages.config import DemoConfig
from stages.demo.world.generate import generate
from stages.demo.world.looks import Look
from stages.demo.world.occasions import all_occasions
from stages.demo.world.pictures import crowd, portrait
from stages.demo.world.words import FILE, WORDS, read_words
from stages.section import ConfigError
from tests.support.demo_texts import TEXTS, digest_of_linked


def test_the_texts_are_those_that_the_published_results_of_the_demo_come_from(tmp_path):
    generate(DemoConfig(entities=50, mentions=100, captions=100), tmp_path)
    assert digest_of_linked(tmp_path, 100) == TEXTS


def test_every_kind_pattern_emblem_and_city_can_be_drawn():
    worn = [
        Look("red", "white", pattern, emblem, "golden")
        for pattern, emblem in product(WORDS.looks.patterns, WORDS.looks.emblems)
    ]
    drawn = {portrait(WORDS.kinds[0], look, Random(0)).tobytes() for look in worn}
    assert len(drawn) == len(worn) == 32
    drawn = {portrait(kind, worn[0], Random(0)).tobytes() for kind in WORDS.kinds}
    assert len(drawn) == len(WORDS.kinds) == 12
    for occasion in all_occasions(Random(0)):
        assert crowd(occasion, Random(0)).size == (96, 96)


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (("kinds", 3, "acts"), "act", r"words\.yaml: kinds\.3\.act: unknown key.*'acts'"),
        (("kinds", 3, "acts"), None, r"words\.yaml: kinds\.3\.acts: Field required"),
        (("names", "given"), "givne", r"names\.givne: unknown key; did you mean 'given'"),
        (("cards",), None, r"cards: Field required"),
    ],
)
def test_an_unknown_or_a_missing_key_is_named(tmp_path, place, new, said):
    words = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    at: Any = words
    for part in place[:-1]:
        at = at[part]
    held = at.pop(place[-1])
    if new is not None:
        at[new] = held
    with pytest.raises(ConfigError, match=said):
        read_words(written(tmp_path, words))


def test_an_empty_list_is_refused_before_a_draw_meets_it(tmp_path):
    words = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    words["sentences"]["openers"] = []
    with pytest.raises(ConfigError, match=r"sentences\.openers"):
        read_words(written(tmp_path, words))


def written(folder: Path, words: dict[str, Any]) -> Path:
    path = folder / "words.yaml"
    path.write_text(yaml.safe_dump(words, allow_unicode=True), encoding="utf-8")
    return path
