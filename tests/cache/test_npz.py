import io
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from cache.errors import StoreError
from cache.npz import read_npz

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "column": np.asfortranarray(np.arange(6).reshape(3, 2)),
    "none": np.zeros((0, 4), np.int64),
    "name": np.array(b"csr"),
}


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def member(content: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def header(shape: tuple[int, ...], content: bytes = bytes(24)) -> bytes:
    file = io.BytesIO()
    said = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)
    return file.getvalue() + content


def test_arrays_are_read_as_numpy_saved_them():
    found = read_npz(saved(**ARRAYS), "x.npz", StoreError)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_so_is_a_matrix_of_scipy():
    file, matrix = io.BytesIO(), sp.csr_array(np.eye(3, dtype=np.float32))
    sp.save_npz(file, matrix, compressed=False)
    found = read_npz(file.getvalue(), "x.npz", StoreError)
    assert found["format"].item() == b"csr"
    np.testing.assert_array_equal(found["indices"], matrix.indices)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a zip file"),
        (saved(**ARRAYS)[:-40], "not a zip file"),
        (saved(**ARRAYS).replace(b"NUMPY", b"NUMPX"), "Bad CRC-32"),
        (saved(x=np.array([{}], dtype=object)), "holds object"),
        (member(header((2, 3)), zipfile.ZIP_DEFLATED), "no array as NumPy stores it"),
        (member(header((2**40, 3))), "not of the size"),  # NumPy's reader would ask for 12 TB
        (member(header((2, 4))), "not of the size"),
        (member(b"words"), "magic string"),
    ],
)
def test_anything_else_is_one_error_that_names_the_file(data: bytes, message: str):
    with pytest.raises(StoreError, match=rf"^x\.npz: no readable arrays: .*{message}"):
        read_npz(data, "x.npz", StoreError)


def test_the_right_header_is_no_error():
    assert read_npz(member(header((2, 3))), "x.npz", StoreError)["x"].shape == (2, 3)
