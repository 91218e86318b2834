"""A scalar setting of the heads costs two places: its field, and where it is used.

Both are edits of the source, so they are made in a copy of the packages.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_project import call, run

PROJECT = Path(__file__).parents[2]
SETTINGS = "stages/heads/settings.py"
UNIT = "stages/heads/units/cross.py"
EDITS = {
    SETTINGS: (
        "    dropout: float = ",
        "    cross_share: float = Field(1.0, gt=0)\n    dropout: float = ",
    ),
    UNIT: ("config.logit_scale", "config.logit_scale * config.cross_share"),
}
SCRIPT = """
import os
import stages
from click.testing import CliRunner
from pipeline.train import main

print(stages.__path__[0])
for name, assignments in (("default", []), ("changed", ["--set", "train.cross_share=0.25"])):
    result = CliRunner().invoke(main, ["--dataset", "tiny", *assignments])
    print(result.output)
    assert result.exit_code == 0
    os.rename("runs/tiny/melov-s0", f"runs/tiny/{name}")
"""


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """The packages with the new setting."""
    folder = tmp_path / "edited"
    for package in ("cache", "stages", "pipeline"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, folder / package, ignore=ignore)
    for name, (old, new) in EDITS.items():
        source = (folder / name).read_text()
        assert source.count(old) == 1
        (folder / name).write_text(source.replace(old, new))
    return folder


def test_a_field_and_its_use_are_all_that_a_setting_costs(project, edited):
    refused = call("train", "--set", "train.cross_share=0.25")
    assert refused.exit_code == 1
    assert "train.cross_share: unknown key" in refused.output

    run("train")
    folder = project / "runs/tiny"
    (folder / "melov-s0").rename(folder / "without")
    trained = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(edited)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert trained.stdout.startswith(str(edited))

    without, default, changed = (folder / name for name in ("without", "default", "changed"))
    for name in ("model.safetensors", "history.csv"):
        assert (default / name).read_bytes() == (without / name).read_bytes()
        assert (changed / name).read_bytes() != (default / name).read_bytes()
    for run_, value in ((default, 1.0), (changed, 0.25)):
        config = json.loads((run_ / "config.json").read_text())
        assert config["heads"]["cross_share"] == config["train"]["cross_share"] == value

    changed.rename(folder / "melov-s0")  # a version without the setting refuses its runs
    refused = call("evaluate")
    assert refused.exit_code == 1
    assert "do not fit this version" in refused.output
    assert "cross_share" in refused.output
