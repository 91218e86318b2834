"""Sealed JSON files: no changed byte passes, in them or in the files that they vouch for."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import DamagedError, MelovError
from cache.files import replacing_files
from cache.sealed import Sealed, write_sealed

CONTENT = {
    "layout": 1,
    "mean": 0.1 + 0.2,
    "name": "Zoë \u2028 😀",
    "none": None,
    "list": [1, {"a": 2}],
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "rows.bin").write_bytes(bytes(range(256)))
    write_sealed(tmp_path / "index.json", CONTENT, beside=[tmp_path / "rows.bin"])
    return tmp_path / "index.json"


def test_what_was_written_is_read(index: Path) -> None:
    sealed = Sealed.read(index)
    assert sealed.content == CONTENT
    assert sealed.bytes_of("rows.bin") == bytes(range(256))
    sealed.require("rows.bin")
    assert json.loads(index.read_text())["seal"] == sealed.seal  # any program may read it


def test_files_below_its_folder_are_named_by_their_paths(tmp_path: Path) -> None:
    inner = tmp_path / "store.zarr" / "a" / "c.0"
    inner.parent.mkdir(parents=True)
    inner.write_bytes(b"rows")
    write_sealed(tmp_path / "index.json", CONTENT, [inner])
    sealed = Sealed.read(tmp_path / "index.json")
    assert list(sealed.files) == ["store.zarr/a/c.0"]
    assert sealed.bytes_of("store.zarr/a/c.0") == b"rows"
    inner.write_bytes(b"other")
    with pytest.raises(DamagedError, match=r"store\.zarr/a/c\.0: damaged"):
        sealed.require("store.zarr/a/c.0")


def test_equal_content_gives_equal_bytes(index: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rows.bin").write_bytes(bytes(range(256)))
    write_sealed(tmp_path / "other" / "i.json", CONTENT, [tmp_path / "other" / "rows.bin"])
    assert (tmp_path / "other" / "i.json").read_bytes() == index.read_bytes()


def test_every_flipped_bit_of_the_index_is_found(index: Path) -> None:
    whole = index.read_bytes()
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        index.write_bytes(flipped)
        with pytest.raises(DamagedError, match=r"index\.json: damaged"):
            Sealed.read(index)


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_a_truncated_index_is_found(index: Path, keep: int) -> None:
    index.write_bytes(index.read_bytes()[:keep])
    with pytest.raises(DamagedError):
        Sealed.read(index)


@given(st.binary(max_size=60))
def test_anything_else_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "index.json"
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        Sealed.read(path)


def test_other_values_of_the_same_form_are_found(index: Path) -> None:
    content = json.loads(index.read_text())
    content["mean"] = 0.4
    index.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    with pytest.raises(DamagedError):
        Sealed.read(index)


def test_nesting_without_end_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(DamagedError):
        Sealed.read(tmp_path / "deep.json")


def test_files_beside_are_compared(index: Path, tmp_path: Path) -> None:
    sealed = Sealed.read(index, hint="make it again")
    flipped = bytearray(range(256))
    flipped[7] ^= 1
    (tmp_path / "rows.bin").write_bytes(flipped)
    for reading in (sealed.bytes_of, sealed.require):
        with pytest.raises(DamagedError, match=r"rows\.bin: damaged.*\n  make it again"):
            reading("rows.bin")
    (tmp_path / "rows.bin").unlink()
    for reading in (sealed.bytes_of, sealed.require):
        with pytest.raises(DamagedError, match="No such file"):
            reading("rows.bin")


def test_a_file_that_the_index_does_not_name_is_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"x")
    with pytest.raises(DamagedError, match=r"tells nothing of other\.bin"):
        Sealed.read(index).bytes_of("other.bin")


def test_its_own_keys_are_reserved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own keys"):
        write_sealed(tmp_path / "i.json", {"seal": "x"})


def test_what_was_replaced_while_it_was_read_is_no_damage(index: Path) -> None:
    older = Sealed.read(index)
    with replacing_files(index.parent, last=index.name) as scratch:
        (scratch / "rows.bin").write_bytes(b"newer")
        write_sealed(scratch / index.name, {}, [scratch / "rows.bin"], atomic=False)
    for reading in (older.bytes_of, older.require):
        with pytest.raises(MelovError, match=r"rows\.bin: replaced while it was read") as found:
            reading("rows.bin")
        assert not isinstance(found.value, DamagedError)
    assert Sealed.read(index).bytes_of("rows.bin") == b"newer"


def test_a_pipe_in_a_files_place_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(DamagedError, match=r"index\.json: damaged: no regular file"):
        Sealed.read(tmp_path / "index.json")
    (tmp_path / "index.json").unlink()
    (tmp_path / "a.bin").write_bytes(b"a")
    write_sealed(tmp_path / "index.json", {}, [tmp_path / "a.bin"])
    (tmp_path / "a.bin").unlink()
    os.mkfifo(tmp_path / "a.bin")
    for ask in (Sealed.bytes_of, Sealed.require):
        with pytest.raises(DamagedError, match=r"a\.bin: damaged: no regular file"):
            ask(Sealed.read(tmp_path / "index.json"), "a.bin")
