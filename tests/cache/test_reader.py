import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import DamagedStoreError, StoreError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from tests.support.small_stores import ATTRIBUTES, FINGERPRINT, build, contents, opened, tree

ARRAYS = contents()
FILLED = [name for name, array in ARRAYS.items() if array.size]
HINT = "python -m pipeline.extract --dataset tiny"


def resave(source: Path, target: Path, **encoding: object) -> Path:
    """The same store as zarr itself would write it."""
    old = zarr.open_group(source, mode="r")
    new = zarr.create_group(target, attributes=old.attrs.asdict())
    for name in ARRAYS:
        array = old[name]
        options = dict(encoding)
        if "shards" in options:
            options["shards"] = tuple(2 * size for size in array.chunks)
        copy = new.create_array(
            name, shape=array.shape, dtype=array.dtype, chunks=array.chunks, **options
        )
        copy[...] = array[...]
    return target


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FeatureStore]:
    """One content in many forms, by name."""
    folder = tmp_path_factory.mktemp("stores")
    paths = {
        f"{chunk_rows} rows a chunk": build(folder / "work", folder / f"s{chunk_rows}.zarr", None,
                                            chunk_rows, 12)
        for chunk_rows in (1, 2, 3, 7, 1000)
    }  # fmt: skip
    one = paths["3 rows a chunk"]
    paths["compressed"] = resave(one, folder / "compressed")
    paths["sharded"] = resave(one, folder / "sharded", shards=True)
    paths["big-endian"] = resave(
        one, folder / "big", compressors=None, serializer=zarr.codecs.BytesCodec(endian="big")
    )
    paths["slashes"] = resave(one, folder / "slashes", compressors=None)
    return {form: FeatureStore.open(path) for form, path in paths.items()}


FORMS = [
    *(f"{rows} rows a chunk" for rows in (1, 2, 3, 7, 1000)),
    *("compressed", "sharded", "big-endian", "slashes"),
]


@given(data=st.data(), form=st.sampled_from(FORMS), name=st.sampled_from(sorted(ARRAYS)))
def test_gather_equals_numpy_in_any_order_with_repeats(
    stores: dict[str, FeatureStore], data: st.DataObject, form: str, name: str
):
    array = ARRAYS[name]
    row = st.integers(0, max(0, len(array) - 1))
    rows = data.draw(st.lists(row, max_size=30 if len(array) else 0))
    found = stores[form][name].gather(rows)
    expected = array[np.asarray(rows, dtype=np.int64)]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    out = np.empty_like(expected)
    assert stores[form][name].gather(np.asarray(rows, np.int32), out) is out
    np.testing.assert_array_equal(out, expected)


@given(data=st.data(), form=st.sampled_from(FORMS), name=st.sampled_from(sorted(ARRAYS)))
def test_slice_equals_numpy(
    stores: dict[str, FeatureStore], data: st.DataObject, form: str, name: str
):
    lo, hi = sorted(data.draw(st.tuples(*[st.integers(0, len(ARRAYS[name]))] * 2)))
    np.testing.assert_array_equal(stores[form][name].slice(lo, hi), ARRAYS[name][lo:hi])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_verifies_and_only_plain_ones_are_mapped(
    stores: dict[str, FeatureStore], form: str
):
    store = stores[form]
    store.verify()
    mapped = "through zarr" not in repr(store["texts/local"])
    assert mapped is form.endswith("a chunk")


@pytest.mark.parametrize("form", ["3 rows a chunk", "compressed"])
@pytest.mark.parametrize("row", [-1, 37, 10**12])
def test_a_row_out_of_range_is_named_with_its_array_and_length(
    stores: dict[str, FeatureStore], form: str, row: int
):
    with pytest.raises(IndexError, match=f"texts/global: row {row} is out of range for 37 rows"):
        stores[form]["texts/global"].gather([0, row, 1])


def test_rows_that_are_no_list_of_integers_are_refused(stores: dict[str, FeatureStore]):
    rows = stores["compressed"]["texts/global"]
    for wrong in ([True, False], [0.5], [[1, 2]], 3):
        with pytest.raises(IndexError, match=r"expected \(n,\) integers"):
            rows.gather(wrong)
    for lo, hi in ((-1, 2), (3, 2), (0, 38)):
        with pytest.raises(IndexError, match="texts/global"):
            rows.slice(lo, hi)
    with pytest.raises(ValueError, match=r"out is float32 of shape \(1, 5\)"):
        rows.gather([0], np.empty((1, 5), np.float32))


def test_a_slice_inside_one_chunk_is_a_read_only_view(stores: dict[str, FeatureStore]):
    rows = stores["7 rows a chunk"]["texts/global"]
    assert np.shares_memory(rows.slice(8, 12), rows.slice(7, 14))
    assert not rows.slice(8, 12).flags.writeable
    assert not np.shares_memory(rows.slice(5, 9), rows.slice(5, 9))


@pytest.mark.parametrize("name", FILLED)
def test_a_chunk_file_that_was_lost_is_damage_and_no_zeros(tmp_path: Path, name: str):
    path = build(tmp_path / "work", tmp_path / "features.zarr")
    FeatureStore.open(path).require_files()
    file = path / name / ".".join(["c", "1", *("0" for _ in ARRAYS[name].shape[1:])])
    file.unlink()
    store = FeatureStore.open(path, hint="make it again")
    rows = store[name]
    rows.gather([1])  # of the chunk before
    for read in (lambda: rows.gather([9, 5, 1]), lambda: rows.slice(4, 6), store.require_files):
        with pytest.raises(
            StoreError, match=f"{file.name}: damaged: the file is missing"
        ) as caught:
            read()
        assert "make it again" in str(caught.value)


def test_a_pickled_array_carries_no_data_and_reads_the_same(stores: dict[str, FeatureStore]):
    rows = stores["1000 rows a chunk"]["wide"]
    rows.gather([1])
    data = pickle.dumps(rows)
    assert len(data) < ARRAYS["wide"].nbytes / 4
    np.testing.assert_array_equal(pickle.loads(data).gather([3, 1]), ARRAYS["wide"][[3, 1]])


def test_a_store_says_what_it_holds(stores: dict[str, FeatureStore]):
    store = stores["3 rows a chunk"]
    assert store.names() == sorted(ARRAYS) == list(store)
    assert "wide" in store
    assert "narrow" not in store
    assert store.attributes == ATTRIBUTES
    for name, said in ATTRIBUTES.items():
        assert store.attribute(name) == said
    with pytest.raises(DamagedStoreError, match="no attribute 'smell'"):
        store.attribute("smell")
    assert store.fingerprint == FINGERPRINT
    assert store["wide"].shape == (11, 1100)
    assert len(store["wide"]) == 11
    assert store.nbytes() == sum(array.nbytes for array in ARRAYS.values())
    with pytest.raises(StoreError, match="did you mean 'texts/global'"):
        store["text/global"]


def test_a_missing_store_raises_with_the_command(tmp_path: Path):
    with pytest.raises(StoreError, match="no such feature store") as caught:
        FeatureStore.open(tmp_path / "features.zarr", hint=HINT)
    assert HINT in str(caught.value)


def test_a_half_built_store_raises_with_the_command(tmp_path: Path):
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        pass
    with pytest.raises(StoreError, match="half built") as caught:
        FeatureStore.open(one.work.group, hint=HINT)
    assert HINT in str(caught.value)


def test_a_store_of_something_else_raises_with_the_fields_that_differ(tmp_path: Path):
    path = build(tmp_path / "work", tmp_path / "features.zarr")
    FeatureStore.open(path, expect=FINGERPRINT)
    asked = Fingerprint({"encoder": {"name": "tiny", "revision": "b"}, "dtype": "float32"})
    with pytest.raises(StoreError) as caught:
        FeatureStore.open(path, expect=asked, hint=HINT)
    assert 'dtype: stored "float16", asked "float32"' in str(caught.value)
    assert 'encoder.revision: stored null, asked "b"' in str(caught.value)
    assert "encoder.name" not in str(caught.value)
    assert HINT in str(caught.value)


def test_what_is_no_store_is_refused(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    zarr.create_group(tmp_path / "v2", zarr_format=2)
    zarr.create_array(tmp_path / "array", shape=(1,), dtype="int8")
    torn = build(tmp_path / "work", tmp_path / "torn")
    (torn / "zarr.json").write_text('{"zarr_format": 3, "node')
    for name in ("folder", "file", "v2", "array", "torn"):
        with pytest.raises(StoreError, match="not a Zarr v3 group"):
            FeatureStore.open(tmp_path / name)
    zarr.create_group(tmp_path / "bare")
    with pytest.raises(StoreError, match="without the attribute 'melov'"):
        FeatureStore.open(tmp_path / "bare")
    zarr.create_group(tmp_path / "newer", attributes={"melov": {"layout": 3}})
    with pytest.raises(StoreError, match="layout version 3, expected 2"):
        FeatureStore.open(tmp_path / "newer")


def test_damage_is_found_by_verify_and_the_array_is_named(tmp_path: Path):
    path = build(tmp_path / "work", tmp_path / "features.zarr")
    chunk = path / "images" / "local" / "c.2.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\x55")
    with pytest.raises(StoreError, match=r"c\.2\.0\.0: damaged: rows 8 to 12 are not those"):
        FeatureStore.open(path).verify()
    chunk.write_bytes(b"short")
    with pytest.raises(StoreError, match=r"c\.2\.0\.0: damaged: 5 bytes, expected 48"):
        FeatureStore.open(path)["images/local"].gather([9])
    shutil.rmtree(chunk.parent)
    with pytest.raises(StoreError, match="images/local"):
        FeatureStore.open(path).verify()


def test_verify_reports_its_progress(stores: dict[str, FeatureStore]):
    seen: list[tuple[int, int]] = []
    store = stores["2 rows a chunk"]
    store.verify(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (store.nbytes(), store.nbytes())
    assert seen == sorted(seen)


def test_reading_changes_no_file(tmp_path: Path):
    path = build(tmp_path / "work", tmp_path / "features.zarr")
    before = tree(path)
    store = FeatureStore.open(path)
    store.verify()
    assert tree(path) == before
