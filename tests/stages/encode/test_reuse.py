"""A store that is updated: rows that an older one has are copied, the others encoded."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.build import building
from cache.errors import StoreError
from cache.reader import FeatureStore
from cache.strings import unpack_strings
from stages.config import ExtractConfig, load_params
from stages.datasets.records import Records
from stages.datasets.store import encoder_of
from stages.encode import decode, feature_job, fingerprint
from stages.encode.arrays import specs_of
from stages.encode.decode import PictureError
from stages.encode.extract import extract
from stages.encode.summary import failed_pictures, write_summary
from stages.paths import DatasetPaths
from tests.support.small_project import (
    add_entities,
    prepare_again,
    random_picture,
    tree,
    write_project,
)

GROUPS = ("entities", "mentions/train", "mentions/valid", "mentions/test")

UNDECODABLE = {"broken.png", "cut.jpg", "words.jpg"}
ENCODED = ("texts/global", "texts/local", "images/global", "images/local")


class Counter:
    """What the encoders were asked for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.texts, self.pictures = 0, list[str]()
        real_texts, real_read = feature_job.encode_texts, feature_job.read_picture

        def encode_texts(encoder: Any, ids: Any, *rest: Any) -> Any:
            self.texts += len(ids)
            return real_texts(encoder, ids, *rest)

        def read(root: Path, path: str, *rest: Any) -> Any:
            self.pictures.append(path)
            return real_read(root, path, *rest)

        patch.setattr(feature_job, "encode_texts", encode_texts)
        patch.setattr(feature_job, "read_picture", read)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> DatasetPaths:
    """The small data set with its store; not to be changed."""
    paths = write_project(tmp_path_factory.mktemp("made"), clip)
    extract(paths, config_of(paths))
    return paths


@pytest.fixture
def project(made: DatasetPaths, project: DatasetPaths) -> DatasetPaths:
    shutil.copytree(made.store, project.store)
    return project


def config_of(paths: DatasetPaths, *assignments: str) -> ExtractConfig:
    return load_params(paths.root / "params.yaml", "tiny", assignments).extract


def whole(store: FeatureStore, name: str) -> np.ndarray:
    return store[name].slice(0, len(store[name]))


def features(store: FeatureStore) -> dict[bytes, tuple[np.ndarray, ...]]:
    """Global and local features by key; a failed picture has none."""
    found = {}
    tokens = store.ragged("texts/local", "texts/offsets")
    for row, key in enumerate(whole(store, "texts/keys")):
        found[key.tobytes()] = (whole(store, "texts/global")[row], tokens.gather([row])[0])
    if "images/keys" in store:
        for row in np.flatnonzero(whole(store, "images/ok")):
            key = whole(store, "images/keys")[row].tobytes()
            found[key] = tuple(whole(store, f"images/{what}")[row] for what in ("global", "local"))
    return found


def straight(paths: DatasetPaths) -> FeatureStore:
    """A store of the same records and files in which every row was encoded."""
    other = DatasetPaths("tiny", paths.root / "straight")
    shutil.copytree(paths.records, other.records)
    extract(other, config_of(paths))
    return FeatureStore.open(other.store)


def assert_like(store: FeatureStore, fresh: FeatureStore) -> None:
    """Every array equal; features up to what another batch's company moves."""
    assert store.names() == fresh.names()
    assert store.fingerprint == fresh.fingerprint
    for name in store:
        if name in ENCODED:
            np.testing.assert_allclose(whole(store, name), whole(fresh, name), atol=4e-3)
        else:
            np.testing.assert_array_equal(whole(store, name), whole(fresh, name), err_msg=name)


def test_new_entities_cost_their_own_texts_and_pictures_alone(
    project: DatasetPaths, counter: Counter
):
    before = FeatureStore.open(project.store)
    old, digest = features(before), before.fingerprint.digest
    n, k = len(before["texts/keys"]), len(before["images/keys"])
    add_entities(project)
    done = extract(project, config_of(project))
    assert counter.texts == done.timings["texts"]["rows"] == 2
    assert set(counter.pictures) == {"50.png", "51.png"} | UNDECODABLE
    assert len(counter.pictures) == done.timings["pictures"]["rows"] == 5

    store = FeatureStore.open(project.store)
    reused = {"fingerprint": digest, "texts": n, "pictures": k - len(UNDECODABLE)}
    assert store.attributes["reused"] == done.reused == reused
    new = features(store)
    assert len(new) == len(old) + 4
    for key, arrays in old.items():
        for mine, its in zip(arrays, new[key], strict=True):
            assert mine.tobytes() == its.tobytes()
    counter.texts = 0
    fresh = straight(project)
    assert counter.texts == n + 2
    assert_like(store, fresh)
    store.verify()
    assert not extract(project, config_of(project)).did_work


def as_before(paths: DatasetPaths) -> None:
    """The store as an earlier version wrote it: tokens without a gap, offsets of shape (n + 1,)."""
    store = FeatureStore.open(paths.store)
    arrays = {name: whole(store, name) for name in store}
    tokens, lengths = store.ragged("texts/local", "texts/offsets").gather(
        np.arange(len(arrays["texts/keys"]))
    )
    arrays |= {"texts/local": tokens, "texts/offsets": np.cumsum([0, *lengths], dtype=np.int64)}
    attributes = {k: v for k, v in store.attributes.items() if k != "record_arrays"}
    specs = specs_of(arrays)
    with building(paths.store, paths.partial, "before", store.fingerprint, specs) as build:
        build.write("all", [(name, 0, array) for name, array in arrays.items()])
        build.finish(["all"], attributes)


def test_a_store_of_an_earlier_version_is_read_and_updated(project: DatasetPaths, counter: Counter):
    as_before(project)
    assert not extract(project, config_of(project)).did_work
    before = FeatureStore.open(project.store)
    summary = write_summary(project.root / "summary", before, Records.load(project.records))
    assert summary["texts"]["tokens"] == len(before["texts/local"])
    old = features(before)
    add_entities(project)
    extract(project, config_of(project))
    assert counter.texts == 2
    store = FeatureStore.open(project.store)
    assert store["texts/offsets"].shape[1:] == (2,)
    new = features(store)
    for key, arrays in old.items():
        for mine, its in zip(arrays, new[key], strict=True):
            assert mine.tobytes() == its.tobytes()
    assert_like(store, straight(project))


def test_row_i_in_is_row_i_out_after_an_update(project: DatasetPaths):
    add_entities(project)
    extract(project, config_of(project))
    store, records = FeatureStore.open(project.store), Records.load(project.records)
    tables = {"entities": records.entities}
    tables |= {f"mentions/{split}": table for split, table in records.mentions.items()}
    for group in GROUPS:
        ids = unpack_strings(whole(store, f"{group}/id_bytes"), whole(store, f"{group}/id_offsets"))
        assert ids == tables[group]["id"].to_pylist()
    keys = whole(store, "images/keys")
    for row, picture in zip(whole(store, "entities/image"), records.entities["picture"].to_pylist(),
                            strict=True):  # fmt: skip
        if row >= 0:
            assert keys[row].tobytes().hex() == records.pictures["key"][picture].as_py()


def test_removed_entities_leave_no_row_behind(project: DatasetPaths, counter: Counter):
    add_entities(project)
    extract(project, config_of(project))
    old = FeatureStore.open(project.store)
    kept = features(old)
    prepare_again(project, lambda rows: rows[1:3])
    counter.texts = 0
    counter.pictures.clear()
    extract(project, config_of(project))
    store = FeatureStore.open(project.store)
    assert counter.texts == 0
    assert set(counter.pictures) <= UNDECODABLE
    assert 0 < len(store["texts/keys"]) < len(old["texts/keys"])
    assert len(store["images/keys"]) < len(old["images/keys"])
    assert features(store).keys() < kept.keys()
    assert_like(store, straight(project))


def test_another_picture_under_the_same_name_is_encoded_anew(
    project: DatasetPaths, counter: Counter
):
    row = whole(FeatureStore.open(project.store), "entities/image")[0]
    before = FeatureStore.open(project.store)["images/global"].gather([row])
    random_picture(60).save(project.raw / "a.png")
    prepare_again(project, lambda rows: rows)
    extract(project, config_of(project))
    assert "a.png" in counter.pictures
    assert counter.texts == 0
    store = FeatureStore.open(project.store)
    after = store["images/global"].gather([whole(store, "entities/image")[0]])
    assert np.abs(after.astype(np.float32) - before).max() > 0.01
    assert_like(store, straight(project))


def test_a_picture_that_failed_is_tried_again(
    made: DatasetPaths, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = write_project(tmp_path / "failing", clip)
    real = decode.decode

    def failing(data: bytes, *rest: Any) -> np.ndarray:
        if data == (paths.raw / "7.png").read_bytes():
            raise PictureError("corrupt: for once")
        return real(data, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "decode", failing)
        extract(paths, config_of(paths))
    assert FeatureStore.open(paths.store).attributes["failed_pictures"]["7.png"]
    add_entities(paths)
    extract(paths, config_of(paths))
    store = FeatureStore.open(paths.store)
    assert set(store.attributes["failed_pictures"]) == UNDECODABLE
    failed = {f.path for f in failed_pictures(store, Records.load(paths.records))}
    assert failed == UNDECODABLE | {"empty.png", "missing.png", "same-as-words.jpg"}
    assert (whole(store, "images/ok") == 0).sum() == len(UNDECODABLE)
    assert_like(store, straight(paths))


def test_a_store_of_texts_alone_is_updated(
    tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = write_project(tmp_path, bert, "none")
    extract(paths, config_of(paths))
    add_entities(paths)
    counter = Counter(monkeypatch)
    done = extract(paths, config_of(paths))
    assert (counter.texts, counter.pictures) == (2, [])
    assert done.reused is not None
    assert done.reused["pictures"] == 0
    assert_like(FeatureStore.open(paths.store), straight(paths))


def test_other_settings_are_refused_whatever_the_records(project: DatasetPaths):
    add_entities(project)
    before = tree(project.store)
    with pytest.raises(StoreError, match="max_tokens: stored 20, asked 9") as caught:
        extract(project, config_of(project, "extract.max_tokens=9"))
    assert "records: stored" in str(caught.value)
    assert tree(project.store) == before


def test_force_encodes_every_row(project: DatasetPaths, counter: Counter):
    add_entities(project)
    done = extract(project, config_of(project), force=True)
    assert done.reused is None
    store = FeatureStore.open(project.store)
    assert store.attributes["reused"] is None
    assert counter.texts == len(store["texts/keys"])
    assert len(counter.pictures) == len(store["images/keys"])
    assert tree(project.store) == tree(Path(straight(project).path))


def test_replace_updates_where_it_can_and_encodes_every_row_where_it_cannot(
    project: DatasetPaths, counter: Counter
):
    add_entities(project)
    assert extract(project, config_of(project), replace=True).reused is not None
    assert counter.texts == 2
    shorter = config_of(project, "extract.max_tokens=9")
    assert extract(project, shorter, replace=True).reused is None
    assert FeatureStore.open(project.store).attributes["max_tokens"] == 9
    assert not extract(project, shorter, replace=True).did_work


def test_dtype_auto_keeps_an_updated_stores_precision(project: DatasetPaths):
    bfloat16 = config_of(project, "extract.dtype=bfloat16", "extract.image_encoder=none")
    extract(project, bfloat16, force=True)
    add_entities(project)
    extract(project, bfloat16.model_copy(update={"dtype": "auto"}))
    assert FeatureStore.open(project.store).fingerprint.fields["dtype"] == "bfloat16"


def test_a_damaged_older_store_is_not_copied_from(project: DatasetPaths, counter: Counter):
    file = next((project.store / "texts" / "local").glob("c.*"))
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    add_entities(project)
    before = tree(project.store)
    with pytest.raises(StoreError, match=r"texts/local/c\.0\.0: damaged: rows 0 to") as caught:
        extract(project, config_of(project))
    assert "--force" in str(caught.value)
    assert tree(project.store) == before
    assert extract(project, config_of(project), replace=True).reused is None
    assert counter.texts == len(FeatureStore.open(project.store)["texts/keys"])


def test_replace_looks_at_a_store_before_it_calls_it_finished(project: DatasetPaths):
    whole = tree(project.store)
    file = next((project.store / "texts" / "local").glob("c.*"))
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    extract(project, config_of(project), replace=True)
    assert tree(project.store) == whole


def test_a_store_that_lost_a_file_is_refused_by_its_name_and_made_anew_by_replace(
    project: DatasetPaths,
):
    whole = tree(project.store)
    file = next((project.store / "texts" / "global").glob("c.*"))
    file.unlink()
    with pytest.raises(StoreError, match=f"{file.name}: damaged: the file is missing") as caught:
        extract(project, config_of(project))
    assert "--force" in str(caught.value)
    extract(project, config_of(project), replace=True)
    assert tree(project.store) == whole


def test_features_of_another_version_of_the_code_are_not_carried_over(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fingerprint, "FEATURES_VERSION", (was := fingerprint.FEATURES_VERSION) + 1)
    with pytest.raises(StoreError, match=f"features_version: stored {was}, asked {was + 1}"):
        extract(project, config_of(project))
    assert extract(project, config_of(project), replace=True).reused is None


def test_other_n_grams_are_computed_again_and_nothing_is_encoded(
    project: DatasetPaths, counter: Counter
):
    config = config_of(project, "extract.lexical_ngrams=[2, 3]")
    before = features(FeatureStore.open(project.store))
    extract(project, config)
    assert counter.texts == 0
    assert {Path(path).name for path in counter.pictures} == UNDECODABLE
    updated = FeatureStore.open(project.store)
    for key, rows in features(updated).items():
        for one, other in zip(rows, before[key], strict=True):
            np.testing.assert_array_equal(one, other)
    names = [name for name in updated if name.startswith(("lexical/", "words/"))]
    lexical = {name: whole(updated, name) for name in names}
    assert lexical
    extract(project, config, force=True)
    assert counter.texts > 0
    fresh = FeatureStore.open(project.store)
    assert fresh.fingerprint == updated.fingerprint
    for name, array in lexical.items():
        np.testing.assert_array_equal(array, whole(fresh, name))


# Interrupted


def interrupt(patch: pytest.MonkeyPatch) -> None:
    """The next extraction stops when its texts are written and one unit of pictures is begun."""

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    patch.setattr(feature_job, "encode_pictures", stopped)


def test_units_of_an_update_are_not_mixed_into_a_run_without_the_older_store(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    add_entities(project)
    with monkeypatch.context() as patch:
        interrupt(patch)
        with pytest.raises(KeyboardInterrupt):
            extract(project, config_of(project))
    (half,) = project.partial.iterdir()
    shutil.rmtree(project.store)
    extract(project, config_of(project))
    assert tree(project.store) == tree(Path(straight(project).path))
    assert not half.exists()


def test_units_of_an_update_are_not_mixed_into_one_from_another_store(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    identity = FeatureStore.open(project.store).identity
    add_entities(project)
    with monkeypatch.context() as patch:
        interrupt(patch)
        with pytest.raises(KeyboardInterrupt):
            extract(project, config_of(project))
        (half,) = project.partial.iterdir()
        assert half.name.endswith(identity)
        prepare_again(project, lambda rows: rows[1:])
        with pytest.raises(KeyboardInterrupt):
            extract(project, config_of(project), force=True)
    names = {path.name for path in project.partial.iterdir()}
    assert len(names) == 2
    assert {name.endswith(identity) for name in names} == {True, False}


def test_a_kill_between_the_two_renamings_loses_neither_store(
    project: DatasetPaths, counter: Counter, monkeypatch: pytest.MonkeyPatch
):
    add_entities(project)
    real, old = Path.rename, tree(project.store)

    def rename(path: Path, target: Path) -> Path:
        if target == project.store:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            extract(project, config_of(project))
    assert not project.store.exists()
    (made,) = (tree(path) for path in project.partial.glob("*/*/features.zarr"))
    (kept,) = (tree(path) for path in project.partial.glob("*/*/replaced-*"))
    assert kept == old
    counter.texts = 0
    assert not extract(project, config_of(project)).did_work
    assert counter.texts == 0
    assert tree(project.store) == made


def test_each_field_of_the_fingerprint_names_the_encoder_or_follows_from_the_records(
    made: DatasetPaths,
):
    store = FeatureStore.open(made.store)
    batches = {"batch_texts", "batch_images"}
    others = fingerprint.computed_fields(config_of(made)) | batches
    assert encoder_of(store).keys() | others == store.fingerprint.fields.keys()
    assert not encoder_of(store).keys() & others
