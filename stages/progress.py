"""Progress bars with rate and ETA for anything that takes longer than two seconds."""

from typing import Any

from tqdm import tqdm


def progress(total: int | None, unit: str, what: str) -> "tqdm[Any]":
    """A bar on standard error that appears only after two seconds."""
    return tqdm(
        total=total, unit=f" {unit}", desc=what, delay=2, dynamic_ncols=True, unit_scale=False
    )
