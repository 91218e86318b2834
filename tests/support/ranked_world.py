"""The tiny world with melov and mimic trained and evaluated, for reports that look inside them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from click.testing import CliRunner

from pipeline.evaluate import main as evaluate
from pipeline.train import main as train
from tests.support.tiny_world import tiny_world

SEED = 3
"""No other test trains with it, and the tiny world is shared."""


def ranked_world(base: Path) -> Path:
    root = tiny_world(base)
    with contextlib.chdir(root):
        for variant in ("melov", "mimic"):
            arguments = ["--dataset", "tiny", "--variant", variant, "--seed", str(SEED)]
            for command in (train, evaluate):
                result = CliRunner().invoke(command, arguments)
                assert result.exit_code == 0, result.output
    return root
