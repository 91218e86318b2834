"""Heads link to entities that they were not trained with."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cache.errors import MelovError
from pipeline import Linker
from pipeline.extract import main as extract
from pipeline.prepare import main as prepare
from stages.config import load_params
from stages.datasets.records import Records
from stages.linking import linker as core
from stages.linking.mention import NewMention
from stages.linking.transfer import accuracy, mentions_of
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from stages.runs.evaluation import evaluate
from stages.runs.folder import RunFolder
from stages.runs.run import Run

RUNS = [("melov", 0), ("filter", 0), ("mimic", 1)]


def call(main, *arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="session")
def other(trained, tmp_path_factory) -> DatasetPaths:
    """Another project with the tiny world's encoder: half of its entities, backwards, one of them
    new; and its test mentions that mean one of them."""
    root = tmp_path_factory.mktemp("other")
    here = trained / "data/tiny/raw"
    raw = root / "data/other/raw"
    raw.mkdir(parents=True)
    (raw / "pictures").symlink_to(here / "pictures")
    entities = [json.loads(line) for line in (here / "entities.jsonl").read_text().splitlines()]
    kept = [{"id": "NEW", "name": "Zoe Zed", "description": "of the tower"}, *entities[:16]][::-1]
    ids = {said["id"] for said in kept}
    mentions = [json.loads(line) for line in (here / "mentions.jsonl").read_text().splitlines()]
    mentions = [m for m in mentions if m["answer"] in ids and m["split"] == "test"]
    for name, rows in (("entities", kept), ("mentions", mentions)):
        (raw / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (trained / "params.yaml").read_text()
    text = text.replace("text_encoder: clip", f"text_encoder: {trained / 'clip'}")
    (root / "params.yaml").write_text(text)
    with contextlib.chdir(root):
        call(prepare, "--dataset", "other", "--source", "jsonl")
        call(extract, "--dataset", "other")
    return DatasetPaths("other", root)


@pytest.fixture
def elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return root


def asked(other: DatasetPaths) -> list[NewMention]:
    return mentions_of(Records.load(other.records), "test", other.root)


def opened(root: Path, variant: str, seed: int) -> core.Linker:
    return Linker.load(root / f"runs/tiny/{variant}-s{seed}", index=False)._inner


@pytest.mark.parametrize("index", [True, False])
def test_an_entity_scores_the_same_in_whatever_company(elsewhere, other, index):
    linker = opened(elsewhere, "melov", 0)
    before = list(linker.link(asked(other), top=28))
    after = linker.with_entities(other.path, index)
    assert sorted(after.names.entity_ids) == sorted([*(f"E{i}" for i in range(16)), "NEW"])
    for old, new in zip(before, after.link(asked(other), top=28), strict=True):
        scores = {entity.id: entity.score for entity in old.entities}
        assert len(new.entities) == 17
        for entity in new.entities:
            if entity.id != "NEW":
                assert entity.score == pytest.approx(scores[entity.id], abs=1e-3)
        assert new.neighbours == old.neighbours
        assert new.entities == sorted(new.entities, key=lambda e: -e.score)
    assert list(linker.link(asked(other), top=28)) == before  # the first one is as it was
    shutil.rmtree(other.root / "indexes", ignore_errors=True)


def test_names_are_compared_as_the_new_entities_have_them(elsewhere, other):
    linker = opened(elsewhere, "mimic", 1).with_entities(other.path / "features.zarr", False)
    (found,) = linker.link([NewMention("Zoe Zed")], top=3)
    assert found.entities[0].id == "NEW"
    (old,) = opened(elsewhere, "mimic", 1).link([NewMention("Zoe Zed")], top=3)
    assert old.entities[0].units["lexical"] < found.entities[0].units["lexical"]


def test_another_encoder_is_refused_by_name_of_what_differs(elsewhere, other, tmp_path):
    linker = Linker.load(elsewhere / "runs/tiny/melov-s0", index=False)
    copy = tmp_path / "data/other"
    shutil.copytree(other.path, copy, ignore=shutil.ignore_patterns("features.zarr"))
    (tmp_path / "params.yaml").write_text((other.root / "params.yaml").read_text())
    call(extract, "--dataset", "other", "--set", "extract.max_tokens=9")
    with pytest.raises(MelovError, match="max_tokens: stored 20, asked 9") as found:
        linker.with_entities(copy)
    assert "extract.text_encoder" in str(found.value)
    for wrong in (tmp_path, tmp_path / "data", tmp_path / "data/nothing"):
        with pytest.raises(MelovError, match="no data set of a project"):
            linker.with_entities(wrong)


@pytest.mark.parametrize(("variant", "seed"), RUNS)
def test_accuracy_on_its_own_entities_is_what_evaluate_finds(elsewhere, variant, seed):
    paths = DatasetPaths("tiny", elsewhere)
    linker = opened(elsewhere, variant, seed)
    found = accuracy(linker, paths)
    run = Run.open(RunFolder.of(paths, variant, seed), linker.run.device)
    with contextlib.chdir(elsewhere):
        params = load_params("params.yaml", "tiny")
        data = run.data(Dataset.open(DatasetPaths("tiny")))
        want, _ = evaluate(
            run.model, data, Records.load(Path("data/tiny/records")), params.evaluate
        )
    assert (found["mentions"], found["entities"]) == (24, 28)
    for key in ("hits@1", "hits@3", "hits@5"):
        assert found[key] == pytest.approx(want["test"][key], abs=1.01 / 24)  # near ties may swap
    assert found["mrr"] == pytest.approx(want["test"]["mrr"], abs=0.02)


def test_an_entity_that_is_not_found_counts_nothing(elsewhere, other, monkeypatch):
    linker = opened(elsewhere, "melov", 0).with_entities(other.path, False)
    monkeypatch.setattr("stages.linking.transfer.MOST", 1)
    found = accuracy(linker, other)
    assert found["hits@1"] == found["hits@5"] == found["mrr"]
    assert found["mentions"] == len(asked(other)) > 3
    assert np.isfinite(list(found.values())).all()
