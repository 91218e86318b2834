"""Entities with several names and a prior, from their file to a mention's score."""

import json
import math

import numpy as np
import pytest
from safetensors.torch import load_file

from cache.reader import FeatureStore
from pipeline import Linker, Mention
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.encode.record_arrays.lexical import Lexical
from stages.encode.record_arrays.words import NameWords
from tests.support.tiny_project import run

LEXICAL = ["--set", "train.units=[text,lexical]", "--set", "train.contained_scale=3"]


def rewrite(project, change) -> list[dict]:
    """The raw entities, each passed through `change(number, entity)`."""
    file = project / "data/tiny/raw/entities.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [row | change(i, row) for i, row in enumerate(rows)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def named(i: int, entity: dict) -> dict:
    aliases = {0: ["Countess of Lovelace", "ada a", " "], 3: ["Zed"], 9: ["Zed", "Mr. Nine"]}
    return {"aliases": aliases.get(i, [])}


def counted(i: int, entity: dict) -> dict:
    return {"prior": [0, 5, 90][i % 3]}


def test_the_best_name_and_the_prior_count_from_the_file_to_the_link(project):
    before = Records.load(project / "data/tiny/records").digest
    rows = rewrite(project, lambda i, e: named(i, e) | counted(i, e))
    said = run("prepare")
    assert "alias-repeated" in said
    assert "alias-blank" in said
    report = run("validate", "--no-pictures")
    assert "with aliases               3" in report
    assert "prior                  count" in report
    records = Records.load(project / "data/tiny/records")
    assert records.digest != before
    names = [[row["name"], *kept] for row, kept in
             zip(rows, records.entities["aliases"].to_pylist(), strict=True)]  # fmt: skip
    assert names[0] == ["Ada A", "Countess of Lovelace"]
    run("extract")
    run("graph")
    run("train", *LEXICAL)
    run("evaluate", *LEXICAL)

    mention = Mention("Zed", "Zed and the countess of Lovelace met Mr. Nine.")
    (found,) = Linker.load("runs/tiny/melov-s0").link([mention], top=28)
    (again,) = Linker.load("runs/tiny/melov-s0").link([mention], top=28)  # out of the index
    linker = Linker.load("runs/tiny/melov-s0", index=False)
    (plain,) = linker.link([mention], top=28)
    assert found == again
    scores = {entity.id: entity.score for entity in plain.entities}
    assert {e.id: pytest.approx(e.score, rel=1e-5) for e in found.entities} == scores

    every = [name for own in names for name in own]
    lexical, words = Lexical.fit(every, ExtractConfig()), NameWords.fit(every, ExtractConfig())
    cosine = lexical.of_mentions([mention.text], []) @ lexical.of_entities(every, []).T
    share = words.of_mentions([], [mention.sentence]) @ words.of_entities(every, []).T
    weights = load_file(project / "runs/tiny/melov-s0/model.safetensors")
    s, c, w = (float(weights[f"matcher.units.lexical.{name}"]) for name in ("s", "c", "w_p"))
    counts = [[0, 5, 90][i % 3] for i in range(28)]
    place = {row["id"]: i for i, row in enumerate(rows)}
    offsets = np.cumsum([0, *map(len, names)])
    assert len(found.entities) == 28
    for entity in found.entities:
        i = place[entity.id]
        own = slice(offsets[i], offsets[i + 1])
        prior = math.log((counts[i] + 1) / (sum(counts) + 28))
        want = math.exp(s) * cosine.toarray()[0, own].max()
        want += math.exp(c) * share.toarray()[0, own].max() + w * prior
        assert entity.units["lexical"] == pytest.approx(want, rel=1e-4)
    best = sorted(found.entities, key=lambda entity: -entity.units["lexical"])
    assert {entity.id for entity in best[:2]} == {"E3", "E9"}
    assert [entity.id for entity in linker.entities.search("zed")] == ["E3", "E9"]
    assert linker.entities["E9"].aliases == ("Zed", "Mr. Nine")
    assert [entity.id for entity in linker.entities.search("lovelace")] == ["E0"]

    run("bundle", "--output", "named")
    bundle = Linker.from_pretrained("named")
    assert list(bundle.entities) == list(linker.entities)
    (carried,) = bundle.link([mention], top=28)
    assert {e.id: pytest.approx(e.score, abs=1e-5) for e in carried.entities} == scores
    assert carried.calibration == plain.calibration
    assert carried.entities[0].probability == pytest.approx(plain.entities[0].probability)


def test_a_run_without_priors_stays_as_it_is_and_one_with_ranks_a_base_without(project, caplog):
    rewrite(project, counted)
    for step in ("prepare", "extract", "graph"):
        run(step)
    run("train", *LEXICAL)
    off = ["--seed", "1", *LEXICAL, "--set", "train.prior_weight=0"]
    run("train", *off)
    states = [load_file(project / f"runs/tiny/melov-s{seed}/model.safetensors") for seed in (0, 1)]
    assert states[0].keys() - states[1].keys() == {"matcher.units.lexical.w_p"}
    store = FeatureStore.open(project / "data/tiny/features.zarr")
    assert store["prior/entities"].shape == (28, 1)
    with_prior = run("link", "--mention", "Ada", "--json", "--no-index")

    rewrite(project, lambda i, entity: {"prior": None})
    for step in ("prepare", "extract"):
        run(step)
    assert "prior/entities" not in FeatureStore.open(project / "data/tiny/features.zarr")
    with caplog.at_level("INFO"):
        without = run("link", "--mention", "Ada", "--json", "--no-index")
    assert "says no priors, which the heads weigh" in caplog.text
    w = float(states[0]["matcher.units.lexical.w_p"])
    total = sum(counted(i, {})["prior"] for i in range(28)) + 28
    said = {e["id"]: e["units"]["lexical"] for e in json.loads(without)["entities"]}
    for entity in json.loads(with_prior)["entities"]:
        if entity["id"] in said:
            prior = math.log((counted(int(entity["id"][1:]), {})["prior"] + 1) / total)
            moved = w * (prior + math.log(28))
            other = said[entity["id"]] + moved
            assert entity["units"]["lexical"] == pytest.approx(other, rel=1e-4)
