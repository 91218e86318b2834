"""Benchmarks run by hand; they must at least keep up with what they import."""

from importlib import import_module
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_a_benchmark_imports(name):
    assert import_module(f"benchmarks.{name}").__doc__
