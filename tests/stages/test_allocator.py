import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import resource, sys
import numpy as np
from stages.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**25, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    a, b = np.ones(2**26, np.uint8), np.ones(2**25, np.uint8)
    del a, b
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_memory_that_was_freed_is_not_faulted_in_again():
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, mode],
                env={"PYTHONPATH": str(ROOT), "NUMPY_MADVISE_HUGEPAGE": "0"},
                capture_output=True, text=True, check=True,
            ).stdout
        )
        for mode in ("keep", "return")
    }  # fmt: skip
    assert 5 * faults["keep"] < faults["return"], faults
