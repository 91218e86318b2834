import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.report import main

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made-up runs of `tiny` in a project's folder that is the current one."""
    monkeypatch.syspath_prepend(str(PROJECT / "tests" / "stages" / "report"))
    from tests.support import made_runs

    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("seeds: [0, 1]\n")
    made_runs.make_project(Path())
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_command_writes_its_files_and_ends_with_the_table(project):
    result = run("--dataset", "tiny")
    assert result.exit_code == 0, result.output
    folder = Path("reports/tiny")
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "errors.html",
        "report.html",
        "report.json",
        "table.csv",
        "table.md",
        "table.txt",
    ]
    assert result.output.endswith((folder / "table.txt").read_text())


def test_variants_and_seeds_are_the_parameters(project):
    result = run("--dataset", "tiny", "--set", "variants=[mimic]", "--set", "seeds=[1]")
    assert result.exit_code == 0, result.output
    assert "\nmimic    33.33" in result.output
    means, _, others = result.output.partition("Other runs of this data set")
    assert "melov" not in means
    assert "melov-s0" in others


def test_a_missing_run_is_one_message_with_the_command(project):
    result = run("--dataset", "tiny", "--set", "seeds=[0, 7]")
    assert result.exit_code == 1
    assert "runs/tiny/melov-s7, runs/tiny/mimic-s7" in result.output
    command = "python -m pipeline.train --dataset tiny --variant melov --seed 7"
    assert command in result.output
    assert not Path("reports").exists()


def test_an_unknown_data_set_is_one_message_and_no_data_set_is_wrong_usage(project):
    result = run("--dataset", "tinny")
    assert result.exit_code == 1
    assert "did you mean 'tiny'?" in result.output
    assert run().exit_code == 2


def test_the_command_needs_no_torch(project):
    code = (
        "import sys; sys.modules['torch'] = None; from pipeline.report import main; "
        "main(['--dataset', 'tiny'], standalone_mode=False)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert Path("reports/tiny/report.html").exists()
