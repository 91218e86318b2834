import csv
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from cache.errors import MelovError, StoreError
from cache.reader import FeatureStore
from cache.strings import unpack_strings
from stages.config import ExtractConfig, load_params
from stages.datasets.records import Records
from stages.datasets.store import read_summary
from stages.encode import feature_job, job, making
from stages.encode.decode import PictureError, decode, normalised
from stages.encode.encoders.encoder import Encoder, pad_ids
from stages.encode.encoders.families import find_checkpoints, open_encoder
from stages.encode.extract import extract
from stages.encode.plan import texts_of
from stages.encode.record_arrays.lexical import Lexical
from stages.encode.record_arrays.registry import open_record_array
from stages.encode.summary import write_summary
from stages.encode.tokens import Tokenizer
from stages.paths import DatasetPaths
from tests.support.small_project import build_clip, prepare_again, tree, write_project

GROUPS = ("entities", "mentions/train", "mentions/valid", "mentions/test")

CPU = torch.device("cpu")


def config_of(paths: DatasetPaths, *assignments: str) -> ExtractConfig:
    return load_params(paths.root / "params.yaml", "tiny", assignments).extract


def column(store: FeatureStore, name: str) -> np.ndarray:
    return store[name].slice(0, len(store[name]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> DatasetPaths:
    """The small data set with its store; not to be changed."""
    paths = write_project(tmp_path_factory.mktemp("finished"), clip)
    assert extract(paths, config_of(paths)).did_work
    return paths


@pytest.fixture
def store(finished: DatasetPaths) -> FeatureStore:
    return FeatureStore.open(finished.store)


@pytest.fixture
def records(finished: DatasetPaths) -> Records:
    return Records.load(finished.records)


@pytest.fixture(scope="module")
def encoder(clip: Path) -> Encoder:
    config = ExtractConfig(text_encoder=str(clip))
    return open_encoder(find_checkpoints(config), config, CPU, torch.float32)


def table_of(records: Records, group: str) -> Any:
    return records.entities if group == "entities" else records.mentions[group.split("/")[1]]


def test_every_record_points_at_the_features_of_its_own_text(
    store: FeatureStore, records: Records, encoder: Encoder, clip: Path
):
    tokenizer = Tokenizer(find_checkpoints(ExtractConfig(text_encoder=str(clip))).text, 20)
    whole, local = store["texts/global"], store.ragged("texts/local", "texts/offsets")
    for group, texts in texts_of(records).items():
        rows = column(store, f"{group}/text")
        assert rows.dtype == np.int32
        for row, text in zip(rows, texts, strict=True):
            ids, mask = pad_ids(tokenizer([text]), 0, CPU)
            pooled, tokens = encoder.encode_texts(ids, mask)
            np.testing.assert_allclose(whole.gather([row]), pooled.numpy(), atol=2e-3)
            stored, lengths = local.gather([row])
            assert lengths[0] == ids.shape[1]
            np.testing.assert_allclose(stored, tokens[0].numpy(), atol=4e-3)


def test_every_record_points_at_the_features_of_its_own_picture(
    store: FeatureStore, records: Records, encoder: Encoder
):
    paths = records.pictures["path"].to_pylist()
    assert encoder.pixels is not None
    good, bad = 0, 0
    for group in GROUPS:
        rows = column(store, f"{group}/image")
        for row, picture in zip(rows, table_of(records, group)["picture"].to_pylist(), strict=True):
            file = Path(records.image_root) / paths[picture] if picture >= 0 else None
            try:
                data = file.read_bytes() if file and file.exists() else b""
                pixels = decode(data, encoder.pixels.size, "squash").copy()
            except PictureError:
                assert row == -1
                bad += 1
                continue
            pooled, local = encoder.encode_images(normalised(pixels[None], encoder.pixels, CPU))
            np.testing.assert_allclose(
                store["images/global"].gather([row]), pooled.numpy(), atol=2e-3
            )
            np.testing.assert_allclose(
                store["images/local"].gather([row]), local.numpy(), atol=4e-3
            )
            good += 1
    assert good > 20
    assert bad > 8


def test_rows_in_are_rows_out(store: FeatureStore, records: Records):
    for group in GROUPS:
        table = table_of(records, group)
        ids = unpack_strings(
            column(store, f"{group}/id_bytes"), column(store, f"{group}/id_offsets")
        )
        assert ids == table["id"].to_pylist()
        assert len(column(store, f"{group}/text")) == len(column(store, f"{group}/image"))


def test_distinct_texts_are_stored_once_by_token_length(store: FeatureStore, records: Records):
    texts = [text for group in texts_of(records).values() for text in group]
    rows = np.concatenate([column(store, f"{group}/text") for group in GROUPS])
    row_of: dict[str, int] = {}
    for text, row in zip(texts, rows, strict=True):
        assert row_of.setdefault(text, row) == row
    assert len(row_of) < len(texts)
    # Texts that the tokenizer cuts to the same tokens are one, so at most one row a text.
    assert set(rows) == set(range(len(store["texts/global"])))
    assert len(set(rows)) <= len(row_of)
    lengths = np.diff(column(store, "texts/offsets"), axis=1)[:, 0]
    assert (np.diff(lengths) >= 0).all()
    assert lengths[0] < lengths[-1] == 20
    assert len({key.tobytes() for key in column(store, "texts/keys")}) == len(lengths)


def test_the_same_bytes_under_two_names_share_a_row(store: FeatureStore, records: Records):
    paths = records.pictures["path"].to_pylist()
    image = dict(zip(records.entities["picture"].to_pylist(), column(store, "entities/image"),
                     strict=True))  # fmt: skip
    assert image[paths.index("a.png")] == image[paths.index("same-as-a.png")] >= 0
    keys = [key.tobytes().hex() for key in column(store, "images/keys")]
    assert len(set(keys)) == len(keys) == len(store["images/global"])


def test_each_text_and_picture_is_encoded_once(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    texts: list[bytes] = []
    pictures: list[str] = []
    real_texts, real_read = feature_job.encode_texts, feature_job.read_picture

    def encode_texts(encoder: Any, ids: Any, *rest: Any) -> Any:
        texts.extend(row.tobytes() for row in ids)
        return real_texts(encoder, ids, *rest)

    def read(root: Path, path: str, *rest: Any) -> Any:
        pictures.append(path)
        return real_read(root, path, *rest)

    monkeypatch.setattr(feature_job, "encode_texts", encode_texts)
    monkeypatch.setattr(feature_job, "read_picture", read)
    extract(project, config_of(project))
    opened = FeatureStore.open(project.store)
    assert len(texts) == len(set(texts)) == len(opened["texts/global"])
    assert len(pictures) == len(set(pictures)) == len(opened["images/global"])
    assert "same-as-a.png" not in pictures
    assert "a.png" in pictures


def test_failed_pictures_are_listed_each_with_its_reason(
    finished: DatasetPaths, store: FeatureStore, records: Records, tmp_path: Path
):
    summary = write_summary(tmp_path, store, records)
    assert read_summary(tmp_path, store, "") == summary
    with (tmp_path / "failed_pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    reasons = {row["path"]: row["reason"] for row in rows}
    assert list(reasons) == sorted(reasons)
    assert {path: reason.split(":")[0] for path, reason in reasons.items()} == {
        "broken.png": "corrupt", "cut.jpg": "truncated", "empty.png": "empty file",
        "missing.png": "missing file",
        "words.jpg": "not supported", "same-as-words.jpg": "not supported",
    }  # fmt: skip
    assert summary["pictures"]["failed"] == 6
    assert sum(summary["pictures"]["failed_by_reason"].values()) == 6
    assert summary["pictures"]["distinct"] == len(store["images/global"])
    paths = records.pictures["path"].to_pylist()
    named = [p for g in GROUPS for p in table_of(records, g)["picture"].to_pylist() if p >= 0]
    for row in rows:
        assert int(row["records"]) == named.count(paths.index(row["path"]))
    lost = sum(int(row["records"]) for row in rows)
    without = sum(p < 0 for g in GROUPS for p in table_of(records, g)["picture"].to_pylist())
    assert sum(summary["without_picture"].values()) == lost + without


def test_the_stores_lexicon_is_fitted_on_the_knowledge_base_alone(
    finished: DatasetPaths, store: FeatureStore, records: Records
):
    fitted = Lexical.fit(records.entities["name"].to_pylist(), config_of(finished))
    kept = open_record_array(store, "lexical", config_of(finished), "hint")
    assert isinstance(kept, Lexical)
    assert kept.terms.names == fitted.terms.names
    np.testing.assert_array_equal(kept.terms.idf, fitted.terms.idf)
    words = records.mentions["test"]["words"].to_pylist()
    matrix = fitted.of_mentions(words, [])
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(
            column(store, f"lexical/mentions/test/{part}"), getattr(matrix, part)
        )


def test_two_extractions_give_the_same_bytes(finished: DatasetPaths, project: DatasetPaths):
    extract(project, config_of(project))
    assert tree(project.store) == tree(finished.store)
    assert not list(project.partial.glob("*"))


def test_a_bert_without_an_image_encoder_stores_no_pictures(tmp_path: Path, bert: Path):
    paths = write_project(tmp_path, bert, "none")
    extract(paths, config_of(paths))
    opened = FeatureStore.open(paths.store)
    assert not [name for name in opened if name.startswith(("images/", "projections/"))]
    for group in GROUPS:
        assert (column(opened, f"{group}/image") == -1).all()
    summary = write_summary(tmp_path / "summary", opened, Records.load(paths.records))
    assert summary["pictures"] == {"distinct": 0, "failed": 0, "failed_by_reason": {}}


def test_a_bert_with_a_vit_stores_both(tmp_path: Path, bert: Path, vit: Path):
    paths = write_project(tmp_path, bert, str(vit))
    extract(paths, config_of(paths))
    opened = FeatureStore.open(paths.store)
    assert opened["texts/global"].shape[1:] == (28,)
    assert opened["images/local"].shape[1:] == (10, 40)
    assert opened["images/ok"].slice(0, len(opened["images/ok"])).sum() == 14
    assert column(opened, "entities/image")[0] >= 0


def test_clip_without_its_image_encoder_stores_texts_alone(project: DatasetPaths):
    extract(project, config_of(project, "extract.image_encoder=none"))
    opened = FeatureStore.open(project.store)
    assert "projections/text" in opened
    assert "images/global" not in opened


def test_records_without_a_single_picture_are_extracted_by_clip(project: DatasetPaths):
    records = Records.load(project.records)
    tables = {"entities": records.entities, **records.mentions}
    bare = {}
    for name, table in tables.items():
        place = table.column_names.index("picture")
        none = np.full(table.num_rows, -1, np.int32)
        bare[name] = table.set_column(place, "picture", [none])
    place = bare["entities"].column_names.index("pictures")
    nothing = pa.array([[]] * bare["entities"].num_rows, records.entities["pictures"].type)
    bare["entities"] = bare["entities"].set_column(place, "pictures", nothing)
    entities = bare.pop("entities")
    Records(
        "tiny", "jsonl", records.image_root, "text", entities, bare, records.pictures.slice(0, 0)
    ).save(project.records)
    extract(project, config_of(project))
    assert FeatureStore.open(project.store)["images/local"].shape == (0, 17, 48)


# Another store than asked


def test_a_finished_store_is_found_and_left_alone(finished: DatasetPaths):
    before = tree(finished.path)
    assert not extract(finished, config_of(finished)).did_work
    assert tree(finished.path) == before


def mismatch(paths: DatasetPaths, *assignments: str) -> str:
    """The message on a store that was made from something else; the store stays as it was."""
    before = tree(paths.store)
    with pytest.raises(StoreError) as caught:
        extract(paths, config_of(paths, *assignments))
    assert tree(paths.store) == before
    message = str(caught.value)
    assert "python -m pipeline.extract --dataset tiny --force" in message
    return message


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("extract.max_tokens=19", "max_tokens: stored 20, asked 19"),
        ("extract.text_pooling=mean", 'text_pooling: stored "auto", asked "mean"'),
        ("extract.resize=crop", 'resize: stored "squash", asked "crop"'),
        ("extract.dtype=bfloat16", 'dtype: stored "float32", asked "bfloat16"'),
        ("extract.batch_texts=3", "batch_texts: stored 2, asked 3"),
        ("extract.batch_images=3", "batch_images: stored 1, asked 3"),
    ],
)
def test_other_settings_than_the_stores_are_refused_by_name(
    finished: DatasetPaths, assignment: str, line: str
):
    lines = mismatch(finished, assignment).splitlines()
    assert f"  {line}" in lines
    assert len(lines) == 3  # this field alone, and the command


def test_another_encoder_than_the_stores_is_refused_by_its_weights(
    finished: DatasetPaths, tmp_path: Path
):
    other = build_clip(tmp_path / "other", seed=1)
    assert "text_encoder: stored" in mismatch(finished, f"extract.text_encoder={other}")
    assert "image_encoder: stored" in mismatch(finished, f"extract.text_encoder={other}")


def test_the_same_encoder_under_another_name_is_accepted(
    finished: DatasetPaths, clip: Path, tmp_path: Path
):
    (tmp_path / "link").symlink_to(clip)
    assert not extract(
        finished, config_of(finished, f"extract.text_encoder={tmp_path / 'link'}")
    ).did_work


def test_another_image_size_is_refused_and_other_records_are_named_beside_it(
    tmp_path: Path, bert: Path, vit: Path
):
    paths = write_project(tmp_path, bert, str(vit))
    extract(paths, config_of(paths))
    smaller = tmp_path / "vit"
    smaller.mkdir()
    for file in vit.iterdir():
        (smaller / file.name).symlink_to(file)
    config = json.loads((vit / "config.json").read_text())
    (smaller / "config.json").unlink()
    (smaller / "config.json").write_text(json.dumps({**config, "image_size": 16}))
    message = mismatch(paths, f"extract.image_encoder={smaller}")
    assert "image_size: stored 24, asked 16" in message
    prepare_again(paths, lambda rows: rows[:-1])
    message = mismatch(paths, f"extract.image_encoder={smaller}")
    assert "image_size: stored 24, asked 16" in message
    assert "records: stored" in message


def test_force_replaces_another_store(project: DatasetPaths):
    extract(project, config_of(project))
    other = config_of(project, "extract.max_tokens=9")
    assert extract(project, other, force=True).did_work
    assert FeatureStore.open(project.store).attributes["max_tokens"] == 9
    assert not extract(project, other).did_work


def test_dtype_auto_accepts_the_stores_precision(project: DatasetPaths):
    bfloat16 = config_of(project, "extract.dtype=bfloat16", "extract.image_encoder=none")
    extract(project, bfloat16)
    for dtype, accepted in (("auto", True), ("bfloat16", True), ("float32", False)):
        asked = bfloat16.model_copy(update={"dtype": dtype})
        if accepted:
            assert not extract(project, asked).did_work
        else:
            with pytest.raises(StoreError, match="dtype: stored"):
                extract(project, asked)


# What goes wrong on the way


def test_a_picture_that_changed_after_prepare_stops_extraction(project: DatasetPaths):
    picture = io.BytesIO()
    Image.new("RGB", (5, 5)).save(picture, "PNG")
    (project.raw / "7.png").write_bytes(picture.getvalue())
    with pytest.raises(MelovError, match=r"7\.png: changed since the records were made") as caught:
        extract(project, config_of(project))
    assert "python -m pipeline.prepare" in str(caught.value)
    assert not project.store.exists()


def test_a_full_disk_is_told_and_a_rerun_completes(
    project: DatasetPaths, finished: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    real, writes = os.pwrite, 0

    def pwrite(*args: Any) -> int:
        nonlocal writes
        writes += 1
        if writes > 50:  # the small arrays are 47
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(StoreError, match=r"disk full while writing (texts|pictures)/"):
        extract(project, config_of(project))
    assert not project.store.exists()
    monkeypatch.setattr(os, "pwrite", real)
    extract(project, config_of(project))
    assert tree(project.store) == tree(finished.store)


def test_work_that_a_kill_left_behind_a_finished_store_is_swept_by_the_next_run(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cache.finish.sweep", killed)
        with pytest.raises(KeyboardInterrupt):  # after the renaming
            extract(project, config_of(project))
    made = tree(project.store)
    (stale,) = project.partial.iterdir()
    assert not extract(project, config_of(project)).did_work
    assert not stale.exists()
    assert tree(project.store) == made
    assert extract(project, config_of(project), force=True).did_work
    assert tree(project.store) == made


def test_the_bar_of_texts_counts_tokens_and_that_of_pictures_pictures(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    bars: dict[str, Any] = {}
    real = job.progress

    def progress(total: int, unit: str, what: str) -> Any:
        bars[unit] = real(total, unit, what)
        return bars[unit]

    monkeypatch.setattr(job, "progress", progress)
    done = extract(project, config_of(project))
    opened = FeatureStore.open(project.store)
    tokens = np.diff(column(opened, "texts/offsets")).sum()
    for unit, count in (("tokens", tokens), ("pictures", len(opened["images/global"]))):
        assert bars[unit].n == bars[unit].total == count
    assert done.timings["texts"]["rows"] == len(opened["texts/global"])


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_units_of_another_batch_size_are_not_mixed_in(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    def stopped(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(feature_job, "encode_pictures", stopped)
        with pytest.raises(KeyboardInterrupt):
            extract(project, config_of(project))
    (half,) = project.partial.iterdir()
    texts, real = 0, feature_job.encode_texts

    def counted(encoder: Any, ids: Any, *rest: Any) -> Any:
        nonlocal texts
        texts += len(ids)
        return real(encoder, ids, *rest)

    monkeypatch.setattr(feature_job, "encode_texts", counted)
    extract(project, config_of(project, "extract.batch_texts=3"))
    assert texts == len(FeatureStore.open(project.store)["texts/global"])
    assert not half.exists()


def test_records_that_are_prepared_again_at_the_start_end_in_no_store_of_other_ones(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    """Its fingerprint would tell of the older records."""
    config = load_params(project.root / "params.yaml", "tiny").extract
    find = making.find_older

    def prepared_meanwhile(*arguments: Any) -> Any:
        prepare_again(project, lambda rows: [{**rows[0], "text": "another"}, *rows[1:]])
        return find(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(making, "find_older", prepared_meanwhile)
        with pytest.raises(MelovError, match="prepared again meanwhile"):
            extract(project, config)
    assert not project.store.exists()
    made = FeatureStore.open(extract(project, config).store)
    assert made.fingerprint.fields["records"] == Records.load(project.records).digest
