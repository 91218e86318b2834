import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.datasets.store import open_store, provenance_of
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths
from stages.runs import fit as module
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import execute, fit
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from tests.support.resealed import reseal
from tests.support.small_runs import CPU, small

SPEC = RunSpec.of("melov", 4, small(epochs=2))


@pytest.fixture(scope="module")
def saved(root, tmp_path_factory):
    """A trained run on disk, in a project of its own: its paths, the run and its data."""
    paths = DatasetPaths("tiny", tmp_path_factory.mktemp("project"))
    shutil.copytree(root / "data", paths.root / "data")
    dataset = Dataset.open(paths)
    run, trained = fit(SPEC, dataset, folder_of(paths), EvaluateConfig())
    return paths, run, run.data(dataset), trained


def folder_of(paths, variant="melov"):
    return RunFolder.of(paths, variant, 4)


@torch.inference_mode()
def scores(model, data):
    side, _ = model.eval().mentions(data.inputs.batch("test", np.arange(24)))
    return model.matcher.pairs(side, model.entities(data.cached.entities(np.arange(28)))).total


def test_heads_from_the_disk_give_the_scores_of_the_trained_ones(saved):
    paths, run, data, trained = saved
    model = run.info.heads.entry.build(run.info.heads)
    model.load_state_dict(trained.state)
    again = Run.open(folder_of(paths), CPU)
    assert again.info == run.info
    assert scores(again.model, again.data(Dataset.open(paths))).equal(scores(model, data))


def test_what_execute_says_is_what_an_opened_run_finds(saved, tmp_path):
    paths, *_ = saved
    dataset, folder, config = Dataset.open(paths), RunFolder(tmp_path, ""), EvaluateConfig()
    about = {"run": "one of a grid"}
    said = execute(SPEC, dataset, folder, config, about)
    assert said == folder.finished_metrics()
    ranks = folder.ranks.read_bytes()
    folder.forget_results()
    execute(SPEC, dataset, folder, config)
    found = Run.open(folder, CPU).evaluate(Dataset.open(paths), config)
    assert {**found, **about} == said
    assert folder.finished_metrics() == found
    assert folder.ranks.read_bytes() == ranks


@pytest.mark.parametrize(
    ("last", "first"),
    [("config.json", ["model.safetensors", "training.npz"]),
     ("metrics.json", ["probabilities.npz"]),
     ("metrics.json", ["ranks.npz", "probabilities.npz", "predictions.csv"])],
)  # fmt: skip
def test_files_that_a_kill_left_on_their_way_are_moved_in_by_the_next_reader(
    saved, tmp_path, last, first
):
    """`first` have moved, `last` and what it vouches for besides have not."""
    paths, run, *_ = saved
    folder = RunFolder(tmp_path / "run", "")
    shutil.copytree(folder_of(paths).path, folder.path)
    replace(run, folder=folder).evaluate(Dataset.open(paths), EvaluateConfig())
    whole = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    sealed = folder.read_config() if last == "config.json" else folder.read_metrics()
    moving = folder.path / f".{last}.0123.whole"
    moving.mkdir()
    for name in {last, *sealed.files} - set(first):
        (folder.path / name).rename(moving / name)
    assert folder.is_trained
    assert folder.is_evaluated
    assert folder.read_metrics().content
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == whole


def test_a_run_that_is_not_there_names_the_command_that_makes_it(saved):
    paths, *_ = saved
    with pytest.raises(MelovError, match="no trained run") as caught:
        Run.open(folder_of(paths, "mimic"), CPU)
    assert caught.value.hint.endswith("--dataset tiny --variant mimic --seed 4")


def test_a_run_that_is_saved_over_stays_until_the_new_one_is_whole(saved, tmp_path, monkeypatch):
    paths, *_ = saved
    folder = RunFolder(tmp_path / "run", "")
    shutil.copytree(folder_of(paths).path, folder.path)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(module, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(SPEC, Dataset.open(paths), folder, EvaluateConfig())
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    other = RunSpec(SPEC.variant, SPEC.seed, SPEC.train.model_copy(update={"d_z": 3}))
    fit(other, Dataset.open(paths), folder, EvaluateConfig())
    assert not folder.metrics.exists()  # of the weights that were there
    assert not folder.ranks.exists()


def test_who_ranks_while_the_run_is_trained_again_writes_nothing(saved, tmp_path):
    paths, *_ = saved
    folder = RunFolder(tmp_path / "run", "python -m pipeline.train", tmp_path / "lock")
    shutil.copytree(folder_of(paths).path, folder.path)
    run = Run.open(folder, CPU)
    other = RunSpec(SPEC.variant, SPEC.seed, SPEC.train.model_copy(update={"d_z": 3}))
    fit(other, Dataset.open(paths), folder, EvaluateConfig())
    with pytest.raises(MelovError, match="trained again while it was ranked; nothing is written"):
        run.evaluate(Dataset.open(paths), EvaluateConfig())
    assert not folder.metrics.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(saved, tmp_path, value):
    folder = RunFolder(tmp_path / "run", "")
    shutil.copytree(folder_of(saved[0]).path, folder.path)
    weights = load_file(folder.weights)
    name = sorted(weights)[0]
    weights[name].view(-1)[0] = value
    save_file(weights, folder.weights)
    reseal(folder.config)
    with pytest.raises(MelovError, match=f"{name} has numbers that are not finite"):
        Run.open(folder, CPU)


@pytest.mark.parametrize("field", ["text_encoder", "exif", "max_tokens", "dtype"])
def test_a_run_that_was_trained_over_another_encoder_names_the_field(saved, field):
    paths, run, *_ = saved
    dataset = Dataset.open(paths)
    present = json.dumps(run.info.encoder[field])
    other = {**run.info.encoder, field: "0123"}
    trained_elsewhere = replace(run, info=run.info.model_copy(update={"encoder": other}))
    with pytest.raises(MelovError, match="trained over another encoder") as caught:
        trained_elsewhere.require(dataset)
    assert f'{field}: stored "0123", asked {present}' in caught.value.message
    assert str(caught.value).count("stored") == 1
    assert "pipeline.train" in caught.value.hint
    run.require(dataset)


def test_records_that_were_read_before_the_store_was_replaced_are_refused(saved):
    records = Records.load(saved[0].records)
    assert Dataset.open(saved[0], records).records is records
    fewer = replace(records, entities=records.entities.slice(1))
    with pytest.raises(MelovError, match=f"made from records {records.digest}, but"):
        Dataset.open(saved[0], fewer)


def test_the_graph_travels_with_the_run(saved, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    shutil.copytree(saved[0].root, tmp_path, dirs_exist_ok=True)
    store = open_store(paths)
    wanted = scores(saved[1].model, saved[2])
    config, source = Dataset.open(paths).graph.config, GraphSource.of(store)
    config = config.model_copy(update={"max_neighbors": 3})
    graph = build_graph(source.features, source.pictures, config)
    graph.save(paths.graph, provenance_of(store))
    run = Run.open(folder_of(paths), CPU)
    assert scores(run.model, run.data(Dataset.open(paths))).equal(wanted)
    shutil.rmtree(paths.graph)
    assert scores(run.model, run.data(Dataset.open(paths))).equal(wanted)
    with pytest.raises(MelovError, match="no complete graph"):
        fit(SPEC, Dataset.open(paths), folder_of(paths), EvaluateConfig())


@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize("excluded", [False, True])
def test_a_run_ranks_with_the_graph_that_it_was_trained_on(saved, transductive, excluded, tmp_path):
    """By the route of training, whose graph has rows of all splits, and by the run's own."""
    config = Dataset.open(saved[0]).graph.config
    changes = {"transductive": transductive, "exclude_same_image": excluded, "floor": 0.01}
    dataset = Dataset.open(saved[0]).on(config.model_copy(update=changes))
    run, _ = fit(SPEC, dataset, RunFolder(tmp_path / "run", ""), EvaluateConfig())
    trained, ranked = dataset.data(run.info.heads, run.info.train, CPU), run.data(dataset)
    for split in ("valid", "test"):
        one, other = (data.inputs.graphs[split] for data in (trained, ranked))
        for part in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(
                getattr(one.adjacency, part), getattr(other.adjacency, part)
            )
        np.testing.assert_array_equal(one.image_rows, other.image_rows)
        assert (one.first, one.reading) == (other.first, other.reading)


def test_a_store_of_another_encoder_is_noticed(saved, blind, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    shutil.copytree(blind.root, tmp_path, dirs_exist_ok=True)
    shutil.copytree(folder_of(saved[0]).path, folder_of(paths).path)
    with pytest.raises(MelovError, match="image_encoder: stored"):
        Run.open(folder_of(paths), CPU).data(Dataset.open(paths))


TRAINING = {
    "keys of another shape": {"texts": np.zeros((48, 15), np.uint8)},
    "similarities that are infinite": {"data": np.array([np.inf], np.float32)},
    "an index out of the matrix": {"indices": np.array([48], np.int32)},
    "offsets that fall": {"indptr": np.arange(49)[::-1]},
    "fewer names than mentions": {"words_offsets": np.zeros(3, np.int64)},
    "no ids": {"ids": None},
}


@pytest.mark.parametrize("how", TRAINING)
def test_training_mentions_that_are_none_are_one_error(saved, tmp_path, how):
    folder = RunFolder(tmp_path / "run", "the command")
    shutil.copytree(folder_of(saved[0]).path, folder.path)
    arrays = {**np.load(folder.training), **TRAINING[how]}
    np.savez(folder.training, **{name: a for name, a in arrays.items() if a is not None})
    with pytest.raises(MelovError, match="not those that"):
        Run.open(folder, CPU)
    reseal(folder.config)
    with pytest.raises(MelovError, match=r"training\.npz: damaged") as caught:
        Run.open(folder, CPU)
    assert "the command" in caught.value.hint


def older(config):
    """`config.json` as the version before had it, whose HeadsConfig lacked these."""
    for name in ("joint_space", "spmm"):
        del config["heads"][name]
    return config


def renamed(weights):
    """The matcher's units had no `units.` in their names."""
    return {name.replace("matcher.units.", "matcher."): w for name, w in weights.items()}


def other_widths(config):
    config["heads"]["d_h"] += 1
    return config


@pytest.mark.parametrize(
    ("of_config", "of_weights", "named"),
    [
        (older, None, "joint_space"),
        (None, renamed, "matcher.units.text.w_q.weight"),
        (older, renamed, "joint_space"),
        (other_widths, None, "size mismatch"),
        (
            lambda config: {**config, "heads": {**config["heads"], "variant": "melof"}},
            None,
            "heads.variant",
        ),
        (lambda config: {**config, "neighbour_limit": 4}, None, "neighbour_limit"),
        (lambda config: {**config, "similarity": None}, None, "similarity: expected one"),
        (lambda config: {**config, "cut": 0.5}, None, "cut: expected none of the variant melov"),
    ],
)
def test_a_run_of_another_version_is_one_clear_error(saved, tmp_path, of_config, of_weights, named):
    folder = RunFolder(tmp_path / "run", "python -m pipeline.train --dataset tiny")
    shutil.copytree(folder_of(saved[0]).path, folder.path)
    if of_weights is not None:
        save_file(of_weights(load_file(folder.weights)), folder.weights)
    reseal(folder.config, of_config or (lambda content: content))
    with pytest.raises(MelovError, match="do not fit this version") as caught:
        Run.open(folder, CPU)
    assert str(folder.path) in caught.value.message
    assert named in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == "run python -m pipeline.train --dataset tiny"


@pytest.mark.parametrize("heads", [None, 3, [], "melov", {}])
def test_a_configuration_that_names_no_run_is_another_run(saved, tmp_path, heads):
    held = folder_of(saved[0])
    folder = replace(held, path=tmp_path / "run", lock=None)
    shutil.copytree(held.path, folder.path)
    reseal(folder.config, lambda content: {**content, "heads": heads})
    with pytest.raises(MelovError, match="holds the run None-s"):
        Run.open(folder, CPU)


@pytest.mark.parametrize("file", ["config", "weights"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 99])
def test_a_damaged_run_is_one_clear_error(saved, tmp_path, file, content):
    folder = RunFolder(tmp_path / "run", "")
    shutil.copytree(folder_of(saved[0]).path, folder.path)
    getattr(folder, file).write_bytes(content)
    with pytest.raises(MelovError, match=": damaged: "):
        Run.open(folder, CPU)
