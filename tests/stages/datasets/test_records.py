"""Records that are read say which ones they are."""

from dataclasses import replace
from pathlib import Path

import pytest

from cache.errors import DamagedError
from stages.datasets.records import NIL_SCHEMA, Records, RecordsError, read_digest, table_from_rows
from tests.support.made_runs import make_records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return make_records(tmp_path, "tiny")


def test_the_digest_that_is_read_is_that_of_the_content(records: Records, tmp_path: Path):
    folder = tmp_path / "data/tiny/records"
    read = Records.load(folder)
    assert read.digest == read_digest(folder) == records.digest
    assert replace(read).digest == records.digest  # a copy computes it
    fewer = replace(read, entities=read.entities.slice(1))
    assert fewer.digest != records.digest
    assert replace(read, text_field="desc").digest == records.digest


def test_mentions_without_an_entity_are_in_the_digest_where_there_are_some(records: Records):
    # As an earlier version wrote it, so that a store of these records stays valid.
    assert records.digest == "d551060978dd4159f0d5f4024c931745"
    row = {"id": "n", "split": "test", "words": "W", "sentence": "", "picture": -1, "answer": "nil"}
    with_nil = replace(records, nil=table_from_rows([row], NIL_SCHEMA))
    other = replace(records, nil=table_from_rows([{**row, "words": "V"}], NIL_SCHEMA))
    assert len({records.digest, with_nil.digest, other.digest}) == 3
    assert with_nil.nil_rows("test").tolist() == [0]
    assert len(with_nil.nil_rows("valid")) == 0


def test_a_split_that_is_none_is_damage(records: Records, tmp_path: Path):
    row = {"id": "n", "split": "tset", "words": "W", "sentence": "", "picture": -1, "answer": "nil"}
    replace(records, nil=table_from_rows([row], NIL_SCHEMA)).save(tmp_path / "bad")
    with pytest.raises(DamagedError, match="'tset', which is no split"):
        Records.load(tmp_path / "bad")


def test_records_that_were_prepared_again_meanwhile_are_refused(records: Records, tmp_path: Path):
    folder = tmp_path / "data/tiny/records"
    assert Records.load(folder, records.digest).digest == records.digest
    replace(records, entities=records.entities.slice(1)).save(folder)
    with pytest.raises(RecordsError, match=f"expected {records.digest}: prepared again meanwhile"):
        Records.load(folder, records.digest)
