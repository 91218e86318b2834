import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from transformers import AutoTokenizer, ViltModel

from cache.build import Build
from cache.errors import StoreError
from cache.reader import FeatureStore
from pipeline.joint import main
from stages.config import load_params
from stages.datasets.records import Records
from stages.datasets.store import open_joint
from stages.encode import joint as module
from stages.encode.encoders.checkpoint import CheckpointError
from stages.encode.joint import extract_joint
from stages.encode.plan import texts_of
from stages.paths import DatasetPaths
from tests.support.forks import server
from tests.support.small_project import tree, write_project
from tests.support.tiny_vilt import build_vilt

GROUPS = ("entities", "mentions/train", "mentions/valid", "mentions/test")


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_vilt(tmp_path_factory.mktemp("encoders") / "vilt", ["name", "cat"])


def settings(paths: DatasetPaths, **changes):
    config = load_params(paths.root / "params.yaml", "tiny").extract
    return config.model_copy(update={"batch_images": 3, **changes})


def pictures_of(records: Records) -> dict[str, list[int]]:
    found = {"entities": records.entities["picture"].to_pylist()}
    return found | {f"mentions/{s}": t["picture"].to_pylist() for s, t in records.mentions.items()}


def by_transformers(vilt: Path, text: str, picture: Path | None) -> np.ndarray:
    """One pair through the library alone; a blank where the picture is absent or does not open."""
    ids = AutoTokenizer.from_pretrained(vilt)(
        text, truncation=True, max_length=20, return_tensors="pt"
    )
    pixels = torch.zeros(1, 3, 24, 24)
    try:
        if picture is not None:
            with Image.open(picture) as opened:
                small = opened.convert("RGB").resize((24, 24), Image.Resampling.BICUBIC)
            array = torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255
            mean, std = (torch.tensor(x)[:, None, None]
                         for x in ([0.5, 0.4, 0.6], [0.5, 0.4, 0.3]))  # fmt: skip
            pixels = ((array - mean) / std)[None]
    except OSError:
        pass
    model = ViltModel.from_pretrained(vilt, add_pooling_layer=False).eval()
    with torch.no_grad():
        return model(**ids, pixel_values=pixels).last_hidden_state[0, 0].numpy()


def test_a_row_is_the_models_own_state_of_text_and_picture(project: DatasetPaths, vilt: Path):
    store, made = extract_joint(project, settings(project), str(vilt))
    assert made
    records = Records.load(project.records)
    paths = records.pictures["path"].to_pylist()
    rows = store["texts/global"].slice(0, len(store["texts/global"])).astype(np.float32)
    compared = 0
    for group, texts in texts_of(records).items():
        pair = store[f"{group}/text"].slice(0, len(texts))
        for i, (text, picture) in enumerate(zip(texts, pictures_of(records)[group], strict=True)):
            file = None if picture < 0 else project.raw / paths[picture]
            want = by_transformers(vilt, text, file)
            cosine = want @ rows[pair[i]] / np.linalg.norm(want) / np.linalg.norm(rows[pair[i]])
            assert cosine > 0.999, (group, i)
            compared += 1
    assert compared == 24 + 30
    assert set(store.attributes["failed_pictures"]) == {"broken.png", "cut.jpg", "words.jpg"}
    shown = store.attributes["without_picture"]["entities"]
    assert shown == sum(
        p < 0 or records.pictures["status"][p].as_py() != "ok"
        for p in pictures_of(records)["entities"]
    )


def test_records_share_a_row_exactly_where_text_and_picture_are_the_same(
    project: DatasetPaths, vilt: Path
):
    store, _ = extract_joint(project, settings(project), str(vilt))
    records = Records.load(project.records)
    keys, status = (records.pictures[n].to_pylist() for n in ("key", "status"))
    tokenizer = AutoTokenizer.from_pretrained(vilt)
    row_of = {}
    for group, texts in texts_of(records).items():
        pairs = store[f"{group}/text"].slice(0, len(texts))
        for text, picture, row in zip(texts, pictures_of(records)[group], pairs, strict=True):
            ids = tuple(tokenizer(text, truncation=True, max_length=20)["input_ids"])
            seen = keys[picture] if picture >= 0 and status[picture] == "ok" else None
            assert row_of.setdefault((ids, seen), row) == row
    assert len(row_of) == len(set(row_of.values())) == len(store["texts/global"])


def test_the_draw_inside_the_model_touches_neither_the_result_nor_the_callers_generator(
    project: DatasetPaths, vilt: Path, tmp_path: Path, clip: Path
):
    other = write_project(tmp_path / "other", clip)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    extract_joint(project, settings(project), str(vilt))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    extract_joint(other, settings(other), str(vilt))
    assert tree(project.joint) == tree(other.joint)


def extract_slowly(paths: DatasetPaths, vilt: Path) -> None:
    real = Build.write

    def slow(*args):
        real(*args)
        time.sleep(0.05)

    Build.write = slow
    extract_joint(paths, settings(paths, batch_images=1), str(vilt))


def test_killed_again_and_again_it_ends_with_the_same_bytes(
    project: DatasetPaths, vilt: Path, tmp_path: Path, clip: Path
):
    whole = write_project(tmp_path / "whole", clip)
    extract_joint(whole, settings(whole, batch_images=1), str(vilt))
    forks, kills = server(), 0

    def units() -> int:
        ledgers = project.joint_partial.glob("*/*/ledgers/*.jsonl")
        return sum(len(ledger.read_bytes().splitlines()) for ledger in ledgers)

    for kill in (True, True, True, False):
        process = forks.Process(target=extract_slowly, args=(project, vilt))
        wanted = units() + 3
        process.start()
        while kill and process.is_alive() and units() < wanted:
            time.sleep(0.002)
        if kill and process.is_alive():
            process.kill()
            kills += 1
        process.join()
    assert process.exitcode == 0
    assert kills == 3
    assert tree(project.joint) == tree(whole.joint)
    assert not list(project.joint_partial.glob("*"))


def test_a_finished_store_is_found_and_another_ones_named(project: DatasetPaths, vilt: Path):
    extract_joint(project, settings(project), str(vilt))
    before = tree(project.joint)
    _, made = extract_joint(project, settings(project), str(vilt))
    assert not made
    with pytest.raises(StoreError, match="resize") as found:
        extract_joint(project, settings(project, resize="crop"), str(vilt))
    assert "--replace" in str(found.value)
    assert tree(project.joint) == before
    _, made = extract_joint(project, settings(project, resize="crop"), str(vilt), replace=True)
    assert made
    assert tree(project.joint) != before


def test_a_model_that_is_no_vilt_is_refused(project: DatasetPaths, bert: Path):
    with pytest.raises(CheckpointError, match="a model of type bert, expected vilt"):
        extract_joint(project, settings(project), str(bert))


def test_without_joint_vectors_the_baseline_names_the_command(project: DatasetPaths):
    with pytest.raises(StoreError, match="vilt needs the joint vectors") as found:
        open_joint(project)
    assert "python -m pipeline.joint --dataset tiny --encoder" in str(found.value)


def test_the_command_says_what_was_written(
    project: DatasetPaths, vilt: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.root)
    command = ["--dataset", "tiny", "--encoder", str(vilt)]
    first = CliRunner().invoke(main, command)
    assert first.exit_code == 0, first.output
    pairs = len(FeatureStore.open(project.joint)["texts/global"])
    assert f"pairs: {pairs} distinct, of width 24" in first.output
    assert "broken.png" in first.output or "cut.jpg" in first.output
    assert "finished already" in CliRunner().invoke(main, command).output
    assert open_joint(project).fingerprint.fields["joint_version"] == module.JOINT_VERSION
