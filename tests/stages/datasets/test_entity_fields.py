"""Other names and priors of entities, as sources have them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cache.errors import DamagedError
from stages import limits
from stages.datasets.entity_columns import log_prior
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records, RecordsError
from tests.support.mimic_folder import entity, write_mimic
from tests.support.resealed import reseal

MENTIONS = '{"mention": "A", "answer": "E0"}\n'


def read(folder, entities, csv=None):
    """Entities of JSON Lines, each of them with an id and a name; or of a CSV text."""
    folder.mkdir(exist_ok=True)
    if csv is None:
        rows = [{"id": f"E{i}", "name": f"Name {i}", **said} for i, said in enumerate(entities)]
        (folder / "entities.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (folder / "entities.csv").write_text(csv)
    (folder / "mentions.jsonl").write_text(MENTIONS)
    return read_jsonl(folder, "x")


def counts(records):
    return {finding.code: finding.count for finding in records.findings}


def test_json_lines_csv_and_every_name_of_a_field_say_the_same(tmp_path):
    said = [{"aliases": ["Zed", "Z."], "prior": 3}, {"aliases": "One|Two", "prior": 0}, {}]
    one = read(tmp_path / "a", said)
    assert one.entities["aliases"].to_pylist() == [["Zed", "Z."], ["One|Two"], []]
    assert one.entities["count"].to_pylist() == [3, 0, 0]
    assert counts(one)["prior-missing"] == 1
    head = "id;name;also_known_as;popularity\n"
    rows = "E0;Name 0;Zed|Z.;3\nE1;Name 1;One Two;0.0\nE2;Name 2;;\n"
    other = read(tmp_path / "b", None, head + rows)
    assert other.entities["aliases"].to_pylist() == [["Zed", "Z."], ["One Two"], []]
    assert other.entities["count"].equals(one.entities["count"])
    assert "field-ignored" not in counts(other)
    assert (counts(other)["field-read-as"], "field-read-as" in counts(one)) == (4, False)


def test_aliases_that_say_nothing_are_left_out_and_counted(tmp_path):
    said = [{"name": "Cafe\u0301", "aliases": ["CAF\u00c9", " ", "Bar", "bar ", "Bar 2"]}]
    records = read(tmp_path, said)
    assert records.entities["aliases"].to_pylist() == [["Bar", "Bar 2"]]
    assert (counts(records)["alias-repeated"], counts(records)["alias-blank"]) == (2, 1)


def test_a_source_that_says_nothing_by_them_has_the_records_of_one_without(tmp_path):
    plain = read(tmp_path / "a", [{}, {}])
    empty = [{"aliases": [], "prior": None}, {"aliases": ["name 1", ""], "popularity": None}]
    assert plain.digest == (other := read(tmp_path / "b", empty)).digest
    assert other.entities.equals(plain.entities)
    assert log_prior(plain.entities) is None


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ([{"prior": 0.5}, {"prior": 7}], "jsonl:2: the prior 7 is a count, but"),
        ([{"prior": 1.5}], "expected a count"),
        ([{"prior": -1}], "expected a count"),
        ([{"prior": limits.PRIOR_COUNT + 1}], "expected a count"),
        ([{"prior": "7"}], "field 'prior' is a string ('7'), expected a number"),
        ([{"prior": True}], "expected a number"),
        ([{"prior": 1, "count": 2}], "fields 'prior' and 'count' are one"),
        ([{"aliases": ["a"], "labels": ["b"]}], "fields 'aliases' and 'labels' are one"),
        ([{"aliases": {"en": "a"}}], "field 'aliases' is an object, expected a list of names"),
        ([{"alias": ["a", 2]}], "field 'alias' is a list, expected a list of names"),
    ],
)
def test_what_is_no_alias_and_no_prior_is_named_with_file_and_line(tmp_path, said, part):
    with pytest.raises(RecordsError) as caught:
        read(tmp_path, said)
    assert part in str(caught.value)
    assert "entities.jsonl:" in str(caught.value)


def test_a_prior_of_counts_and_of_probabilities_is_a_logarithm(tmp_path):
    counted = read(tmp_path / "a", [{"prior": c} for c in (0, 1, 96)])
    np.testing.assert_allclose(log_prior(counted.entities)[:, 0], np.log([0.01, 0.02, 0.97]))
    likely = read(tmp_path / "b", [{"prior": p} for p in (0.25, 0, 1, 0.5)])
    np.testing.assert_allclose(log_prior(likely.entities)[:, 0], np.log([0.25, 0.25, 1, 0.5]))
    none = read(tmp_path / "c", [{"prior": 0}, {"prior": 0}])
    np.testing.assert_allclose(log_prior(none.entities)[:, 0], np.log([0.5, 0.5]))


def test_other_formats_have_them_too(tmp_path):
    said = {"aliases": ["A%C3%A9"], "prior": 4}
    folder = write_mimic(tmp_path / "mimic", [entity(0) | said, entity(1), entity(2)])
    records = read_mimic(folder, "x").entities
    assert records["aliases"].to_pylist() == [["A\u00e9"], [], []]
    assert records["count"].to_pylist() == [4, 0, 0]
    one = {"sentence": "s", "mentions": "m", "answer": "Q1"}
    raw = {"a": one | {"entities": "First"}, "b": one | {"entities": "Second"}}
    (tmp_path / "raw.json").write_text(json.dumps(raw))
    entities = read_melbench(tmp_path / "raw.json", "x").entities
    assert (entities["name"].to_pylist(), entities["aliases"].to_pylist()) == (
        ["First"], [["Second"]])  # fmt: skip


def test_they_come_back_from_the_disk_and_nonsense_is_damage(tmp_path):
    records = read(tmp_path / "raw", [{"aliases": ["Zed"], "prior": 0.5}, {"prior": 0.25}])
    folder = tmp_path / "records"
    records.save(folder)
    loaded = Records.load(folder)
    assert loaded.entities.equals(records.entities)
    assert loaded.digest == records.digest

    place = loaded.entities.column_names.index("probability")
    wrong = loaded.entities.set_column(place, "probability", [[2.0, 0.1]])
    pq.write_table(wrong, folder / "entities.parquet")
    reseal(folder / "records.json")
    with pytest.raises(DamagedError, match="none of 0 to 1"):
        Records.load(folder)
