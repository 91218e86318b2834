"""`pipeline.verify`: every changed byte is found, and a store is repaired byte by byte."""

import random
import shutil
from itertools import product
from pathlib import Path

import pytest

from cache.exchange import export_hdf5
from stages.config import ReportConfig
from stages.paths import DatasetPaths
from stages.report.report import write_report
from tests.support import made_runs
from tests.support.small_stores import tree
from tests.support.tiny_project import call, own_world, run

FILES = (
    "zarr.json", "texts/zarr.json", "texts/global/zarr.json", "texts/global/c.0.0",
    "texts/local/c.1.0", "images/local/c.0.0.0", "images/ok/c.0", "entities/image/c.0",
    "texts/offsets/c.0.0", "lexical/entities/data/c.0",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
    own_world(tmp_path_factory.getbasetemp(), tmp_path)
    monkeypatch.chdir(tmp_path)
    run("extract")  # writes the summary
    return DatasetPaths("tiny")


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    bit %= 8 * len(data)
    data[bit // 8] ^= 1 << bit % 8
    path.unlink()  # no write into a file that somebody may have mapped or linked
    path.write_bytes(data)


def outputs(paths: DatasetPaths) -> list[Path]:
    folders = (paths.records, paths.store, paths.graph)
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    names = ("summary.json", "failed_pictures.csv", "store.json")
    return [*found, *(paths.extract / name for name in names)]


def test_whole_outputs_are_said_to_be_whole(paths: DatasetPaths):
    export_hdf5(paths.store, Path("tiny.h5"))
    said = run("verify", "--file", "tiny.h5")
    for name in ("records", "store", "summary", "graph", "export"):
        assert any(line.split()[:2] == [name, "whole"] for line in said.splitlines()), name


def test_one_flipped_bit_of_any_output_is_found_and_named(paths: DatasetPaths):
    chance = random.Random(2)
    for path in outputs(paths):
        whole = path.read_bytes()
        if not whole:
            continue
        flip(path, chance.randrange(8 * len(whole)))
        result = call("verify")
        assert result.exit_code == 1, path
        assert f"{path}: " in result.stdout
        assert "damaged" in result.stderr
        path.unlink()
        path.write_bytes(whole)
    run("verify")


def test_lost_files_and_files_of_nobody_are_found(paths: DatasetPaths):
    (paths.store / "texts/local/c.1.0").unlink()
    (paths.store / "texts/local/c.99.0").write_bytes(b"")
    (paths.records / "pictures.parquet").unlink()
    said = call("verify").stdout
    assert "texts/local/c.1.0: the file is missing" in said
    assert "texts/local/c.99.0: no file of this store" in said
    assert "records/pictures.parquet: No such file" in said


def test_a_damaged_export_is_found(paths: DatasetPaths):
    export_hdf5(paths.store, Path("tiny.h5"))
    flip(Path("tiny.h5"), 99_999)
    result = call("verify", "--file", "tiny.h5")
    assert result.exit_code == 1
    assert "tiny.h5: damaged: its CRC-32" in result.stdout


def test_the_rows_and_a_record_of_them_are_named(paths: DatasetPaths):
    flip(paths.store / "texts/global/c.0.0", 5)
    flip(paths.store / "images/local/c.0.0.0", 5)
    said = call("verify").stdout
    assert "rows 0 to 64 are not those that were written (of texts 0 to 64, such as that of" in said
    assert "(of images 0 to " in said


@pytest.mark.parametrize("seed", range(3))
def test_a_repaired_store_is_the_one_that_it_was(paths: DatasetPaths, seed: int):
    chance, whole = random.Random(seed), tree(paths.store)
    for name in chance.sample(FILES, 5):
        path = paths.store / name
        if chance.random() < 0.3:
            path.unlink()
        else:
            flip(path, chance.randrange(10**9))
    (paths.store / "foreign").write_bytes(b"") if seed == 0 else None
    result = call("verify", "--repair")
    (paths.store / "foreign").unlink(missing_ok=True)
    assert tree(paths.store) == whole, result.output
    assert result.exit_code == (1 if seed == 0 else 0)
    assert "foreign: no file of this store" in result.stdout or seed


def test_what_is_damaged_is_encoded_and_nothing_else(paths: DatasetPaths):
    flip(paths.store / "entities/image/c.0", 3)
    assert "1 files made again; encoded nothing" in run("verify", "--repair")
    flip(paths.store / "texts/local/c.0.0", 3)
    texts = paths.store / "texts/global/c.1.0"
    assert texts.exists()  # more than one unit of work
    assert "1 files made again; encoded 64 texts\n" in run("verify", "--repair")


def test_rows_that_come_out_otherwise_are_left_and_said(paths: DatasetPaths):
    flip(paths.store / "texts/global/c.0.0", 3)
    before = tree(paths.store)
    for weights in Path("clip").glob("*.safetensors"):
        flip(weights, 8 * (weights.stat().st_size - 2))
    result = call("verify", "--repair")
    assert result.exit_code == 1
    assert "text_encoder: stored" in result.stderr  # another encoder
    assert tree(paths.store) == before


def test_a_ledger_whose_copy_is_gone_names_the_command(paths: DatasetPaths):
    flip(paths.store / "zarr.json", 4000)
    (paths.extract / "summary.json").unlink()
    before = tree(paths.store)
    result = call("verify", "--repair")
    assert result.exit_code == 1
    assert "python -m pipeline.extract --dataset tiny --force" in result.stderr
    assert tree(paths.store) == before


def test_the_copy_of_another_stores_ledger_is_not_taken(paths: DatasetPaths):
    copy = tree(paths.extract)
    run("extract", "--force", "--set", "extract.max_tokens=7")
    for name, data in copy.items():
        (paths.extract / name).write_bytes(data)
    flip(paths.store / "zarr.json", 4000)
    before = tree(paths.store)
    result = call("verify", "--repair")
    assert result.exit_code == 1
    assert "its copy in data/tiny/extract is of another store" in result.stderr
    assert tree(paths.store) == before


def damaged(*arguments: str) -> str:
    """What `verify` says, which finds damage."""
    result = call("verify", *arguments)
    assert result.exit_code == 1, result.output
    return result.stdout


def test_what_vouches_for_the_others_is_missed_when_it_is_gone(paths: DatasetPaths):
    (paths.extract / "summary.json").unlink()
    (paths.records / "records.json").unlink()
    said = damaged()
    assert "extract/summary.json: No such file" in said
    assert "records/records.json: No such file" in said
    assert "python -m pipeline.prepare --dataset tiny" in said


def test_a_flipped_bit_of_an_index_is_found_and_named(paths: DatasetPaths):
    piece = Path("indexes/tiny/melov-s0/00000000.zarr")
    shutil.copytree(paths.store, piece)  # a piece is a store like any other
    assert "index of melov-s0       whole" in run("verify")
    for name in ("zarr.json", "texts/zarr.json", "texts/global/c.1.0", "images/ok/c.0"):
        whole = (piece / name).read_bytes()
        flip(piece / name, 8 * len(whole) // 2)
        assert f"{piece / name}: " in damaged(), name
        (piece / name).write_bytes(whole)


def test_who_meets_damage_of_a_store_names_the_repair_which_mends_it(paths: DatasetPaths):
    whole = tree(paths.store)
    for name, steps in {
        "texts/global/c.0.0": ("graph", "export"),
        "texts/offsets/zarr.json": ("export",),
        "images/local/c.1.0.0": ("extract", "graph", "export"),  # cut: seen without being read
        "zarr.json": ("extract", "graph", "export"),
    }.items():
        data = (paths.store / name).read_bytes()
        (paths.store / name).write_bytes(data[:-3] if name.startswith("images") else data[::-1])
        for step in steps:
            result = call(step, *(("--output", "tiny.h5") if step == "export" else ()))
            assert result.exit_code == 1, (name, step)
            assert "features.zarr" in result.stderr
            assert "python -m pipeline.verify --dataset tiny --repair" in result.stderr, step
        run("verify", "--repair")
        assert tree(paths.store) == whole


class TestRuns:
    """Made-up ones: no weights that work, but files that vouch for each other."""

    @pytest.fixture
    def paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
        (tmp_path / "params.yaml").write_text("{}")
        paths = made_runs.make_project(tmp_path)
        made_runs.make_grid(tmp_path, "sweep", {"one": ("melov", {})})
        for variant, seed in product(("melov", "mimic"), (0, 1)):
            copy = paths.figures(variant, seed)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((paths.run(variant, seed) / "metrics.json").read_bytes())
        write_report(paths, ("melov", "mimic"), (0, 1), ReportConfig())
        monkeypatch.chdir(tmp_path)
        return DatasetPaths("tiny")

    def test_every_flipped_bit_is_found_and_named(self, paths: DatasetPaths):
        run("verify")
        chance = random.Random(4)
        for folder in ("runs", "ablations", "reports", "metrics"):
            for path in sorted(Path(folder).rglob("*.*")):
                whole = path.read_bytes()
                flip(path, chance.randrange(8 * len(whole)))
                assert f"{path}: " in damaged(), path
                path.write_bytes(whole)

    def test_every_lost_file_is_found_and_named(self, paths: DatasetPaths):
        for folder in ("runs", "ablations", "reports", "metrics"):
            for path in sorted(Path(folder).rglob("*.*")):
                whole = path.read_bytes()
                path.unlink()
                assert f"{path}: " in damaged(), path
                path.write_bytes(whole)

    def test_what_is_not_evaluated_yet_is_whole(self, paths: DatasetPaths):
        for name in ("ranks.npz", "predictions.csv", "metrics.json"):
            (paths.run("melov", 0) / name).unlink()
        paths.run("melov", 9).mkdir()  # a training that was killed before its end
        for table in Path("ablations/tiny/sweep").glob("*.*"):
            if table.is_file():
                table.unlink()
        run("verify")

    def test_files_of_another_run_are_found(self, paths: DatasetPaths):
        one, other = paths.run("melov", 0), paths.run("melov", 1)
        for name in ("metrics.json", "ranks.npz", "predictions.csv"):
            (one / name).write_bytes((other / name).read_bytes())
        assert "runs/tiny/melov-s0/metrics.json: of other weights" in damaged()
        one.rename("aside")
        other.rename(one)
        assert "runs/tiny/melov-s0: holds the run melov-s1" in damaged()
        Path(paths.figures("mimic", 0)).write_bytes(paths.figures("melov", 0).read_bytes())
        assert "metrics/tiny/mimic-s0.json: the metrics of melov-s0" in damaged()
