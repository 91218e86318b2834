"""A graph over several encoders' texts: built, trained on, evaluated, linked with, bundled."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cache.errors import DamagedError
from cache.reader import FeatureStore
from pipeline import Linker, Mention
from stages.datasets.further import open_further
from stages.datasets.store import open_store
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from tests.support.asked import mentions_of_test, ranked
from tests.support.bundles import away
from tests.support.resealed import reseal
from tests.support.small_project import build_bert, build_vit
from tests.support.tiny_project import call, own_world, run

PATHS = DatasetPaths("tiny")
NAMED = ("--set", "extract.text_encoders={letters: bert}",
         "--set", "extract.image_encoders={squares: vit}")  # fmt: skip
BOTH = ("--set", "graph.encoders=[first,letters]")
TRAIN = ("--variant", "melov", "--set", "train.preset=paper", "--set", "train.epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with a run whose graph alone reads a further encoder; not to be changed."""
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("summed"))
    build_bert(root / "bert")
    build_vit(root / "vit")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run("extract", *NAMED)
        run("graph", *BOTH)
        run("train", *TRAIN)
        run("evaluate", "--variant", "melov")
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(trained, tmp_path / "world"))
    monkeypatch.chdir(root)
    return root


def texts(store: FeatureStore, split: str) -> np.ndarray:
    rows = store[f"mentions/{split}/text"].gather(np.arange(len(store[f"mentions/{split}/text"])))
    return store["texts/global"].gather(rows).astype(np.float64)


def test_the_kernel_is_of_the_mean_of_the_encoders_squared_distances(project: Path):
    graph = Dataset.open(PATHS).saved
    bandwidth, _ = graph.metric_constants
    squared = []
    for store in (open_store(PATHS), open_further(PATHS, "letters")):
        of = {split: texts(store, split) for split in ("train", "test")}
        unit = {s: x / np.linalg.norm(x, axis=1, keepdims=True) for s, x in of.items()}
        apart = unit["test"][:, None] - unit["train"][None]
        squared.append((apart**2).sum(-1))
    want = np.exp(-np.mean(squared, axis=0) / (2 * bandwidth**2))
    found = graph.test[:, : want.shape[1]].tocsr()
    assert found.nnz > 20
    for row, similarities in enumerate(want):
        nearest = np.argsort(-similarities)[: graph.config.max_neighbors]
        kept = np.sort(nearest[similarities[nearest] > graph.config.floor])
        mine = found[[row]]
        np.testing.assert_array_equal(np.sort(mine.indices), kept)
        np.testing.assert_allclose(mine.data, similarities[mine.indices], rtol=1e-4)
    assert bandwidth != pytest.approx(
        json.loads(run_and_read("graph"))["bandwidth"]
    )  # of the first encoder alone


def run_and_read(command: str) -> str:
    run(command)
    return (PATHS.graph / "graph.json").read_text()


def test_a_run_says_what_its_graph_reads_and_takes_no_other_encoder(project: Path):
    config = json.loads((project / "runs/tiny/melov-s0/config.json").read_text())
    assert config["similarity"]["config"]["encoders"] == ["first", "letters"]
    assert config["heads"]["further"] == {}
    assert "further/letters/text_encoder" in config["encoder"]
    assert "further/squares" not in config["provenance"]
    build_bert(project / "bert-2", {"pooling_mode_mean_tokens": True})
    run("extract", "--set", "extract.text_encoders={letters: bert-2}", "--replace")
    refused = call("evaluate", "--variant", "melov")
    assert refused.exit_code == 1
    assert "trained over another encoder: further/letters/text_encoder" in refused.stderr
    stale = call("train", *TRAIN)
    assert stale.exit_code == 1
    assert "the graph was made from something else" in stale.stderr
    assert "further/letters" in stale.stderr
    assert "python -m pipeline.graph --dataset tiny" in stale.stderr


def test_a_test_mention_links_as_the_run_ranks_it_in_place_and_from_a_bundle(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked, (*_, want) = mentions_of_test(), ranked()
    found = list(Linker.load("runs/tiny/melov-s0").link(asked, top=5))
    for mine, theirs in zip(found, want, strict=True):
        assert [e.score for e in mine.entities] == pytest.approx(
            [c.score for c in theirs], abs=1e-2
        )
    assert any(one.neighbours for one in found)
    run("bundle", "--variant", "melov", "--with-encoder", "--output", str(tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with away(project):
        bundled = list(Linker.from_pretrained("bundle").link(asked, top=5))
    for mine, theirs in zip(bundled, found, strict=True):
        assert [e.id for e in mine.entities] == [e.id for e in theirs.entities]
        assert [(n.id, n.weight) for n in mine.neighbours] == [
            (n.id, pytest.approx(n.weight, abs=1e-5)) for n in theirs.neighbours
        ]


def test_another_further_encoder_finds_other_neighbours(project: Path):
    asked = mentions_of_test()
    both = [[n.id for n in one.neighbours] for one in linked(asked)]
    run("graph")
    run("train", *TRAIN)
    alone = [[n.id for n in one.neighbours] for one in linked(asked)]
    run("graph", "--set", "graph.encoders=[letters]")
    run("train", *TRAIN)
    other = [[n.id for n in one.neighbours] for one in linked(asked)]
    assert both != alone
    assert alone != other
    assert both != other


def linked(asked: list[Mention]):
    return list(Linker.load("runs/tiny/melov-s0", index=False).link(asked, top=1))


def test_a_grid_varies_them_in_memory(project: Path):
    Path("grid.yaml").write_text(
        "seeds: [0]\nreference: both\ntrain: {preset: paper, epochs: 1}\nruns:\n"
        "  - {name: both, variant: melov, graph: {encoders: [first, letters]}}\n"
        "  - {name: letters, variant: melov, graph: {encoders: [letters]}}\n"
    )
    run("ablate", "--grid", "grid.yaml")
    for name, encoders in (("both", ["first", "letters"]), ("letters", ["letters"])):
        config = json.loads(Path(f"ablations/tiny/grid/{name}-s0/config.json").read_text())
        assert config["similarity"]["config"]["encoders"] == encoders
        assert "further/letters" in config["provenance"]


def test_what_names_no_encoder_of_texts_is_refused(project: Path):
    pictures = call("graph", "--set", "graph.encoders=[first,squares]")
    assert pictures.exit_code == 1
    assert "squares.zarr: holds pictures, and the graph compares texts" in pictures.stderr
    misspelt = call("graph", "--set", "graph.encoders=[first,leters]")
    assert misspelt.exit_code == 1
    assert "letters" in misspelt.stderr
    for encoders in ("[]", "[first,first]"):
        wrong = call("graph", "--set", f"graph.encoders={encoders}")
        assert wrong.exit_code == 1
        assert "graph.encoders" in wrong.stderr
        assert "at least one encoder, each once" in wrong.stderr
    taken = call("extract", "--set", "extract.text_encoders={first: bert}")
    assert taken.exit_code == 1
    assert "take another name" in taken.stderr


def test_a_run_without_the_texts_that_its_graph_compares_is_damaged(project: Path):
    path = project / "runs/tiny/melov-s0/training.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for changed in (None, np.float32, np.nan):
        own = {name: a for name, a in arrays.items() if name != "further_letters"}
        if changed is np.float32:
            own["further_letters"] = arrays["further_letters"].astype(np.float32)
        elif changed is not None:
            own["further_letters"] = np.full_like(arrays["further_letters"], changed)
        np.savez(path, **own)
        reseal(path.parent / "config.json")
        with pytest.raises(DamagedError, match=r"training\.npz: damaged: .*further|graph compares"):
            Run.open(RunFolder.of(PATHS, "melov", 0), torch.device("cpu"))
