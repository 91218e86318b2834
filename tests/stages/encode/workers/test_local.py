"""Processes of this machine that do the units: the store is that of one process, byte by byte."""

import json
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from cache.errors import MelovError, StoreError
from cache.reader import FeatureStore
from stages.config import ExtractConfig, load_params
from stages.datasets.decoding.changed import ChangedPictureError
from stages.encode import feature_job
from stages.encode.extract import extract
from stages.encode.extract_further import extract_further
from stages.encode.making import Extraction
from stages.encode.ways import Doers, Part, Workers
from stages.encode.workers import hiring, local
from stages.paths import DatasetPaths
from tests.support import slow_work
from tests.support.small_project import ROOT, add_entities, tree, write_project

TWO = Doers(workers=Workers(2))


def config_of(paths: DatasetPaths, *assignments: str) -> ExtractConfig:
    return load_params(paths.root / "params.yaml", "tiny", assignments).extract


def made(paths: DatasetPaths, doers: Doers, *assignments: str) -> Extraction:
    return extract(paths, config_of(paths, *assignments), doers=doers)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> dict[str, str]:
    """Files of a store that one process made."""
    paths = write_project(tmp_path_factory.mktemp("straight"), clip)
    made(paths, Doers())
    return tree(paths.store)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_job, "_opened", slow_work.opened_slowly)


@contextmanager
def meanwhile(happens: Callable[[], None]) -> Iterator[None]:
    """Something that a thread does while the block runs; it is over at the end."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            happens()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert failed == []


def until(reached: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.005)


def kill_a_worker(paths: DatasetPaths) -> None:
    """One that has written a unit."""
    until(lambda: bool(slow_work.ledgers(paths).keys() & pids()))
    os.kill((slow_work.ledgers(paths).keys() & pids()).pop(), signal.SIGKILL)


def pids() -> set[int]:
    return {child.pid or 0 for child in multiprocessing.active_children()}


def test_two_workers_make_the_store_that_one_process_makes(
    project: DatasetPaths, straight: dict[str, str]
):
    found = made(project, TWO)
    assert tree(project.store) == straight
    assert not list(project.partial.glob("*"))
    assert pids() == set()
    timings = found.timings
    assert timings["texts"]["rows"] == 46
    assert timings["pictures"]["rows"] == 17
    assert timings["workers"].keys() == {"1", "2"}
    by_worker = [worker.get("texts", {"rows": 0})["rows"] for worker in timings["workers"].values()]
    assert sum(by_worker) >= 46  # a copy of a unit may be done, too
    assert json.loads(json.dumps(timings)) == timings


@pytest.mark.usefixtures("slowly")
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    project: DatasetPaths, straight: dict[str, str], caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING), meanwhile(lambda: kill_a_worker(project)):
        timings = made(project, TWO).timings
    assert tree(project.store) == straight
    (gone,) = [name for name, worker in timings["workers"].items() if "gone" in worker]
    assert timings["workers"][gone]["gone"] == "killed by SIGKILL"
    assert len(timings["workers"]) == 3
    assert f"worker {gone} is gone (killed by SIGKILL)" in caplog.text
    assert timings["texts"]["rows"] == 46


@pytest.mark.parametrize("after", [Doers(), TWO, Doers(together=True)], ids=["alone", "two", "t"])
@pytest.mark.usefixtures("slowly")
def test_a_run_whose_leader_ends_is_resumed_by_any_other(
    project: DatasetPaths, straight: dict[str, str], after: Doers,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    hear = local.LocalTeam.hear

    def interrupted(team: local.LocalTeam) -> object:
        if sum(slow_work.ledgers(project).values()) > 3:  # the small arrays are a unit, too
            raise KeyboardInterrupt
        return hear(team)

    with monkeypatch.context() as patch:
        patch.setattr(local.LocalTeam, "hear", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(project, TWO)
    assert pids() == set()
    assert not project.store.exists()
    with caplog.at_level(logging.INFO):
        made(project, after)
    assert "resuming:" in caplog.text
    assert tree(project.store) == straight


COMMAND = """\
import runpy, sys
from stages.encode import feature_job
from tests.support import slow_work
feature_job._opened = slow_work.opened_slowly
sys.argv = ["extract", "--dataset", "tiny", "--workers", "2"]
runpy.run_module("pipeline.extract", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow  # it imports torch
def test_a_command_that_is_killed_leaves_no_worker_and_is_resumed(
    project: DatasetPaths, straight: dict[str, str]
):
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND], cwd=project.root, env={"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: len(slow_work.ledgers(project)) > 1)
    writers = slow_work.ledgers(project).keys() - {command.pid}
    command.kill()
    command.wait()
    assert writers
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in writers), 30)
    assert not project.store.exists()
    made(project, TWO)
    assert tree(project.store) == straight


def test_a_worker_whose_leader_is_killed_ends():
    team = local.LocalTeam(["cpu"], 1)
    try:
        until(lambda: bool(team.hear()))
        (process,) = multiprocessing.active_children()
        team._pipes["1"].close()  # as the system does for who is killed
        process.join(30)
        assert process.exitcode == 0
    finally:
        team._pipes["1"] = multiprocessing.Pipe()[0]
        team.close()


def test_a_unit_that_kills_every_worker_ends_the_run_and_is_named(
    project: DatasetPaths, straight: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(feature_job, "_opened", slow_work.opened_to_die)
        with pytest.raises(MelovError, match=r"killed by SIGKILL; it had .*texts/32-46") as caught:
            made(project, TWO)
    assert "the same command resumes" in str(caught.value)
    made(project, TWO)
    assert tree(project.store) == straight


def test_a_worker_that_hangs_keeps_nobody_waiting(
    project: DatasetPaths, straight: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feature_job, "_opened", slow_work.opened_to_hang)
    timings = made(project, TWO).timings
    assert (project.path / "hangs").exists() or (project.raw / "hangs").exists()
    assert timings["units_dealt_twice"] > 0
    assert tree(project.store) == straight
    assert pids() == set()


def test_an_error_of_a_worker_is_the_one_that_a_process_alone_raises(project: DatasetPaths):
    (project.raw / "6.png").write_bytes((project.raw / "5.png").read_bytes())
    with pytest.raises(ChangedPictureError, match=r"6.png: changed since the records were made"):
        made(project, TWO)
    assert pids() == set()


def test_a_workers_full_disk_ends_the_run_with_one_message_and_another_one_resumes(
    project: DatasetPaths, straight: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(feature_job, "_opened", slow_work.opened_on_a_full_disk)
        with pytest.raises(StoreError, match="disk full while writing") as caught:
            made(project, TWO)
    assert "run the same command again" in str(caught.value)
    assert sum(slow_work.ledgers(project).values()) > 1
    made(project, TWO)
    assert tree(project.store) == straight


def test_a_defect_in_a_worker_is_raised_with_its_traceback(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feature_job, "_opened", slow_work.opened_to_fail)
    with pytest.raises(RuntimeError, match=r"ValueError.'a defect'") as caught:
        made(project, TWO)
    assert "in fail" in str(caught.value)
    assert "in a worker on" in str(caught.value)


def test_an_update_by_workers_copies_what_is_there(project: DatasetPaths, tmp_path: Path):
    made(project, Doers())
    add_entities(project)
    twin = write_project(tmp_path / "twin", Path(config_of(project).text_encoder))
    made(twin, Doers())
    add_entities(twin)
    assert made(twin, Doers()).reused is not None
    found = made(project, TWO)
    assert found.reused is not None
    assert (found.reused["texts"], found.reused["pictures"]) == (46, 14)
    assert tree(project.store) == tree(twin.store)


def test_further_encoders_go_the_same_ways(
    project: DatasetPaths, tmp_path: Path, bert: Path, vit: Path
):
    said = (
        f"extract.text_encoders={{minilm: {bert}}}", f"extract.image_encoders={{dino: {vit}}}",
        "extract.dtype=auto",  # the workers' to decide, as a process alone would
    )  # fmt: skip
    ways = {
        "alone": [Doers()], "led": [TWO],
        "parts": [Doers(part=Part(number, 3)) for number in (2, 3, 1)],
    }  # fmt: skip
    trees = []
    for name, doers in ways.items():
        paths = write_project(tmp_path / name, Path(config_of(project).text_encoder))
        for encoder in ("minilm", "dino"):
            left = [
                extract_further(paths, config_of(paths, *said), encoder, doers=each).left
                for each in doers
            ]
            assert left[-1] == 0
            assert all(left[:-1])
        trees.append(tree(paths.further))
    assert trees[0]
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_in_any_order_make_the_store_that_one_process_makes(
    project: DatasetPaths, straight: dict[str, str], order: tuple[int, ...]
):
    left = [made(project, Doers(part=Part(number, 3))).left for number in order]
    assert tree(project.store) == straight
    assert left == sorted(left, reverse=True)
    assert left[1] > left[2] == 0


def test_an_extract_without_a_part_does_what_a_lost_part_has_left(
    project: DatasetPaths, straight: dict[str, str]
):
    assert made(project, Doers(part=Part(1, 3))).left
    assert made(project, Doers(part=Part(3, 3))).left
    assert not project.store.exists()
    assert made(project, TWO).left == 0
    assert tree(project.store) == straight
    assert not made(project, Doers(part=Part(2, 3))).did_work  # it comes late


# GPUs: none is here, so their number is a stand-in's


def test_one_worker_is_hired_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert hiring.devices_of(Workers("cuda"), ExtractConfig()) == ["cuda:0", "cuda:1", "cuda:2"]


def test_without_a_gpu_one_worker_a_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(MelovError, match="torch finds no GPU"):
        hiring.devices_of(Workers("cuda"), ExtractConfig())


def test_another_device_than_gpus_goes_with_a_number_of_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(MelovError, match=r"extract.device is cpu"):
        hiring.devices_of(Workers("cuda"), ExtractConfig(device="cpu"))


def test_each_worker_opens_its_encoder_on_its_own_device(
    project: DatasetPaths, straight: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """The stand-in for a second GPU is a device that torch cannot have, and says so."""
    cuda = Doers(workers=Workers("cuda"))
    monkeypatch.setattr(hiring, "devices_of", lambda *_: ["cpu", "cpu"])
    with monkeypatch.context() as patch:
        patch.setattr(hiring, "devices_of", lambda *_: ["xpu:7"])
        with pytest.raises(Exception, match=r"(?i)xpu"):
            made(project, cuda)
    timings = made(project, cuda).timings
    assert [worker["device"] for worker in timings["workers"].values()] == ["cpu", "cpu"]
    assert tree(project.store) == straight


# Threads


def test_workers_share_the_threads_of_one_process_unless_their_number_is_said(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [hiring.threads_each(workers) for workers in (1, 2, 3, 9)] == [8, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert hiring.threads_each(3) == 5


@pytest.mark.parametrize("threads", [1, 3])
def test_workers_compute_with_as_many_threads_as_one_process_that_makes_the_same_bytes(
    project: DatasetPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
):
    twin = write_project(tmp_path / "twin", Path(config_of(project).text_encoder))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made(twin, Doers())
    finally:
        torch.set_num_threads(before)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setattr(feature_job, "_opened", slow_work.opened_to_tell)
    timings = made(project, TWO).timings
    assert {path.read_text() for path in project.root.glob("threads-*")} == {str(threads)}
    assert {worker["threads"] for worker in timings["workers"].values()} == {threads}
    assert tree(project.store) == tree(twin.store)


def test_a_store_opened_by_another_process_is_the_same_one_or_an_error(
    project: DatasetPaths, tmp_path: Path
):
    made(project, Doers())
    store = FeatureStore.open(project.store)
    held = pickle.dumps(store)
    assert pickle.loads(held).identity == store.identity
    add_entities(project)
    made(project, Doers())
    with pytest.raises(MelovError, match="another store has taken the place"):
        pickle.loads(held)
