import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig, TrainConfig, load_params
from stages.datasets.records import Records
from stages.linking import linker as module
from stages.linking.linker import Linker
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths
from stages.ranking.rank import rank_gold
from stages.ranking.top import top_entities
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import fit
from stages.runs.folder import RunFolder
from stages.runs.run import Run

PATHS = DatasetPaths("tiny")
RUNS = [("melov", 0), ("filter", 0), ("mimic", 1)]


def open_linker(variant="melov", seed=0, *assignments) -> Linker:
    params = load_params("params.yaml", "tiny", assignments)
    return Linker.open(PATHS, variant, seed, params.extract, params.evaluate)


def new_mentions(split="test") -> list[NewMention]:
    """The split's own mentions, as if no record held them."""
    records = Records.load(PATHS.records)
    paths = records.pictures["path"].to_pylist()
    return [
        NewMention(
            m["words"],
            m["sentence"],
            Path(records.image_root) / paths[m["picture"]] if m["picture"] >= 0 else None,
            m["id"],
        )
        for m in records.mentions[split].to_pylist()
    ]


@torch.inference_mode()
def evaluated(variant, seed, top=5):
    """Candidates and fusion weights of the test split as `evaluate` scores it, and the ranks."""
    run = Run.open(RunFolder.of(PATHS, variant, seed), torch.device("cpu"))
    model, data = run.model, run.data(Dataset.open(PATHS))
    rows = np.arange(data.cached.n_mentions("test"))
    side, optimized = model.mentions(data.inputs.batch("test", rows))
    found = top_entities(model, data.cached, data.views, [side], top, 7)
    config = load_params("params.yaml", "tiny").evaluate
    ranks = rank_gold(model, data.inputs, data.views, "test", rows, data.gold["test"], config)
    return found, optimized.alpha, ranks


def assert_same_ranking(linked, candidates):
    ids = Records.load(PATHS.records).entities["id"].to_pylist()
    for mine, theirs in zip(linked, candidates, strict=True):
        scores = [c.score for c in theirs]
        assert [e.score for e in mine.entities] == pytest.approx(scores, abs=1e-3)
        gaps = -np.diff([*scores, -np.inf])
        for place, (a, b) in enumerate(zip(mine.entities, theirs, strict=True)):
            above = gaps[place - 1] if place else np.inf
            if min(above, gaps[place]) > 4e-3 and place + 1 < len(theirs):
                assert a.id == ids[b.entity]
                assert a.units == pytest.approx(b.units, abs=2e-3)


@pytest.mark.parametrize(("variant", "seed"), RUNS)
def test_a_test_mention_links_as_evaluate_ranks_it(root, variant, seed):
    candidates, alpha, _ = evaluated(variant, seed)
    linked = list(open_linker(variant, seed).link(new_mentions(), top=5))
    assert_same_ranking(linked, candidates)
    for i, mine in enumerate(linked):
        if alpha is None:
            assert mine.alpha is None
        else:
            assert list(mine.alpha.values()) == pytest.approx(alpha[i].tolist(), abs=1e-4)


def test_the_gold_entity_links_at_its_rank(root):
    _, _, ranks = evaluated("melov", 0)
    answers = Records.load(PATHS.records).mentions["test"]["answer"].to_pylist()
    linked = open_linker().link(new_mentions(), top=28)
    found = [
        [e.id for e in one.entities].index(answer) + 1
        for one, answer in zip(linked, answers, strict=True)
    ]
    assert np.abs(np.array(found) - ranks).max() <= 1  # near ties may swap by rounding
    assert np.mean(np.array(found) == ranks) > 0.8


def test_the_neighbours_are_those_above_tau_that_the_gcn_reads_of_the_stored_graph(root):
    linker = open_linker()
    tau = float(linker.model.threshold.tau.detach())
    graph, ids = Dataset.open(PATHS).graph, linker.names.mention_ids
    linked = list(linker.link(new_mentions(), top=1))
    assert any(one.neighbours for one in linked)
    for i, one in enumerate(linked):
        row = graph.test[[i]]
        heaviest = sorted(zip(-row.data, row.indices, strict=True))
        others = [(ids[c], -w) for w, c in heaviest if c < len(ids)]
        read = others[: TrainConfig().neighbor_limit]
        stored = {name: w for name, w in read if w > tau}
        assert {n.id: n.weight for n in one.neighbours} == pytest.approx(stored, abs=1e-3)
        weights = [n.weight for n in one.neighbours]
        assert weights == sorted(weights, reverse=True)


def test_a_mentions_result_depends_on_no_other_mention(root, monkeypatch):
    linker, mentions = open_linker(), new_mentions()
    together = list(linker.link(mentions, top=5))
    monkeypatch.setattr(module, "MENTIONS_AT_ONCE", 5)
    apart = list(linker.link(mentions[::-1], top=5))[::-1]
    assert [one.id for one in apart] == [one.id for one in together]
    for a, b in zip(apart, together, strict=True):
        assert [e.score for e in a.entities] == pytest.approx(
            [e.score for e in b.entities], abs=1e-3
        )


def test_the_very_same_picture_is_no_neighbour_where_the_graph_excludes_it(root, tmp_path):
    config = {"exclude_same_image": True, "bandwidth_fraction": 3.0}
    dataset = Dataset.open(PATHS)
    dataset = dataset.on(dataset.graph.config.model_copy(update=config))
    spec = RunSpec.of("melov", 0, load_params("params.yaml", "tiny", ("train.epochs=1",)).train)
    run, _ = fit(spec, dataset, RunFolder(tmp_path / "run", ""), EvaluateConfig())
    train = new_mentions("train")
    mention = next(m for m in train if m.image is not None)
    linker = open_linker()
    graph = run.graph(linker.cached)
    linker = replace(linker, graph=graph)
    assert mention.id not in {n.id for n in next(linker.link([mention], 1)).neighbours}
    graph._known = {}
    assert mention.id in {n.id for n in next(linker.link([mention], 1)).neighbours}


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_picture_is_a_warning_and_as_no_picture(root, tmp_path, content):
    file = tmp_path / "picture.jpg"
    if content is not None:
        file.write_bytes(content)
    linker = open_linker()
    bad, none = linker.link([NewMention("Ada", "", file), NewMention("Ada")], top=3)
    assert not bad.has_image
    assert str(file) in bad.warnings[0]
    assert none.warnings == []
    assert [e.score for e in bad.entities] == pytest.approx([e.score for e in none.entities])
    assert bad.alpha["original"] == 0


def test_a_run_without_pictures_says_that_it_reads_none(root):
    mention = next(m for m in new_mentions() if m.image is not None)
    linked = next(open_linker("mimic", 1).link([mention], top=1))
    assert not linked.has_image
    assert "uses no pictures" in linked.warnings[0]


def test_filter_leaves_out_irrelevant_pictures_and_says_so(root):
    linked = list(open_linker("filter").link(new_mentions(), top=1))
    dropped = [one for one in linked if one.warnings]
    assert dropped
    assert all("too little" in one.warnings[0] and not one.has_image for one in dropped)
    assert any(one.has_image for one in linked)


def test_new_mentions_are_read_as_the_store_was_made_whatever_the_parameters_say(root, caplog):
    caplog.set_level("INFO")
    others = ("extract.max_tokens=10", "extract.resize=crop", "extract.dtype=bfloat16")
    linker = open_linker("melov", 0, *others)
    assert_same_ranking(linker.link(new_mentions(), top=5), evaluated("melov", 0)[0])
    assert "extract.max_tokens: 20, as the store was made, not 10" in caplog.text
    caplog.clear()
    open_linker("melov", 0)
    assert "as the store was made" not in caplog.text


def test_new_mentions_may_stand_in_batches_of_any_size(root):
    linker = open_linker("melov", 0, "extract.batch_texts=2", "extract.batch_images=3")
    assert_same_ranking(linker.link(new_mentions(), top=5), evaluated("melov", 0)[0])


def test_other_weights_than_the_stores_are_refused(root, tmp_path):
    other = tmp_path / "clip"
    other.mkdir()
    for path in Path("clip").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    said = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**said, "logit_scale_init_value": 1.0}))
    (root / "clip").rename(root / "away")
    try:
        with pytest.raises(MelovError, match="text_encoder: stored"):
            open_linker("melov", 0, f"extract.text_encoder={other}")
    finally:
        (root / "away").rename(root / "clip")


def test_a_moved_encoder_with_the_stores_weights_stands_in(root):
    (root / "clip").rename(root / "moved")
    try:
        linker = open_linker("melov", 0, "extract.text_encoder=moved")
        assert next(linker.link([NewMention("Ada")], top=1)).entities
    finally:
        (root / "moved").rename(root / "clip")


def test_a_variant_that_learns_nothing_needs_no_training(root, tmp_path, monkeypatch):
    project = tmp_path / "project"
    shutil.copytree(root, project, ignore=shutil.ignore_patterns("runs", "indexes"))
    monkeypatch.chdir(project)
    linker = open_linker("zero-shot", 0)
    (found,) = linker.link([NewMention("Ada", "Ada is here.")], top=3)
    assert found.calibration.startswith("uncalibrated")
    assert RunFolder.of(PATHS, "zero-shot", 0).is_trained
    with pytest.raises(MelovError, match="no trained run"):
        open_linker("mimic", 7)
