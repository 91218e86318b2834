"""Nearness to the clean pictures, against the same by loops, and the command on a small demo."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from pipeline.nearness import main as nearness
from pipeline.train import main as train
from stages.config import DemoConfig, load_params
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records
from stages.datasets.store import open_store, provenance_of
from stages.demo.nearness.cosines import against_clean, another
from stages.demo.world.clean import clean_pictures
from stages.demo.world.generate import generate
from stages.encode.extract import extract
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.linking.encoding import open_mention_encoder
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from tests.support.tiny_world import tiny_world

DEMO = {"entities": 50, "mentions": 150, "captions": 100}


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths


def by_loops(features, clean, gold, kind):
    """Rows (cosine, nearer, nearer_of_kind), from the docstrings."""
    n, d = clean.shape
    mean = [sum(clean[:, k].tolist()) / n for k in range(d)]
    for i in range(n):
        f = [x - m for x, m in zip(features[i].tolist(), mean, strict=True)]
        all_cosines = [
            cosine(f, [x - m for x, m in zip(c.tolist(), mean, strict=True)]) for c in clean
        ]
        shares = []
        for same_kind in (False, True):
            others = [
                all_cosines[j]
                for j in range(n)
                if gold[j] != gold[i] and (not same_kind or kind[j] == kind[i])
            ]
            won = sum(1.0 if c < all_cosines[i] else 0.5 * (c == all_cosines[i]) for c in others)
            shares.append(won / len(others) if others else math.nan)
        yield all_cosines[i], *shares


def world(seed=0, n=30):
    rng = np.random.default_rng(seed)
    gold, kind = rng.integers(0, 12, n), rng.integers(0, 5, n).astype(str)
    kind[0] = "alone"
    clean = rng.normal(size=(n, 6)) + 4
    return clean + rng.normal(size=(n, 6)), clean, gold, kind


def test_cosines_and_shares_are_those_of_plain_loops():
    features, clean, gold, kind = world()
    near = against_clean(features, clean, gold, kind)
    expected = np.array(list(by_loops(features, clean, gold, kind)))
    np.testing.assert_allclose(near.cosine, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(near.nearer, expected[:, 1], rtol=1e-12)
    np.testing.assert_allclose(near.nearer_of_kind, expected[:, 2], rtol=1e-12)
    assert np.isnan(near.nearer_of_kind[0])


def test_what_all_pictures_share_counts_for_nothing():
    features, clean, gold, kind = world()
    near = against_clean(features, clean, gold, kind)
    shifted = against_clean(features + 50, clean + 50, gold, kind)
    np.testing.assert_allclose(shifted.cosine, near.cosine, atol=1e-10)
    same = against_clean(clean, clean, gold, kind)
    np.testing.assert_allclose(same.cosine, 1)
    assert same.nearer.min() == 1
    shared = against_clean(np.tile(clean.mean(0), (30, 1)), clean, gold, kind)
    np.testing.assert_allclose(shared.cosine, 0, atol=1e-12)
    assert shared.nearer.mean() == 0.5


def test_another_is_of_another_entity_and_where_asked_of_its_kind():
    _, clean, gold, kind = world()
    row_of = {tuple(c): row for row, c in enumerate(clean)}
    for same in (None, kind):
        found = another(clean, gold, 1, same)
        drawn = [row_of.get(tuple(f), -1) for f in found]
        for row, other in enumerate(drawn):
            if other < 0:
                assert same is not None
                assert not ((kind == kind[row]) & (gold != gold[row])).any()
            else:
                assert gold[other] != gold[row]
                assert same is None or kind[other] == kind[row]
        assert (drawn[0] < 0) == (same is not None)
        np.testing.assert_array_equal(another(clean, gold, 1, same), found)
        assert (another(clean, gold, 2, same) != found).any()
    near = against_clean(found, clean, gold, kind)  # of a mention that nothing was drawn for
    assert np.isnan([near.cosine[0], near.nearer[0], near.nearer_of_kind[0]]).all()
    assert not np.isnan(near.nearer[1:]).all()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A small demo, encoded by the tiny world's CLIP, with one trained run of each kind."""
    root = tmp_path_factory.mktemp("near")
    shutil.copytree(tiny_world(tmp_path_factory.getbasetemp()) / "clip", root / "clip")
    small = {"d_v": 8, "d_h": 8, "d_z": 4, "epochs": 1, "batch_size": 16, "tau_init": 0.2}
    said = {
        "demo": DEMO,
        "extract": {"text_encoder": "clip", "max_tokens": 20, "dtype": "float32"},
        "train": small,
    }
    (root / "params.yaml").write_text(yaml.safe_dump(said))
    with contextlib.chdir(root):
        paths = DatasetPaths("demo")
        generate(DemoConfig(**DEMO), paths.raw)
        params = load_params("params.yaml", "demo")
        read_mimic(paths.raw, "demo").save(paths.records)
        extract(paths, params.extract)
        store = open_store(paths)
        source = GraphSource.of(store)
        graph = build_graph(source.features, source.pictures, params.graph)
        graph.save(paths.graph, provenance_of(store))
        for variant in ("melov", "mimic", "bert"):
            run(train, "--variant", variant)
    return root


def run(command, *arguments):
    result = CliRunner().invoke(command, ["--dataset", "demo", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_the_command_finds_what_a_plain_route_through_the_linkers_encoder_finds(
    root, monkeypatch, tmp_path
):
    monkeypatch.chdir(root)
    shown = run(nearness).stdout
    found = json.loads(Path("runs/demo/melov-s0/nearness.json").read_text())
    assert (found["dataset"], found["variant"], found["seed"]) == ("demo", "melov", 0)

    paths, params = DatasetPaths("demo"), load_params("params.yaml", "demo")
    opened = Dataset.open(paths)
    opened_run = Run.open(RunFolder.of(paths, "melov", 0), torch.device("cpu"))
    model, data = opened_run.model, opened_run.data(opened)
    mentions, entity_kinds = [], []
    for i, picture in enumerate(clean_pictures(opened.records, "test", params.demo)):
        (tmp_path / f"{i}.jpg").write_bytes(picture.data)
        mentions.append(NewMention("x", "", tmp_path / f"{i}.jpg"))
        entity_kinds.append(picture.entity.kind.label)
    encoder = open_mention_encoder(opened.store, params.extract, Path(), True, (), "")
    encoded = torch.from_numpy(encoder(mentions).image_global).float()
    with torch.inference_mode():
        clean = model.w_v(encoded).numpy()
        batch = data.inputs.batch("test", np.arange(len(mentions)))
        (_, optimized), has = model.optimize(batch), batch.features.has_image.numpy()
        sources = {
            "original": model.w_v(batch.features.image_global),
            "generated": model.vae_global(batch.features.text_global).v,
            "fused": optimized.fused,
            "aggregated": optimized.sources["aggregated"],
        }
        parts = torch.stack([sources[name] for name in ("original", "generated", "aggregated")], 1)
        fused = (optimized.alpha[..., None] * parts).sum(1)  # so `aggregated` is what is fused
        torch.testing.assert_close(fused, sources["fused"])
    kinds = np.array(opened.records.mentions["test"]["image_kind"].to_pylist())
    gold = opened.records.gold("test")
    for name, values in sources.items():
        plain = np.array(list(by_loops(values.numpy(), clean, gold, entity_kinds)))
        for kind in ("all", "good", "low_quality", "missing"):
            rows = (kinds == kind) | (kind == "all")
            counted = rows & has if name == "original" else rows
            cell = found["kinds"][kind]["features"][name]
            assert found["kinds"][kind]["mentions"] == rows.sum()
            assert cell["mentions"] == counted.sum()
            if counted.any():
                expected = np.nanmean(plain[counted], 0)
                got = [cell["cosine"], cell["nearer"], cell["nearer_of_kind"]]
                np.testing.assert_allclose(got, expected, atol=1e-4)
    weights = optimized.alpha.numpy()[kinds == "missing"].mean(0)
    of_missing = found["kinds"]["missing"]
    assert list(of_missing["weights"]) == ["original", "generated", "aggregated"]
    np.testing.assert_allclose(list(of_missing["weights"].values()), weights, atol=1e-6)

    assert of_missing["weights"]["original"] == 0
    assert of_missing["features"]["original"] == {
        "mentions": 0, "cosine": None, "nearer": None, "nearer_of_kind": None,
    }  # fmt: skip
    table = shown.splitlines()
    assert "original" in table[1]
    missing = next(line.split() for line in table if line.startswith("missing"))
    assert len(missing) == len(table[1].split()) - 1  # the empty cell
    assert missing[2] == f"{of_missing['features']['generated']['cosine']:.3f}"


def test_a_run_that_repairs_nothing_has_its_original_alone(root, monkeypatch):
    monkeypatch.chdir(root)
    run(nearness, "--variant", "mimic")
    found = json.loads(Path("runs/demo/mimic-s0/nearness.json").read_text())
    assert list(found["kinds"]["good"]["features"]) == ["original", "another", "another_of_kind"]
    assert found["kinds"]["good"]["weights"] == {}


def test_a_run_without_such_features_is_refused(root, monkeypatch):
    monkeypatch.chdir(root)
    result = CliRunner().invoke(nearness, ["--dataset", "demo", "--variant", "bert"])
    assert result.exit_code == 1
    assert "bert-s0: has no picture features" in result.output


def test_another_data_set_than_the_demo_is_refused(tmp_path_factory):
    with contextlib.chdir(tiny_world(tmp_path_factory.getbasetemp())):
        result = CliRunner().invoke(nearness, ["--dataset", "tiny"])
        assert Records.load(DatasetPaths("tiny").records).dataset == "tiny"
    assert result.exit_code == 1
    assert "data set 'tiny': mention" in result.output
    assert "known for the demo alone" in result.output
