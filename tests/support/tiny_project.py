"""The tiny world as a project of a test's own, and the commands on it."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

from click.testing import CliRunner, Result

from tests.support.tiny_world import tiny_world

OTHERS = ("runs", "reports", "ablations", "indexes", ".partial")
"""What other tests may have left in the shared world."""


def own_world(base: Path, folder: Path) -> Path:
    """A copy of the tiny world of `base`: its records, store and graph."""
    ignore = shutil.ignore_patterns(*OTHERS)
    shutil.copytree(tiny_world(base), folder, ignore=ignore, dirs_exist_ok=True)
    return folder


def call(step: str, *arguments: str) -> Result:
    """`python -m pipeline.STEP` in the current folder, on the tiny data set."""
    return CliRunner().invoke(
        import_module(f"pipeline.{step}").main, ["--dataset", "tiny", *arguments]
    )


def run(step: str, *arguments: str) -> str:
    """The same, which succeeds; what it printed."""
    result = call(step, *arguments)
    assert result.exit_code == 0, (step, result.output)
    return result.stdout
