"""Extraction by a Ray cluster of three nodes on this machine:  python -m pytest -m cluster

Each node is processes of its own (`ray.cluster_utils.Cluster`); what they share is the disk.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cache.errors import MelovError
from stages.config import ExtractConfig, load_params
from stages.datasets.findings import Findings
from stages.datasets.pictures import PictureTable
from stages.datasets.records import ENTITY_SCHEMA, MENTION_SCHEMA, Records
from stages.encode import feature_job
from stages.encode.extract import extract
from stages.encode.extract_further import extract_further
from stages.encode.ways import Doers, Part, Workers
from stages.paths import SPLITS, DatasetPaths
from tests.support import slow_work
from tests.support.small_project import ROOT, build_bert, tree

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PICTURES, TEXTS, MENTIONS = 3000, 6000, 300
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


def write_large(root: Path, clip: Path) -> DatasetPaths:
    """A prepared data set of 6,000 distinct texts and 3,000 distinct pictures."""
    paths, rng = DatasetPaths("tiny", root), np.random.default_rng(0)
    paths.raw.mkdir(parents=True)
    table, findings = PictureTable(paths.raw), Findings()
    for number in range(PICTURES):
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(
            paths.raw / f"{number}.png"
        )
        table.row(f"{number}.png", "here")
    count = TEXTS - MENTIONS
    entities = [
        {
            "id": f"Q{i}", "name": f"Name {i}", "text": "the cat " * (i % 7) + f"{i}",
            "picture": i if i < PICTURES else -1, "pictures": [i] if i < PICTURES else [],
        }
        for i in range(count)
    ]  # fmt: skip
    mentions = [
        {
            "id": f"m{i}", "words": f"Name {i}", "sentence": f"of mention {i}", "picture": -1,
            "answer": f"Q{i}", "gold": i, "image_kind": "",
        }
        for i in range(MENTIONS)
    ]  # fmt: skip
    Records(
        "tiny", "jsonl", str(paths.raw), "text", pa.Table.from_pylist(entities, ENTITY_SCHEMA),
        {
            split: pa.Table.from_pylist(mentions[place::3], MENTION_SCHEMA)
            for place, split in enumerate(SPLITS)
        },
        table.build(findings), findings.listed(),
    ).save(paths.records)  # fmt: skip
    (root / "params.yaml").write_text(
        f"extract: {{text_encoder: {clip}, max_tokens: 20, dtype: float32, device: cpu, "
        "batch_texts: 8, batch_images: 4}\n"
    )
    return paths


def config_of(paths: DatasetPaths, *assignments: str) -> ExtractConfig:
    return load_params(paths.root / "params.yaml", "tiny", assignments).extract


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> DatasetPaths:
    """The data set with the store that one process made; not to be changed."""
    paths = write_large(tmp_path_factory.mktemp("straight"), clip)
    timings = extract(paths, config_of(paths)).timings
    assert (timings["texts"]["rows"], timings["pictures"]["rows"]) == (TEXTS, PICTURES)
    return paths


@pytest.fixture
def large(straight: DatasetPaths, tmp_path: Path) -> DatasetPaths:
    """The same data set without a store."""
    shutil.copytree(straight.records, tmp_path / "data/tiny/records")
    shutil.copy(straight.root / "params.yaml", tmp_path)
    return DatasetPaths("tiny", tmp_path)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes: the one that leads, and two that may be lost."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # actors find tests.support
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    found.others = [found.add_node(**NODE) for _ in range(2)]
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_job, "_opened", slow_work.opened_slowly)


def until(reached: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def on_ray(cluster: Any) -> Doers:
    return Doers(workers=Workers("ray", cluster.address))


class Losses(threading.Thread):
    """Kills a worker once units are written, then a node."""

    def __init__(self, paths: DatasetPaths, cluster: Any) -> None:
        super().__init__()
        self.paths, self.cluster, self.seen = paths, cluster, list[str]()

    def run(self) -> None:
        until(lambda: len(self.writers()) == 3)
        os.kill(max(self.writers()), signal.SIGKILL)
        self.seen.append("worker")
        written = self.written()
        until(lambda: self.written() > written + 10)
        self.cluster.remove_node(self.cluster.others[0], allow_graceful=False)
        self.seen.append("node")

    def writers(self) -> list[int]:
        return [pid for pid in slow_work.ledgers(self.paths) if pid != os.getpid()]

    def written(self) -> int:
        return sum(slow_work.ledgers(self.paths).values())


@pytest.mark.usefixtures("_slowly")
def test_a_store_whose_worker_and_node_are_killed_is_that_of_one_process(
    large: DatasetPaths, straight: DatasetPaths, cluster: Any
):
    losses = Losses(large, cluster)
    losses.start()
    timings = extract(large, config_of(large), doers=on_ray(cluster)).timings
    losses.join()
    assert losses.seen == ["worker", "node"]
    assert not large.partial.exists() or not list(large.partial.glob("*"))
    assert tree(large.store) == tree(straight.store)
    assert (timings["texts"]["rows"], timings["pictures"]["rows"]) == (TEXTS, PICTURES)
    gone = [name for name, worker in timings["workers"].items() if "gone" in worker]
    assert len(gone) >= 2


DRIVER = """\
import sys
from pathlib import Path
from stages.config import load_params
from stages.encode import feature_job
from stages.encode.extract import extract
from stages.encode.ways import Doers, Workers
from stages.paths import DatasetPaths
from tests.support import slow_work
feature_job._opened = slow_work.opened_slowly
paths = DatasetPaths("tiny", Path(sys.argv[1]))
config = load_params(paths.root / "params.yaml", "tiny").extract
extract(paths, config, doers=Doers(workers=Workers("ray", sys.argv[2])))
"""


def test_a_driver_that_is_killed_is_resumed_and_leaves_no_worker(
    large: DatasetPaths, straight: DatasetPaths, cluster: Any, caplog: pytest.LogCaptureFixture
):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(large.root), cluster.address], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: sum(slow_work.ledgers(large).values()) > 20)
    writers = slow_work.ledgers(large).keys() - {driver.pid}
    driver.kill()
    driver.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in writers))
    assert not large.store.exists()
    with caplog.at_level("INFO"):
        extract(large, config_of(large), doers=on_ray(cluster))
    assert "resuming:" in caplog.text
    assert tree(large.store) == tree(straight.store)


def test_further_encoders_and_a_cluster_that_ray_finds(
    large: DatasetPaths, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
):
    bert = build_bert(tmp_path / "bert")
    config = config_of(large, f"extract.text_encoders={{minilm: {bert}}}", "extract.dtype=auto")
    alone = extract_further(large, config, "minilm")
    whole = tree(alone.store)
    shutil.rmtree(alone.store)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    extract_further(large, config, "minilm", doers=Doers(workers=Workers("ray")))
    assert tree(alone.store) == whole


def test_what_a_cluster_has_no_room_for_is_told(large: DatasetPaths, cluster: Any):
    with pytest.raises(MelovError, match="3 CPUs and 0 GPUs, and a worker takes 1 and 2") as told:
        extract(
            large, config_of(large), doers=Doers(workers=Workers("ray", cluster.address, gpus=2))
        )
    assert "--gpus-per-worker 0" in str(told.value)


def test_a_cluster_that_is_not_there_is_told(large: DatasetPaths):
    with pytest.raises(MelovError, match=r"no Ray cluster at 127\.0\.0\.1:1: ") as told:
        extract(large, config_of(large), doers=Doers(workers=Workers("ray", "127.0.0.1:1")))
    assert "--address HOST:PORT" in str(told.value)


# The same records without a cluster


def test_two_workers_make_the_same_large_store(large: DatasetPaths, straight: DatasetPaths):
    extract(large, config_of(large), doers=Doers(workers=Workers(2)))
    assert tree(large.store) == tree(straight.store)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_three_parts_make_the_same_large_store(
    large: DatasetPaths, straight: DatasetPaths, order: tuple[int, ...]
):
    for number in order:
        extract(large, config_of(large), doers=Doers(part=Part(number, 3)))
    assert tree(large.store) == tree(straight.store)
