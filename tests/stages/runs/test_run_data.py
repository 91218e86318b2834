import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.datasets.store import open_store, provenance_of
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.heads.model import Melov
from stages.paths import DatasetPaths
from stages.ranking.rank import rank_gold
from stages.runs.data import open_dataset, open_run
from stages.runs.saved import RunInfo, save_heads
from tests.support.small_runs import CPU, short_run, small


@pytest.fixture(scope="module")
def saved(root, opened, tmp_path_factory):
    """A trained run on disk, in a project of its own: its paths, weights, data and heads."""
    paths = DatasetPaths("tiny", tmp_path_factory.mktemp("project"))
    shutil.copytree(root / "data", paths.root / "data")
    work = tmp_path_factory.mktemp("work")
    trained, data, heads = short_run(opened, work, "melov", seed=4, epochs=2)
    settings = small(epochs=2).model_dump(mode="json")
    info = RunInfo("tiny", 4, heads, settings, opened.provenance)
    save_heads(paths.run("melov", 4), trained.state, info)
    return paths, trained.state, data, heads


@torch.inference_mode()
def scores(model, data):
    model.eval()
    side, _ = model.mentions(data.inputs.batch("test", np.arange(24)))
    return model.matcher.pairs(side, model.entities(data.cached.entities(np.arange(28)))).total


def test_heads_from_the_disk_give_the_scores_of_the_trained_ones(saved):
    paths, state, data, heads = saved
    model = Melov(heads)
    model.load_state_dict(state)
    again, data_again = open_run(paths, open_dataset(paths), "melov", 4, CPU)
    assert again.config == heads
    assert scores(again, data_again).equal(scores(model, data))
    ranks = [
        rank_gold(m, d.inputs, d.views, "test", np.arange(24), d.gold["test"], EvaluateConfig())
        for m, d in ((model, data), (again, data_again))
    ]
    np.testing.assert_array_equal(*ranks)


def test_a_run_that_is_not_there_names_the_command_that_makes_it(saved):
    paths, *_ = saved
    with pytest.raises(MelovError, match="no trained run") as caught:
        open_run(paths, open_dataset(paths), "mimic", 4, CPU)
    assert caught.value.hint.endswith("--dataset tiny --variant mimic --seed 4")


def test_a_run_that_is_saved_over_is_incomplete_until_its_end(saved, tmp_path, monkeypatch):
    paths, state, _, heads = saved
    folder = tmp_path / "run"
    shutil.copytree(paths.run("melov", 4), folder)
    monkeypatch.setattr("stages.runs.saved.save_file", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_heads(folder, state, RunInfo("tiny", 4, heads, {}, {}))
    assert not (folder / "config.json").exists()


@pytest.mark.parametrize("field", ["store", "records", "graph"])
def test_a_run_that_was_trained_on_something_else_names_the_field(saved, field):
    paths, *_ = saved
    opened = open_dataset(paths)
    other = replace(opened, provenance={**opened.provenance, field: "0123"})
    with pytest.raises(MelovError, match="trained on other data") as caught:
        open_run(paths, other, "melov", 4, CPU)
    assert f'{field}: stored "{opened.provenance[field]}", asked "0123"' in caught.value.message
    assert str(caught.value).count("stored") == 1
    assert "pipeline.train" in caught.value.hint


def test_a_graph_of_another_configuration_is_noticed(saved, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    shutil.copytree(saved[0].root, tmp_path, dirs_exist_ok=True)
    config, source = open_dataset(paths).graph.config, GraphSource.of(open_store(paths))
    config = config.model_copy(update={"max_neighbors": 3})
    build_graph(source.features, source.pictures, config).save(
        paths.graph, provenance_of(open_store(paths))
    )
    with pytest.raises(MelovError, match="trained on other data: graph: stored"):
        open_run(paths, open_dataset(paths), "melov", 4, CPU)


def test_a_store_of_another_encoder_is_noticed(saved, blind, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    shutil.copytree(blind.root, tmp_path, dirs_exist_ok=True)
    shutil.copytree(saved[0].run("melov", 4), paths.run("melov", 4))
    with pytest.raises(MelovError, match="store: stored"):
        open_run(paths, open_dataset(paths), "melov", 4, CPU)
