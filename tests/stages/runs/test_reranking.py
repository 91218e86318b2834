"""A run that re-ranks: what it writes, and that ranking, linking and the report give one order."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cache.errors import MelovError
from stages.config import EvaluateConfig, load_params
from stages.linking.linker import Linker
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths
from stages.report.explain import Explainer
from stages.rerank import fit as module
from stages.rerank.alignment import Context, alignments
from stages.rerank.lists import Lists
from stages.rerank.reranking import RERANK
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import execute
from stages.runs.folder import BEFORE, RunFolder
from stages.runs.reranking import PREFIX, entity_names, said_of
from stages.runs.run import Run
from tests.support.resealed import reseal
from tests.support.small_runs import CPU, small
from tests.support.tiny_project import own_world

UNITS = ("text", "vision", "cross", "lexical")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A project with a run whose re-ranking is none of the start."""
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("reranks") / "world")
    paths = DatasetPaths("tiny", root)
    executed(paths, RunFolder.of(paths, "melov", 0))
    return paths


def executed(paths, folder):
    """Of so few mentions nothing would be learned, and the start would be the best epoch."""
    rising = iter(np.linspace(0.1, 0.9, 51))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_TRAIN", 1)
        patch.setattr(module, "LEAST_VALID", 1)
        patch.setattr(module, "mean_reciprocal_rank", lambda *_: next(rising))
        return execute(spec(), Dataset.open(paths), folder, EvaluateConfig())


def spec(**changes):
    settings = {"units": UNITS, "contained_scale": 3.0, "frozen_scale": 10.0, "rerank": True}
    return RunSpec.of("melov", 0, small(**{**settings, "epochs": 1, **changes}))


@pytest.fixture
def run(paths):
    return Run.open(RunFolder.of(paths, "melov", 0), CPU)


def test_the_run_names_what_its_re_ranking_reads(run):
    terms = ("text", "frozen", "vision", "cross", "ngrams", "contained")
    assert run.info.rerank == run.reranking.terms == terms
    changed = run.reranking.reranker.changes(lists_of_all(run)[0])
    assert changed.abs().max() > 0.01


@torch.inference_mode()
def lists_of_all(run, split="test"):
    """Every entity of every mention, scored plainly."""
    dataset = Dataset.open(DatasetPaths("tiny", run.folder.path.parents[2]))
    data, model = run.data(dataset), run.model
    rows = np.arange(len(data.gold[split]))
    side, _ = model.mentions(data.inputs.batch(split, rows))
    every = np.arange(dataset.records.entities.num_rows)
    found = model.matcher.pairs(side, model.entities(data.cached.entities(every)))
    order = found.total.sort(dim=1, descending=True, stable=True).indices
    names, said = entity_names(dataset.records), said_of(dataset.records, split)[: len(rows)]
    aligned = [
        alignments(Context.of(*own), [names[e] for e in entities])
        for own, entities in zip(said, order.tolist(), strict=True)
    ]
    terms = torch.stack(list(found.terms.values()), -1)
    lists = Lists(
        found.total.gather(1, order),
        terms.gather(1, order[..., None].expand(-1, -1, terms.shape[2])),
        torch.from_numpy(np.stack(aligned)),
    )
    return lists, order.numpy(), data.gold[split]


@torch.inference_mode()
@pytest.mark.parametrize("split", ["valid", "test"])
def test_ranks_are_those_of_scoring_everything_plainly(run, split):
    lists, order, gold = lists_of_all(run, split)
    scores = run.reranking.reranker(lists).numpy()
    with np.load(run.folder.ranks) as stored:
        ranks = stored[split]
    for i in range(len(gold)):
        own = scores[i][order[i] == gold[i]][0]
        near = np.abs(scores[i] - own) < 1e-3
        above = (scores[i] > own).sum()
        assert above + 1 - near.sum() <= ranks[i] <= above + near.sum()
    metrics = run.folder.finished_metrics()
    assert metrics[split]["mrr"] == pytest.approx(float((1 / ranks).mean()), abs=1e-6)


def test_metrics_tell_of_the_order_before(run):
    metrics = run.folder.finished_metrics()
    assert metrics[BEFORE].keys() == {key for key in metrics if key.startswith(("test", "valid"))}
    assert metrics[BEFORE]["test"]["mrr"] != metrics["test"]["mrr"]
    assert metrics[BEFORE]["test"]["mentions"] == metrics["test"]["mentions"]


def predicted(run):
    with run.folder.predictions.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "test" and row["gold"]]


@pytest.mark.parametrize("index", [False, True])
def test_linking_gives_the_order_that_was_evaluated(paths, run, monkeypatch, index):
    monkeypatch.chdir(paths.root)
    params = load_params(paths.root / "params.yaml", "tiny")
    linker = Linker.open(
        DatasetPaths("tiny"), "melov", 0, params.extract, EvaluateConfig(device="cpu"), index
    )
    records = Dataset.open(paths).records
    folder = records.image_folder(paths.root)
    pictures = records.pictures["path"].to_pylist()
    rows = records.mentions["test"].to_pylist()
    mentions = [
        NewMention(
            row["words"], row["sentence"], id=row["id"],
            image=folder / pictures[row["picture"]] if row["picture"] >= 0 else None,
        )
        for row in rows
    ]  # fmt: skip
    for linked, row in zip(linker.link(mentions, 5), predicted(run), strict=True):
        scores = [float(row[f"score_{place}"]) for place in range(1, 6)]
        assert [e.score for e in linked.entities] == pytest.approx(scores, abs=2e-3)
        for entity in linked.entities:
            units = {**entity.units}
            added = units.pop(RERANK)
            assert np.mean(list(units.values())) + added == pytest.approx(entity.score, abs=1e-4)


def test_the_report_explains_the_order_that_was_evaluated(paths, run):
    explainer = Explainer(paths, EvaluateConfig(device="cpu"))
    names = {row["id"]: i for i, row in enumerate(Dataset.open(paths).records.entities.to_pylist())}
    rows = predicted(run)
    for explained, row in zip(explainer.explain("melov", 0, range(len(rows))), rows, strict=True):
        assert explained.top[0].score == pytest.approx(float(row["score_1"]), abs=2e-3)
        assert explained.gold.entity == names[row["gold"]]
        assert RERANK in explained.gold.units


def test_the_same_seed_gives_the_same_bytes(paths, run, tmp_path):
    executed(paths, RunFolder(tmp_path, ""))
    for name in ("model.safetensors", "config.json", "ranks.npz", "predictions.csv"):
        assert (tmp_path / name).read_bytes() == (run.folder.path / name).read_bytes()


def test_so_few_mentions_as_here_are_not_re_ranked(paths, tmp_path):
    folder = RunFolder(tmp_path / "few", "")
    said = execute(spec(), Dataset.open(paths), folder, EvaluateConfig())
    assert said[BEFORE]["test"] == said["test"]
    assert Run.open(folder, CPU).reranking is not None


def test_without_it_nothing_is_re_ranked(paths, tmp_path):
    folder = RunFolder(tmp_path / "without", "")
    said = execute(spec(rerank=False), Dataset.open(paths), folder, EvaluateConfig())
    assert BEFORE not in said
    assert Run.open(folder, CPU).reranking is None
    assert json.loads(folder.config.read_text())["rerank"] is None


def test_weights_that_the_run_does_not_name_are_told_of(run, tmp_path):
    folder = RunFolder(tmp_path / "more", "python -m pipeline.train")
    shutil.copytree(run.folder.path, folder.path)
    reseal(folder.config, lambda content: {**content, "rerank": None})
    with pytest.raises(MelovError, match="a re-ranking that the run has none of"):
        Run.open(folder, CPU)


def test_a_baseline_has_none():
    assert not RunSpec.of("bert", 0, small(rerank=True)).train.rerank


def test_weights_that_are_not_there_are_told_of(paths, run, tmp_path):
    folder = RunFolder(tmp_path / "torn", "python -m pipeline.train")
    shutil.copytree(run.folder.path, folder.path)
    state = load_file(folder.weights)
    save_file({n: w for n, w in state.items() if not n.startswith(PREFIX)}, folder.weights)
    reseal(folder.config)
    with pytest.raises(MelovError, match="do not fit this version"):
        Run.open(folder, CPU)
