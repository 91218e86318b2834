import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from cache.reader import FeatureStore
from pipeline import extract
from stages.encode.encoders import checkpoint
from stages.paths import DatasetPaths
from tests.support.small_project import (
    add_entities,
    build_bert,
    build_clip,
    build_vit,
    tree,
    write_project,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints clip, bert and vit."""
    folder = tmp_path_factory.mktemp("encoders")
    build_clip(folder / "clip")
    build_bert(folder / "bert")
    build_vit(folder / "vit")
    return folder


@pytest.fixture(scope="module")
def finished(encoders: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetPaths:
    """A project whose store is made; not to be changed."""
    paths = write_project(tmp_path_factory.mktemp("finished"), encoders / "clip")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(paths.root)
        result = run()
    assert result.exit_code == 0, result.output
    return paths


@pytest.fixture
def project(encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
    """A prepared data set in the current folder, without a store."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, encoders / "clip")
    return DatasetPaths("tiny")


def run(*arguments: str, dataset: str = "tiny") -> Result:
    return CliRunner().invoke(extract.main, ["--dataset", dataset, *arguments])


def with_encoder(folder: Path | str, image: Path | str = "same", *more: str) -> Result:
    settings = [f"extract.text_encoder={folder}", f"extract.image_encoder={image}", *more]
    return run(*(part for setting in settings for part in ("--set", setting)))


def message(result: Result) -> str:
    """What a failed command told: one message, no traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.output.count("error: ") == 1
    assert "Traceback" not in result.output
    return result.output


def test_a_rerun_on_a_finished_store_says_so_without_importing_transformers(finished: DatasetPaths):
    before = tree(finished.path)
    script = (
        "import runpy, sys\n"
        "sys.argv = ['extract', '--dataset', 'tiny']\n"
        "try:\n"
        "    runpy.run_module('pipeline.extract', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "print('code', code, 'transformers' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=finished.root,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "finished already, nothing to do" in done.stdout
    assert "texts: 54 records" in done.stdout
    assert "code 0 False" in done.stdout
    assert tree(finished.path) == before


def test_extraction_prints_what_it_made_and_what_failed(
    project: DatasetPaths, finished: DatasetPaths
):
    result = run()
    assert result.exit_code == 0, result.output
    assert "pictures: 17 distinct, 6 failed" in result.output
    assert "1 x truncated" in result.output
    assert "finished already" not in result.output
    summary = json.loads((project.extract / "summary.json").read_text())
    by_reason = {"corrupt": 1, "empty file": 1, "missing file": 1, "not supported": 2}
    assert summary["pictures"]["failed_by_reason"] == by_reason | {"truncated": 1}
    assert json.loads((project.extract / "timings.json").read_text())["texts"]["rows"] == 46
    for name in ("summary.json", "failed_pictures.csv"):  # nothing volatile in them
        assert (project.extract / name).read_bytes() == (finished.extract / name).read_bytes()


def test_another_store_is_refused_with_the_fields_and_replaced_by_force(
    project: DatasetPaths, finished: DatasetPaths
):
    shutil.copytree(finished.store, project.store)
    shorter = ("--set", "extract.max_tokens=9")
    told = message(run(*shorter))
    assert "max_tokens: stored 20, asked 9" in told
    assert "python -m pipeline.extract --dataset tiny --force" in told
    assert tree(project.store) == tree(finished.store)
    assert run(*shorter, "--force").exit_code == 0
    assert tree(project.store) != tree(finished.store)


def test_an_update_says_what_it_reused(project: DatasetPaths, finished: DatasetPaths):
    shutil.copytree(finished.store, project.store)
    add_entities(project)
    result = run()
    assert result.exit_code == 0, result.output
    assert "updated; reused 46 of 48 texts, 14 of 19 pictures" in result.output
    assert "finished already, nothing to do" in run().output
    assert "reused" not in run("--force").output


def test_replace_says_why_a_store_is_rebuilt(
    project: DatasetPaths, finished: DatasetPaths, caplog: pytest.LogCaptureFixture
):
    shutil.copytree(finished.store, project.store)
    with caplog.at_level("INFO"):
        result = run("--set", "extract.max_tokens=9", "--replace")
    assert result.exit_code == 0, result.output
    assert "max_tokens: stored 20, asked 9" in caplog.text
    assert "it is rebuilt" in caplog.text
    assert tree(project.store) != tree(finished.store)


def test_a_kill_before_the_summary_leaves_no_summary_of_the_replaced_store(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    assert run().exit_code == 0
    old = json.loads((project.extract / "summary.json").read_text())

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(extract, "write_summary", killed)
        shorter = ("--set", "extract.max_tokens=9")
        assert run(*shorter, "--force").exit_code == 130
    result = run(*shorter)
    assert "finished already" in result.output
    new = json.loads((project.extract / "summary.json").read_text())
    assert new["texts"]["tokens"] < old["texts"]["tokens"]


def test_a_store_with_a_changed_ledger_is_refused_with_the_command_that_replaces_it(
    project: DatasetPaths, finished: DatasetPaths
):
    shutil.copytree(finished.store, project.store)
    meta = project.store / "zarr.json"
    meta.write_text(meta.read_text().replace('"finished": true', '"finished": false'))
    told = message(run())
    assert "damaged: the attribute 'melov' is not as written" in told
    assert "--force" in told
    assert run("--force").exit_code == 0
    assert tree(project.store) == tree(finished.store)


def test_a_full_disk_ends_with_one_message_and_a_rerun_completes(
    project: DatasetPaths, finished: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    real, writes = os.pwrite, 0

    def pwrite(*args: Any) -> int:
        nonlocal writes
        writes += 1
        if writes > 36:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        told = message(run())
    assert "disk full while writing" in told
    assert "run the same command again" in told
    assert run().exit_code == 0
    assert tree(project.store) == tree(finished.store)


def test_a_picture_that_changed_after_prepare_is_named_with_the_command(project: DatasetPaths):
    (project.raw / "6.png").write_bytes((project.raw / "5.png").read_bytes())
    told = message(run())
    assert f"{project.raw / '6.png'}: changed since the records were made" in told
    assert "run python -m pipeline.prepare" in told


@pytest.mark.parametrize(
    ("asked", "told"),
    [("tinny", "is unknown; did you mean 'tiny'?"), ("other", "Prepared here: tiny")],
)
def test_an_unknown_data_set_names_the_nearest_known_one(
    project: DatasetPaths, asked: str, told: str
):
    result = run(dataset=asked)
    assert told in message(result)
    assert "python -m pipeline.prepare" in result.output


# Workers and parts


def test_parts_say_what_they_leave_and_the_last_one_finishes(
    project: DatasetPaths, finished: DatasetPaths
):
    said = [run("--part", f"{number}/3").output for number in (3, 1, 2)]
    assert "this part is done; 4 units are left to other parts" in said[0]
    assert "2 units are left" in said[1]
    assert "pictures: 17 distinct, 6 failed" in said[2]
    assert "are left" not in said[2]
    assert tree(project.store) == tree(finished.store)
    assert "finished already" in run("--part", "1/3").output


def test_parts_of_further_encoders_are_listed_when_they_are_whole(
    project: DatasetPaths, encoders: Path
):
    bert = ("--set", f"extract.text_encoders={{minilm: {encoders / 'bert'}}}")
    for number in (1, 2):
        assert not (project.extract / "further.json").exists()
        assert run("--part", f"{number}/2", *bert).exit_code == 0
    assert "minilm" in (project.extract / "further.json").read_text()


@pytest.mark.parametrize("part", ["4/3", "0/3", "x", "1", "1/", "/3", "-1/3", "1/3/5", "1.0/3", ""])
def test_a_part_that_cannot_be_is_wrong_usage(project: DatasetPaths, part: str):
    result = run("--part", part)
    assert result.exit_code == 2
    assert f"'{part}': expected I/N with I from 1 to N, such as 2/8" in result.output


@pytest.mark.parametrize("workers", ["0", "-1", "two", "CUDA", "1.5", ""])
def test_workers_that_cannot_be_are_wrong_usage(project: DatasetPaths, workers: str):
    result = run("--workers", workers)
    assert result.exit_code == 2
    assert f"'{workers}': expected a number from 1 to 9999, cuda or ray" in result.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers", "2", "--part", "1/2"], "--together, --workers and --part exclude each"),
        (["--together", "--part", "1/2"], "--together, --workers and --part exclude each"),
        (["--together", "--workers", "ray"], "--together, --workers and --part exclude each"),
        (["--address", "localhost:1"], "go with --workers ray"),
        (["--workers", "2", "--gpus-per-worker", "0"], "go with --workers ray"),
        (["--part", "1/2", "--force"], "remove the store instead"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    project: DatasetPaths, options: list[str], told: str
):
    result = run(*options)
    assert result.exit_code == 2
    assert told in result.output
    assert not project.partial.exists()


def test_without_ray_the_extra_that_brings_it_is_told(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    told = message(run("--workers", "ray"))
    assert "--workers ray needs ray, which is not installed" in told
    assert "pip install 'melov-cache[ray]'" in told


# Checkpoints that are none


def copy_of(source: Path, folder: Path, without: str = "") -> Path:
    shutil.copytree(source, folder)
    for file in folder.glob(without) if without else ():
        file.unlink()
    return folder


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("tokenizer*.json", "holds no tokenizer"),
        ("model.safetensors", "no weights (looked for model.safetensors"),
        ("config.json", "config.json is missing"),
        ("preprocessor_config.json", "preprocessor_config.json with image_mean and image_std"),
    ],
)
def test_an_incomplete_checkpoint_is_told_by_what_it_lacks(
    project: DatasetPaths, encoders: Path, without: str, told: str
):
    folder = copy_of(encoders / "clip", project.root / "half", without)
    assert list(folder.iterdir())
    result = message(with_encoder(folder))
    assert told in result
    assert str(folder) in result
    assert not project.store.exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 605247071\n")


@pytest.mark.parametrize("damage", [cut, lfs_pointer])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.safetensors", "damaged/model.safetensors: "),
        ("config.json", "config.json: not JSON"),
        ("tokenizer.json", "cannot load the tokenizer"),
        ("preprocessor_config.json", "preprocessor_config.json: not JSON"),
    ],
)
def test_a_damaged_checkpoint_is_told_by_its_file(
    project: DatasetPaths, encoders: Path, damage: Callable[[Path], None], name: str, told: str
):
    folder = copy_of(encoders / "clip", project.root / "damaged")
    damage(folder / name)
    assert told in message(with_encoder(folder))


def test_absent_weights_are_refused_not_replaced_by_random_ones(
    project: DatasetPaths, encoders: Path
):
    folder = copy_of(encoders / "bert", project.root / "fewer")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    told = message(with_encoder(folder, "none"))
    assert "1 weights of BertModel are missing: encoder.layer.1.output.dense.weight" in told


def test_weights_of_another_model_are_refused(project: DatasetPaths, encoders: Path):
    folder = copy_of(encoders / "bert", project.root / "mixed")
    shutil.copy(encoders / "vit" / "model.safetensors", folder)
    told = message(with_encoder(folder, "none"))
    assert "weights have another shape than BertModel by config.json" in told


def test_a_vocabulary_without_its_merges_is_no_tokenizer(project: DatasetPaths, encoders: Path):
    folder = copy_of(encoders / "clip", project.root / "unmerged", "tokenizer.json")
    (folder / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1}')
    assert "cannot load the tokenizer" in message(with_encoder(folder))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere", "a/b/c"])
def test_what_is_neither_a_folder_nor_a_hub_name_is_told(project: DatasetPaths, name: str):
    told = message(with_encoder(name))
    assert f"{name}: no such checkpoint folder" in told
    assert "a hub name such as openai/clip-vit-base-patch32" in told


def test_a_hub_name_without_a_network_is_told_with_the_way_out(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    # huggingface_hub reads HF_HUB_OFFLINE as it is imported, which it is by now.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = message(with_encoder("some-owner/no-such-model-here"))
    assert (
        "some-owner/no-such-model-here: neither a local folder nor to be had from the hub" in told
    )
    assert "--set extract.text_encoder=FOLDER" in told


def test_a_hub_folder_that_is_half_there_is_completed_from_the_hub(
    encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    half = copy_of(encoders / "clip", tmp_path / "half", "model.safetensors")

    def download(name: str, local_files_only: bool = False, **_: Any) -> str:
        return str(half if local_files_only else encoders / "clip")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert checkpoint.find_checkpoint("owner/model").folder == encoders / "clip"


def test_clips_text_encoder_with_another_image_encoder_is_refused(
    project: DatasetPaths, encoders: Path
):
    told = message(with_encoder(encoders / "clip", encoders / "vit"))
    assert "CLIP's text encoder goes with CLIP's own image encoder" in told


def test_a_text_model_asked_to_encode_pictures_is_refused(project: DatasetPaths, encoders: Path):
    assert "a bert model encodes no pictures" in message(with_encoder(encoders / "bert"))


def test_more_tokens_than_the_model_reads_are_refused(project: DatasetPaths):
    told = message(run("--set", "extract.max_tokens=100"))
    assert "reads 77 tokens of a text at most" in told


BATCHES = ("extract.dtype=float32", "extract.device=cpu", "extract.batch_texts=2",
           "extract.batch_images=1", "extract.max_tokens=12")  # fmt: skip


def test_a_later_extract_takes_what_an_earlier_one_was_told(
    project: DatasetPaths, encoders: Path, caplog: pytest.LogCaptureFixture
):
    params = project.root / "params.yaml"
    params.write_text("extract: {device: cpu}\n")
    told = with_encoder(encoders / "bert", encoders / "vit", *BATCHES)
    assert told.exit_code == 0, told.output
    asked = FeatureStore.open(project.store).fingerprint.fields
    assert "finished already" in run().output  # whatever the parameters' defaults are
    add_entities(project)
    with caplog.at_level("INFO"):
        result = run()
    assert "updated; reused" in result.output, result.output
    assert f"extract.text_encoder={encoders / 'bert'} (not openai/clip" in caplog.text
    assert "nothing else is said" in caplog.text
    updated = FeatureStore.open(project.store).fingerprint.fields
    assert {**updated, "records": ""} == {**asked, "records": ""}

    # What is said, for this data set or by a value for all, is not passed over.
    assert "max_tokens: stored 12, asked 40" in message(run("--set", "extract.max_tokens=40"))
    for written in ("extract: {device: cpu, max_tokens: 9}",
                    "overrides: {tiny: {extract: {max_tokens: 9}}}"):  # fmt: skip
        params.write_text(written + "\n")
        assert "max_tokens: stored 12, asked 9" in message(run())
    assert "extract.max_tokens=9 (not 12)" in caplog.text
    params.write_text("extract: {device: cpu}\n")
    assert "text_encoder: stored" in message(with_encoder(encoders / "clip"))
    # DVC's own call says all by its parameters.
    assert "openai/clip-vit-base-patch32" in message(run("--replace"))
