"""`pipeline.prepare` flags leaks, `pipeline.audit` counts them and lists each one."""

import csv
from pathlib import Path

from tests.stages.datasets.test_audit import planted
from tests.support.tiny_project import run


def test_the_command_counts_and_lists_every_leak(tmp_path: Path, monkeypatch):
    raw = tmp_path / "data/tiny/raw"
    raw.mkdir(parents=True)
    expected = planted(raw)
    (tmp_path / "params.yaml").write_text("prepare: {source: jsonl}\n")
    monkeypatch.chdir(tmp_path)
    assert "pair-in-train: mentions whose sentence and words stand in training" in run("prepare")
    said = run("audit", "--output", "leaks.csv").splitlines()
    counted = {line.split()[0]: line.split()[1:4] for line in said if line}
    assert counted["all"] == ["5", "1", "10"]
    assert counted["picture-copy-in-train"] == ["0", "1", "1"]
    assert counted["clean"] == ["0", "5"]
    with Path("leaks.csv").open(newline="") as file:
        listed = {(row["mention"], row["flag"]): row["repeats"] for row in csv.DictReader(file)}
    assert listed == expected
