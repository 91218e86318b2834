"""The unit of the page docs/howto/matcher-unit.md, trained."""

import json
import re

from stages.heads.units.registry import UNITS, UnitEntry
from tests.support.documents import ROOT
from tests.support.tiny_project import own_world, run


def test_the_pages_unit_trains_and_links(tmp_path, tmp_path_factory, monkeypatch):
    project = own_world(tmp_path_factory.getbasetemp(), tmp_path / "world")
    monkeypatch.chdir(project)
    text = (ROOT / "docs/howto/matcher-unit.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from dataclasses .*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    monkeypatch.setitem(UNITS, "cosine", UnitEntry(names["CosineUnit"], reads=()))
    chosen = ["--set", "train.units=[text,cosine]"]
    run("train", *chosen)
    run("evaluate", *chosen)
    metrics = json.loads((project / "runs/tiny/melov-s0/metrics.json").read_text())
    assert metrics["test"]["mentions"] == 24
    linked = json.loads(run("link", "--mention", "Ada", "--sentence", "Ada is here", "--json"))
    assert {unit for entity in linked["entities"] for unit in entity["units"]} == {"text", "cosine"}
