from pathlib import Path

import numpy as np
import pytest
import torch

from cache.errors import DamagedError, MelovError
from stages.config import EvaluateConfig, ReportConfig
from stages.datasets.records import Records
from stages.paths import DatasetPaths
from stages.report.explain import TOP, Explainer
from stages.report.fusion import fusion_facts
from stages.report.report import report_folder, write_report
from stages.runs.run import Run
from tests.support.ranked_world import SEED
from tests.support.resealed import reseal

ROWS = list(range(24))


@pytest.fixture
def paths(world: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
    monkeypatch.chdir(world)
    return DatasetPaths("tiny")


@pytest.fixture
def explainer(paths: DatasetPaths) -> Explainer:
    return Explainer(paths, EvaluateConfig(mention_rows=7, entity_rows=5))


@pytest.mark.parametrize("variant", ["melov", "mimic"])
def test_the_gold_stands_where_the_evaluation_ranked_it(explainer, paths, variant):
    ranks = np.load(paths.run(variant, SEED) / "ranks.npz")["test"]
    inside = 0
    for rank, found in zip(ranks, explainer.explain(variant, SEED, ROWS), strict=True):
        assert [c.score for c in found.top] == sorted((c.score for c in found.top), reverse=True)
        at = [c.entity for c in found.top]
        assert len(at) == TOP
        assert (found.gold.entity in at) == (rank <= TOP)
        if found.gold.entity in at:
            inside += 1
            assert at.index(found.gold.entity) + 1 == rank
            same = found.top[at.index(found.gold.entity)]
            assert found.gold.units == pytest.approx(same.units, abs=1e-4)
    assert 0 < inside < len(ROWS)


def test_a_score_is_the_mean_of_its_units(explainer):
    for found in explainer.explain("melov", SEED, ROWS[:4]):
        for candidate in (*found.top, found.gold):
            assert set(candidate.units) == {"text", "vision", "cross"}
            assert candidate.score == pytest.approx(np.mean([*candidate.units.values()]), abs=1e-4)


def test_neighbours_are_the_nearest_training_mentions_and_tau_decides_which_are_read(explainer):
    run, data = explainer._run("melov", SEED)
    model = run.model
    with torch.no_grad():  # so high that it cuts some of the stored edges
        model.threshold.theta.fill_(1.0)
    tau = model.threshold.tau.item()
    explained = explainer.explain("melov", SEED, ROWS)
    read = []
    for row, found in zip(ROWS, explained, strict=True):
        graph = data.inputs.graphs["test"]
        dense = graph.adjacency[[graph.first + row]].toarray()[0, : graph.first]
        near = found.neighbors
        assert {n.row: n.weight for n in near} == {j: dense[j] for j in np.flatnonzero(dense)}
        assert [n.weight for n in near] == sorted((n.weight for n in near), reverse=True)
        assert {n.row for n in near if n.read} == set(np.flatnonzero(dense > tau).tolist())
        read += [n.read for n in near]
    assert any(read)
    assert not all(read)


def test_fusion_weights_are_those_of_the_cases_and_sum_to_one(explainer):
    weights = explainer.fusion("melov", SEED)
    for row, found in zip(ROWS, explainer.explain("melov", SEED, ROWS), strict=True):
        own = {source: float(values[row]) for source, values in weights.items()}
        assert found.alpha == pytest.approx(own, abs=1e-5)
        assert sum(own.values()) == pytest.approx(1)


def test_a_variant_without_repair_has_no_weights_and_no_neighbours(explainer):
    assert explainer.fusion("mimic", SEED) is None
    found = explainer.explain("mimic", SEED, [3])[0]
    assert (found.alpha, found.neighbors) == (None, [])
    assert explainer.explain("mimic", SEED, []) == []


def test_weights_by_kind_are_means_by_hand(paths):
    records = Records.load(paths.records)  # of unknown kinds
    has = records.mentions["test"]["picture"].to_numpy() >= 0
    values = np.linspace(0, 1, len(has))
    facts = fusion_facts("melov", {"original": values, "generated": 1 - values}, records)
    assert [(kind, n) for kind, n, _ in facts.rows] == [
        ("all", len(has)),
        ("with a picture", int(has.sum())),
        ("without a picture", int((~has).sum())),
    ]
    assert facts.rows[1][2] == pytest.approx([values[has].mean(), 1 - values[has].mean()])


def test_the_page_shows_scores_weights_and_neighbours(paths):
    write_report(paths, ("melov", "mimic"), (SEED,), ReportConfig(cases=9))
    text = (report_folder(paths) / "report.html").read_text(encoding="utf-8")
    assert "Scores of melov" in text
    assert "Scores of mimic" in text
    assert "✓ gold" in text
    assert "above τ, read" in text
    assert "Table of fusion weights" in text
    assert "left out" not in text


def test_heads_of_another_version_cost_their_part_alone(paths, monkeypatch):
    real = Run.open

    def of_another_version(folder, device):
        if folder.path.name.startswith("mimic"):
            raise MelovError("the heads do not fit this version")
        return real(folder, device)

    monkeypatch.setattr(Run, "open", of_another_version)
    write_report(paths, ("melov", "mimic"), (SEED,), ReportConfig(cases=9))
    text = (report_folder(paths) / "report.html").read_text(encoding="utf-8")
    assert "Partial scores, fusion weights and neighbours are left out" in text
    assert "Table of fusion weights" in text
    assert 'class="case"' in text


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "metrics.json"])
def test_a_run_without_one_of_its_files_is_damaged(paths, tmp_path, file):
    saved = (paths.run("mimic", SEED) / file).rename(tmp_path / "away")
    try:
        with pytest.raises(DamagedError, match=f"mimic-s{SEED}/{file}: "):
            write_report(paths, ("melov", "mimic"), (SEED,), ReportConfig(cases=9))
    finally:
        saved.rename(paths.run("mimic", SEED) / file)


def test_heads_of_another_version_are_said_to_be_so(explainer, paths):
    config = paths.run("melov", SEED) / "config.json"
    saved = config.read_text()
    try:
        for old, new in (('"d_z": 4', '"d_z": 5'), ('"d_z"', '"d_y"')):
            config.write_text(saved.replace(old, new))
            reseal(config)
            with pytest.raises(MelovError, match="do not fit this version"):
                explainer.explain("melov", SEED, [0])
    finally:
        config.write_text(saved)


def test_without_a_store_an_explainer_says_what_makes_it(tmp_path, paths):
    other = DatasetPaths("tiny", tmp_path)
    Records.load(paths.records).save(other.records)
    with pytest.raises(MelovError):
        Explainer(other, EvaluateConfig())
