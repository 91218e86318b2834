"""A command that mutates files in many ways, for the tests of the shim."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MUTATIONS = (
    "* mkdir a", "* create a/text", "+ write a/text", "+ write a/text", "* create a/array",
    "+ write a/array", "- write a/array", "* create a/copy", "+ copy a/copy", "- rename a/moved",
    "* link a/link", "+ reserve a/moved", "- size a/moved", "* create a/parquet",
    "- remove a/link", "- remove a/moved",
)  # fmt: skip
"""What `main` does before it writes Parquet, whose writes are many, and after it."""


def main(arguments: list[str]) -> None:
    Path("a").mkdir(exist_ok=True)
    Path("a").mkdir(exist_ok=True)  # there already: none
    with Path("a/text").open("w") as file:
        for _ in range(2):
            file.write("word ")
            file.flush()
        os.fsync(file.fileno())
    Path("a/text").open("r+").close()
    np.arange(8).tofile("a/array")
    handle = os.open("a/array", os.O_RDWR)
    os.pwrite(handle, bytes(8), 8)
    os.close(handle)
    shutil.copyfile("a/array", "a/copy")
    os.rename("a/copy", "a/moved")
    os.symlink("moved", "a/link")
    handle = os.open("a/moved", os.O_RDWR)
    os.posix_fallocate(handle, 0, 100)
    os.ftruncate(handle, 64)
    os.close(handle)
    pq.write_table(pa.table({"a": [1, 2]}), "a/parquet")
    Path("a/link").unlink()
    Path("a/link").unlink(missing_ok=True)  # gone already: none
    Path("a/moved").unlink()
    outside = Path(arguments[0])
    outside.write_text("what lies elsewhere is not counted")
    if os.fork() == 0:
        Path("b").write_text("nor is what a fork writes")
        os._exit(0)
    os.wait()
