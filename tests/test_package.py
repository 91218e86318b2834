"""What an installed package holds."""

import tomllib
from pathlib import Path

import yaml

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


def test_the_citation_is_of_this_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["title"], cited["version"]) == (declared["name"], declared["version"])
    assert cited["license"] == declared["license"]
