"""Records that are read say which ones they are."""

from dataclasses import replace
from pathlib import Path

import pytest

from stages.datasets.records import Records, RecordsError, read_digest
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


def test_records_that_were_prepared_again_meanwhile_are_refused(records: Records, tmp_path: Path):
    folder = tmp_path / "data/tiny/records"
    assert Records.load(folder, records.digest).digest == records.digest
    replace(records, entities=records.entities.slice(1)).save(folder)
    with pytest.raises(RecordsError, match=f"expected {records.digest}: prepared again meanwhile"):
        Records.load(folder, records.digest)
