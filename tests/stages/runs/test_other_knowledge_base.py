"""The knowledge base changes, the heads stay: entities are added, renamed, removed, reordered."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import Linker, Mention
from stages.encode import feature_job
from stages.ranking.coded_index import CodedIndex
from tests.support.tiny_project import call, own_world, run

RAW = Path("data/tiny/raw")
Rows = list[dict]


def change(name: str, with_rows: Callable[[Rows], Rows]) -> None:
    file = RAW / f"{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in with_rows(rows)))


def other_entities(rows: Rows) -> Rows:
    """Four new ones in front, one with a picture that nothing had; of the others one that no
    mention means is removed, one renamed, and the rest is reversed."""
    own = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(own).save(RAW / "pictures/new.png")
    lines = (RAW / "mentions.jsonl").read_text().splitlines()
    answers = {json.loads(line)["answer"] for line in lines}
    unused = next(row["id"] for row in rows if row["id"] not in answers)
    kept = [row for row in rows if row["id"] != unused][::-1]
    kept[3]["name"] = "Somebody Else"
    new = [
        {"id": f"N{i}", "name": f"New {i}", "description": "of the market", "image": image}
        for i, image in enumerate(["pictures/e0.png", "pictures/m1.png", "", "pictures/new.png"])
    ]
    return new + kept


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world, every row encoded by itself so that its company moves no bit, with runs."""
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("kb") / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        params = Path("params.yaml").read_text()
        params = params.replace(
            "batch_texts: 8, batch_images: 8", "batch_texts: 1, batch_images: 1"
        )
        Path("params.yaml").write_text(params + "prepare: {source: jsonl}\n")
        change("mentions", lambda rows: [row for row in rows if row["answer"] != "E5"])
        run("prepare")
        run("extract", "--force")
        run("graph")
        for variant in ("melov", "filter", "mimic"):
            run("train", "--variant", variant, "--set", "train.epochs=1")
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    return root


def evaluated(variant: str) -> tuple[dict, dict[str, np.ndarray]]:
    run("evaluate", "--variant", variant)
    folder = Path(f"runs/tiny/{variant}-s0")
    with np.load(folder / "ranks.npz") as ranks:
        return json.loads((folder / "metrics.json").read_text()), dict(ranks)


def linked(variant: str) -> list[dict]:
    said = run("link", "--variant", variant, "--input", str(RAW / "mentions.jsonl"), "--top", "31")
    return [json.loads(line) for line in said.splitlines()]


def indexed(patch: pytest.MonkeyPatch) -> list[int]:
    """Rows that each index made which is opened from now on."""
    made: list[int] = []
    opened = CodedIndex.opened

    def count(*arguments):
        index = opened(*arguments)
        made.append(index.made)
        return index

    patch.setattr(CodedIndex, "opened", count)
    return made


@pytest.mark.parametrize("variant", ["melov", "filter", "mimic"])
def test_old_heads_rank_a_changed_knowledge_base_as_over_a_store_made_from_nothing(
    project: Path, variant: str, monkeypatch: pytest.MonkeyPatch
):
    encoded = {"texts": 0, "pictures": 0}
    texts, pictures = feature_job.encode_texts, feature_job.encode_pictures
    linked(variant)  # leaves an index

    def count_texts(encoder, ids, *rest):
        encoded["texts"] += len(ids)
        return texts(encoder, ids, *rest)

    def count_pictures(encoder, loaded, *rest):
        encoded["pictures"] += len(loaded)
        return pictures(encoder, loaded, *rest)

    change("entities", other_entities)
    run("prepare")
    with monkeypatch.context() as patch:
        patch.setattr(feature_job, "encode_texts", count_texts)
        patch.setattr(feature_job, "encode_pictures", count_pictures)
        run("extract")
    assert encoded == {"texts": 5, "pictures": 1}  # four new and one renamed; the others were there
    updated, ranks = evaluated(variant)
    with monkeypatch.context() as patch:
        made = indexed(patch)
        links = linked(variant)
    assert made == [5]
    shutil.rmtree("data/tiny/features.zarr")
    shutil.rmtree("indexes", ignore_errors=True)
    run("extract")
    fresh, fresh_ranks = evaluated(variant)
    assert linked(variant) == links
    for split, row in ranks.items():
        np.testing.assert_array_equal(row, fresh_ranks[split])
    assert updated["test"] == fresh["test"]
    assert updated["test"]["entities"] == 31
    ids = {entity["id"] for one in links for entity in one["entities"]}
    assert {"N0", "N1", "N2", "N3"} <= ids
    assert len(ids) == 31
    names = {e["id"]: e["name"] for one in links for e in one["entities"]}
    assert "Somebody Else" in names.values()


def test_the_same_knowledge_base_in_another_order_has_the_same_links(project: Path):
    before = [[(e["id"], e["score"]) for e in one["entities"]] for one in linked("melov")]
    change("entities", lambda rows: rows[::-1])
    run("prepare")
    run("extract")
    for one, other in zip(before, linked("melov"), strict=True):
        assert dict(one) == pytest.approx(
            {e["id"]: e["score"] for e in other["entities"]}, abs=1e-5
        )


def test_metrics_say_which_knowledge_base_they_are_of(project: Path):
    first, _ = evaluated("melov")
    change("entities", other_entities)
    run("prepare")
    run("extract")
    second, _ = evaluated("melov")
    assert first["made_from"]["run"] == second["made_from"]["run"]
    assert first["made_from"]["records"] != second["made_from"]["records"]
    config = json.loads(Path("runs/tiny/melov-s0/config.json").read_text())
    assert config["provenance"]["records"] == first["made_from"]["records"]


def test_training_mentions_that_the_store_has_lost_are_named(project: Path):
    change("mentions", lambda rows: [row for i, row in enumerate(rows) if i != 7])
    run("prepare")
    run("extract")
    result = call("evaluate", "--variant", "melov")
    assert result.exit_code == 1
    assert "has no features of 1 of the" in result.stderr
    assert "python -m pipeline.train --dataset tiny --variant melov --seed 0" in result.stderr
    run("evaluate", "--variant", "mimic")  # which reads none of them


def only_new_entities(_: Rows) -> Rows:
    said = {"description": "of the market", "image": "pictures/e0.png"}
    return [{"id": f"N{i}", "name": f"New {i}", **said} for i in range(5)]


def test_a_knowledge_base_that_lost_every_entity_of_training_is_linked_to_all_the_same(
    project: Path,
):
    before = [one["alpha"] for one in linked("melov")]
    assert len({alpha["aggregated"] for alpha in before}) > 1
    change("entities", only_new_entities)
    refused = call("prepare")
    assert refused.exit_code == 1
    assert "mentions.jsonl:1: answer 'E20' is no entity's id" in refused.stderr
    assert "--set prepare.missing_answer=drop" in refused.stderr

    run("prepare", "--set", "prepare.missing_answer=drop")
    run("extract")
    mention = ("--mention", "New 1", "--sentence", "New 1 at the market", "--json")
    refused = call("link", "--variant", "melov", *mention)
    assert refused.exit_code == 1
    assert "has no features of 46 of the 46 mentions" in refused.stderr
    assert "answered nil" in refused.stderr
    ids = {e["id"] for e in json.loads(run("link", "--variant", "mimic", *mention))["entities"]}
    assert ids == {f"N{i}" for i in range(5)}

    change("mentions", lambda rows: [{**row, "answer": "nil"} for row in rows])  # as advised
    run("prepare")
    run("extract")
    found = linked("melov")
    assert {entity["id"] for one in found for entity in one["entities"]} == ids
    assert [one["alpha"] for one in found] == before  # of training's mentions, which are there
    said = run("evaluate", "--variant", "melov")
    assert "validation has no mention with an entity" in said


def test_an_open_linker_keeps_its_entities_while_the_index_is_made_anew(project: Path):
    linked("melov")  # leaves an index
    mention = [Mention("Ada", "Ada at the river", image=RAW / "pictures" / "e0.png")]
    opened = Linker.load("runs/tiny/melov-s0")

    def links() -> list[dict]:
        return [one.to_dict() for one in opened.link(mention)]

    before = links()
    files = index_files()
    with reading(links) as found:
        change("entities", only_new_entities)
        change("mentions", lambda rows: [{**row, "answer": "nil"} for row in rows])
        run("prepare")
        run("extract")
        after = linked("melov")
    assert len(found) > 3
    assert all(one == before for one in found)
    assert {e["id"] for one in after for e in one["entities"]} == {f"N{i}" for i in range(5)}
    assert not files & index_files()
    assert links() == before


@contextmanager
def reading(read: Callable[[], Any]) -> Iterator[list[Any]]:
    """What `read` gives again and again in another thread, an error included."""
    found: list[Any] = []
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            try:
                found.append(read())
            except Exception as error:
                found.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def index_files() -> set[str]:
    return {str(path) for path in Path("indexes/tiny/melov-s0").rglob("*") if path.is_file()}


def test_another_encoder_is_refused_by_name(project: Path):
    result = call("extract", "--force", "--set", "extract.max_tokens=19")
    assert result.exit_code == 0, result.output
    result = call("evaluate", "--variant", "melov", "--set", "extract.max_tokens=19")
    assert result.exit_code == 1
    assert "trained over another encoder: max_tokens: stored 20, asked 19" in result.stderr
