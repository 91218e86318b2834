"""A source format costs one reader and one entry: here a table with tabs, read by the command."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.prepare import main as prepare
from pipeline.validate import main as validate
from stages.config import ConfigError, load_params
from stages.datasets.findings import Findings
from stages.datasets.pictures import PictureTable
from stages.datasets.records import Records
from stages.datasets.rows import EntityRows, MentionRows
from stages.datasets.sources import SOURCES
from stages.paths import project_path


def read_tabs(path, dataset, *, root, seed, missing_answer, keys):
    """Lines of `split, words, entity`; the entities are those that are named."""
    findings = Findings()
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    names = sorted({entity for _, _, entity in lines})
    entities, mentions = EntityRows(findings), MentionRows(findings)
    for name in names:
        entities.add(name, name, "", (), path.name)
    for number, (split, words, entity) in enumerate(lines):
        mentions.add(
            split, id=str(number), words=words, sentence=words, picture=-1, answer=entity,
            gold=names.index(entity), image_kind=None, where=path.name,
        )  # fmt: skip
    return Records(
        dataset, "tabs", project_path(path.parent, root), "none", entities.table(),
        mentions.tables(), PictureTable(path.parent).build(findings, keys), findings.listed(),
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    (tmp_path / "own.tsv").write_text("train\tAda L.\tAda\nvalid\tBo\tBo\ntest\tA.\tAda\n")
    return tmp_path


def run(command, *arguments: str):
    return CliRunner().invoke(command, ["--dataset", "own", "--input", "own.tsv", *arguments])


def test_one_reader_and_one_entry_are_a_source(project, monkeypatch):
    assert run(prepare, "--source", "tabs").exit_code == 2
    monkeypatch.setitem(SOURCES, "tabs", read_tabs)
    result = run(prepare, "--source", "tabs")
    assert result.exit_code == 0, result.output
    records = Records.load(project / "data/own/records")
    assert (records.source, records.image_root) == ("tabs", ".")
    assert records.entities["name"].to_pylist() == ["Ada", "Bo"]
    assert records.gold("test").tolist() == [0]
    assert not records.test_bed
    first = (project / "data/own/records/records.json").read_bytes()
    assert run(prepare, "--set", "prepare.source=tabs").exit_code == 0
    assert (project / "data/own/records/records.json").read_bytes() == first
    assert "own (tabs; text of entities: none)" in run(validate, "--source", "tabs").output


def test_a_source_that_nobody_registered_is_named_with_the_nearest(project):
    with pytest.raises(ConfigError, match=r"prepare.source.*did you mean 'jsonl'"):
        load_params("params.yaml", "own", ("prepare.source=json",))
