"""`melov STEP` is `python -m pipeline.STEP`."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.__main__ import STEPS, main, told
from tests.support.commands import COMMANDS


def test_every_command_is_a_step():
    assert sorted(STEPS) == sorted(COMMANDS)


def test_help_says_of_each_step_what_its_command_says(monkeypatch):
    help = CliRunner().invoke(main, ["--help"]).output
    for step in STEPS:
        assert told(step) == import_module(f"pipeline.{step}").main.help
        assert f"  {step}" in help


@pytest.mark.parametrize("args", [[], ["--help"], ["--version"]])
def test_about_itself(args):
    ended = CliRunner().invoke(main, args)
    assert ended.output.startswith("melov, version " if "--version" in args else "Usage: melov")


def test_an_unknown_step_is_wrong_usage():
    ended = CliRunner().invoke(main, ["exract"])
    assert ended.exit_code == 2
    assert "No such command 'exract'" in ended.output


def test_a_step_takes_its_arguments_and_ends_as_it_does_by_itself(tmp_path):
    (tmp_path / "params.yaml").write_text("datasets: []\n")
    ways = ([Path(sys.executable).with_name("melov"), "graph"],)
    ways += ([sys.executable, "-m", "pipeline.graph"],)
    for given, code in ((["--dataset", "none"], 1), (["--data"], 2)):
        one, other = (
            subprocess.run(
                [*way, *given], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            for way in ways
        )
        assert one.returncode == other.returncode == code
        assert one.stderr == other.stderr.replace("python -m pipeline.", "melov ")
