"""What an installed package holds; `test_wheel.py` builds and installs one."""

import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline import defaults
from pipeline.__main__ import main

ROOT = Path(__file__).parents[1]


def test_every_data_file_beside_the_code_is_package_data():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = declared["tool"]["setuptools"]["package-data"]
    shipped = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in (ROOT / package.replace(".", "/")).glob(glob)
    }
    there = {
        path
        for package in ("cache", "stages", "pipeline")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {"words.yaml", "page.html"} <= {path.name for path in there}
    assert sorted(there - shipped) == []


def test_the_defaults_and_grids_of_the_package_are_those_at_the_top():
    """By links, which an archive or a copy may have replaced by files."""
    assert defaults.PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    grids = {path.stem: path.read_bytes() for path in (ROOT / "grids").iterdir()}
    assert {name: path.read_bytes() for name, path in defaults.GRIDS.items()} == grids


@pytest.mark.parametrize("package", ["cache", "stages", "pipeline"])
def test_a_package_tells_type_checkers_of_its_types(package):
    assert (ROOT / package / "py.typed").is_file()


def test_the_changelog_begins_with_this_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0].startswith((f"## {declared['version']}, ", "## Unreleased"))


def test_the_version_stands_in_one_place():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = CliRunner().invoke(main, ["--version"]).output
    assert said == f"melov, version {declared['version']}\n"


def test_the_citation_is_of_this_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["title"], cited["version"]) == (declared["name"], declared["version"])
    assert cited["license"] == declared["license"]
